"""binance, USD-M futures."""

from collections.abc import Sequence
from typing import Any

import ccxt.pro

from workers.collector.events import Event, Print, Quote
from workers.collector.hot import HotFrames


class Binance(HotFrames, ccxt.pro.binanceusdm):
    """Raw frames, or `{"stream", "data"}` around them on combined connections."""

    def peel(self, frame: Any) -> Sequence[Event] | None:
        if type(frame) is not dict:
            return None
        data = frame.get("data", frame)
        event = data.get("e") if type(data) is dict else None
        if event == "bookTicker":
            return (_quote(data),)
        if event == "aggTrade":
            return (_print(data),)
        return None


def _quote(data: dict[str, Any]) -> Quote:
    return Quote(
        market_id=data["s"],
        bid=float(data["b"]),
        ask=float(data["a"]),
        bid_size=float(data["B"]),
        ask_size=float(data["A"]),
        last=None,
        timestamp=data.get("T"),
    )


def _print(data: dict[str, Any]) -> Print:
    return Print(
        market_id=data["s"],
        id=str(data["a"]),
        price=float(data["p"]),
        size=float(data["q"]),
        side="sell" if data["m"] else "buy",  # m: the buyer was the maker
        timestamp=data["T"],
    )
