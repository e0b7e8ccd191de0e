"""okx: channels of an instrument, or of a type of instruments."""

from typing import Any

import orjson

from simulator.recorded.words import NOTHING, Change, Recorded, text


class RecordedOkx(Recorded):
    venue = "okx"
    subject = "instId"

    def streams(self, frame: Any) -> frozenset[str]:
        return frozenset({_name(frame["arg"])}) if "data" in frame else NOTHING

    def command(self, text_: str) -> Change:
        if text_ == "ping":
            return Change(answers=("pong",))
        message = orjson.loads(text_)
        op, rows = message["op"], message["args"]
        answers = tuple(text({"event": op, "arg": row, "connId": "replay"}) for row in rows)
        names = frozenset(map(_name, rows))
        if op == "unsubscribe":
            return Change(left=names, answers=answers)
        return Change(joined=names, answers=answers)

    def missing(self, _path: str) -> object:
        return {"code": "404", "msg": "Not Found", "data": []}


def _name(argument: dict[str, str]) -> str:
    return f"{argument['channel']} {argument.get('instId') or argument.get('instType')}"
