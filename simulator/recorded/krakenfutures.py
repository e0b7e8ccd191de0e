"""krakenfutures: feeds of products."""

from typing import Any

import orjson

from simulator.recorded.words import NOTHING, Change, Recorded, text

_SNAPSHOT = "_snapshot"


class RecordedKrakenFutures(Recorded):
    venue = "krakenfutures"
    subject = "symbol"

    def streams(self, frame: Any) -> frozenset[str]:
        if "event" in frame or "product_id" not in frame:
            return NOTHING
        return frozenset({f"{frame['feed'].removesuffix(_SNAPSHOT)} {frame['product_id']}"})

    def command(self, text_: str) -> Change:
        message = orjson.loads(text_)
        event, feed = message["event"], message["feed"]
        products = message.get("product_ids") or []
        names = frozenset(f"{feed} {product}" for product in products)
        said = {"event": f"{event}d", "feed": feed}
        answers = tuple(text(said | {"product_ids": [product]}) for product in products)
        if event == "unsubscribe":
            return Change(left=names, answers=answers)
        return Change(joined=names, answers=answers or (text(said),))

    def missing(self, _path: str) -> object:
        return {"result": "error", "error": "notFound"}
