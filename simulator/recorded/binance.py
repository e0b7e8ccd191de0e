"""binance: raw frames, or `{"stream", "data"}` around them."""

from typing import Any

import orjson

from simulator.recorded.words import NOTHING, Change, Recorded, text

_STREAMS = {
    "aggTrade": "aggTrade",
    "bookTicker": "bookTicker",
    "depthUpdate": "depth",
    "24hrTicker": "ticker",
    "24hrMiniTicker": "miniTicker",
    "markPriceUpdate": "markPrice",
    "trade": "trade",
}


class RecordedBinance(Recorded):
    """Streams go by the venue's names, without their pace, of which a recording has one."""

    venue = "binance"
    subject = "symbol"
    snapshot_path = "/fapi/v1/depth"

    def streams(self, frame: Any) -> frozenset[str]:
        if "stream" in frame:
            return frozenset({_paceless(frame["stream"])})
        event = frame.get("e")
        if event == "forceOrder":
            return frozenset({f"{frame['o']['s'].lower()}@forceOrder"})
        if event == "kline":
            return frozenset({f"{frame['s'].lower()}@kline_{frame['k']['i']}"})
        if event in _STREAMS:
            return frozenset({f"{frame['s'].lower()}@{_STREAMS[event]}"})
        return NOTHING

    def command(self, text_: str) -> Change:
        message = orjson.loads(text_)
        names = {_paceless(str(name)) for name in message.get("params") or ()}
        # Who asks for single trades gets the recorded aggregated ones.
        names |= {f"{name[:-5]}aggTrade" for name in names if name.endswith("@trade")}
        answer = text({"result": None, "id": message.get("id")})
        if message.get("method") == "UNSUBSCRIBE":
            return Change(left=frozenset(names), answers=(answer,))
        return Change(joined=frozenset(names), answers=(answer,))

    def book(self, stream: str) -> str | None:
        market, _, kind = stream.partition("@")
        return market.upper() if kind == "depth" else None

    def missing(self, path: str) -> object:
        return {"code": -5000, "msg": f"Path {path}, Method GET is invalid"}


def _paceless(stream: str) -> str:
    market, _, kind = stream.partition("@")
    return f"{market}@{kind.partition('@')[0]}"
