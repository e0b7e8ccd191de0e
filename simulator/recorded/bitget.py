"""bitget: channels of an instrument."""

from typing import Any

import orjson

from simulator.recorded.words import NOTHING, Change, Recorded, text


class RecordedBitget(Recorded):
    venue = "bitget"
    subject = "symbol"

    def streams(self, frame: Any) -> frozenset[str]:
        return frozenset({_name(frame["arg"])}) if "data" in frame else NOTHING

    def command(self, text_: str) -> Change:
        if text_ == "ping":
            return Change(answers=("pong",))
        message = orjson.loads(text_)
        op, rows = message["op"], message["args"]
        answers = tuple(text({"event": op, "arg": row}) for row in rows)
        names = frozenset(map(_name, rows))
        if op == "unsubscribe":
            return Change(left=names, answers=answers)
        return Change(joined=names, answers=answers)

    def missing(self, _path: str) -> object:
        return {"code": "40404", "msg": "Request URL NOT FOUND", "requestTime": 0, "data": None}


def _name(argument: dict[str, str]) -> str:
    return f"{argument['channel']} {argument['instId']}"
