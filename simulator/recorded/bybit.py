"""bybit: topics."""

from typing import Any

import orjson

from simulator.recorded.words import NOTHING, Change, Recorded, text


class RecordedBybit(Recorded):
    venue = "bybit"
    subject = "symbol"

    def streams(self, frame: Any) -> frozenset[str]:
        return frozenset({frame["topic"]}) if "topic" in frame else NOTHING

    def command(self, text_: str) -> Change:
        message = orjson.loads(text_)
        op = message.get("op")
        said = "pong" if op == "ping" else ""
        head = {"success": True, "ret_msg": said, "conn_id": "replay"}
        answers = (text(head | {"req_id": message.get("req_id"), "op": op}),)
        topics = frozenset(map(str, message.get("args") or ()))
        if op == "subscribe":
            return Change(joined=topics, answers=answers)
        return Change(left=topics if op == "unsubscribe" else NOTHING, answers=answers)

    def missing(self, path: str) -> object:
        return {"error": "not found", "path": path}
