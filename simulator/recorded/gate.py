"""gate: channels, with a payload that names the contract."""

from time import time
from types import MappingProxyType
from typing import Any

import orjson

from simulator.recorded.words import NOTHING, Change, Recorded, text

_BOOK = "futures.order_book_update"


class RecordedGate(Recorded):
    venue = "gate"
    subject = "contract"
    snapshot_path = "/api/v4/futures/usdt/order_book"
    constants = MappingProxyType({"/api/v4/futures/btc/contracts": "[]"})

    def streams(self, frame: Any) -> frozenset[str]:
        if frame.get("event") != "update":
            return NOTHING
        result = frame["result"]
        rows = result if isinstance(result, list) else [result]
        names = {row.get("contract") or row.get("s") or row.get("n") for row in rows}
        return frozenset(f"{frame['channel']} {name}" for name in names)

    def command(self, text_: str) -> Change:
        message = orjson.loads(text_)
        channel, payload = message.get("channel"), message.get("payload") or []
        if channel == "futures.ping":
            return Change(answers=(text(_stamp() | {"channel": "futures.pong", "event": ""}),))
        if channel == "futures.candlesticks":
            names = ["_".join(payload[:2])]
        elif channel == _BOOK:
            names = payload[:1]  # then pace and level, of which a capture has one
        else:
            names = payload
        streams, answers = frozenset(f"{channel} {name}" for name in names), (_answer(message),)
        if message.get("event") == "unsubscribe":
            return Change(left=streams, answers=answers)
        return Change(joined=streams, answers=answers)

    def book(self, stream: str) -> str | None:
        channel, _, market = stream.partition(" ")
        return market if channel == _BOOK else None

    def missing(self, _path: str) -> object:
        return {"label": "NOT_FOUND", "message": "Not Found"}


def _answer(message: dict[str, Any]) -> str:
    echo = {name: message.get(name) for name in ("channel", "event", "payload")}
    return text(_stamp() | {"id": message.get("id")} | echo | {"result": {"status": "success"}})


def _stamp() -> dict[str, object]:
    now = time()
    return {"time": int(now), "time_ms": int(now * 1000)}
