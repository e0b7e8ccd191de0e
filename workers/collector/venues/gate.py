"""gate, v4 USDT futures."""

from collections.abc import Sequence
from typing import Any

import ccxt.pro

from workers.collector.events import Event, Print, Quote
from workers.collector.hot import HotFrames


class Gate(HotFrames, ccxt.pro.gate):
    """`channel` and `event` name the frame; sizes are contracts, negative ones are sells."""

    def peel(self, frame: Any) -> Sequence[Event] | None:
        if type(frame) is not dict or frame.get("event") != "update":
            return None
        channel = frame.get("channel")
        if channel == "futures.trades":
            return self.prints(_print, frame["result"])
        if channel == "futures.book_ticker":
            quote = frame["result"]
            # An empty side has price "" and size 0.
            return (_quote(quote),) if quote["b"] and quote["a"] else ()
        return None

    async def un_watch_bids_asks(self, symbols: list[str]) -> Any:
        """ccxt has none for this venue."""
        market = self.market(symbols[0])
        symbol = market["symbol"]
        return await self.un_subscribe_public_multiple(
            self.get_url_by_market(market),
            "bidsasks",
            [symbol],
            [f"unsubscribe:bidsasks:{symbol}"],
            [f"bidask:{symbol}"],
            [market["id"]],
            "futures.book_ticker",
            {},
        )


def _quote(row: dict[str, Any]) -> Quote:
    return Quote(
        market_id=row["s"],
        bid=float(row["b"]),
        ask=float(row["a"]),
        bid_size=float(row["B"]),
        ask_size=float(row["A"]),
        last=None,
        timestamp=row["t"],
    )


def _print(row: dict[str, Any]) -> Print:
    size = float(row["size"])
    timestamp = row.get("create_time_ms")
    return Print(
        market_id=row["contract"],
        id=str(row["id"]),
        price=float(row["price"]),
        size=abs(size),
        side="sell" if size < 0 else "buy",
        timestamp=int(float(timestamp)) if timestamp else None,
    )
