"""htx: channels, in gzipped frames."""

import gzip
from time import time
from typing import Any

import orjson

from simulator.recorded.words import NOTHING, Change, Recorded


class RecordedHtx(Recorded):
    """Recorded pings of the venue are not sent again: they are of another connection."""

    venue = "htx"
    subject = "contract_code"

    def streams(self, frame: Any) -> frozenset[str]:
        return frozenset({frame["ch"]}) if "ch" in frame else NOTHING

    def command(self, text_: str) -> Change:
        message = orjson.loads(text_)
        if "ping" in message:
            return Change(answers=(_zipped({"pong": message["ping"]}),))
        verb = next((verb for verb in ("sub", "unsub") if verb in message), None)
        if verb is None:
            return Change()
        channel = str(message[verb])
        answer = {"status": "ok", f"{verb}bed": channel, "ts": int(time() * 1000)}
        answers = (_zipped({"id": str(message.get("id")), **answer}),)
        if verb == "unsub":
            return Change(left=frozenset({channel}), answers=answers)
        return Change(joined=frozenset({channel}), answers=answers)

    def missing(self, path: str) -> object:
        return {"status": 404, "error": "Not Found", "path": path}


def _zipped(message: object) -> bytes:
    return gzip.compress(orjson.dumps(message), 1)
