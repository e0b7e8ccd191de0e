"""coinbaseinternational: JSON-RPC, channels that name their instrument."""

from typing import Any

import orjson

from simulator.recorded.words import NOTHING, Change, Recorded, text


class RecordedCoinbaseinternational(Recorded):
    venue = "coinbaseinternational"
    subject = "instrument_name"

    def streams(self, frame: Any) -> frozenset[str]:
        if frame.get("method") != "subscription":
            return NOTHING
        return frozenset({frame["params"]["channel"]})

    def command(self, text_: str) -> Change:
        message = orjson.loads(text_)
        method, number = message["method"], message.get("id")
        channels = (message.get("params") or {}).get("channels", [])
        result = {"version": "replay"} if method == "public/test" else channels
        answers = (text({"jsonrpc": "2.0", "id": number, "result": result}),)
        if method == "public/subscribe":
            return Change(joined=frozenset(channels), answers=answers)
        if method == "public/unsubscribe":
            return Change(left=frozenset(channels), answers=answers)
        return Change(answers=answers)

    def missing(self, _path: str) -> object:
        return {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}}
