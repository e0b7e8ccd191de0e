"""htx, linear swaps."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import ccxt.pro

from workers.collector.events import Event, Print, Quote
from workers.collector.hot import HotFrames


class Htx(HotFrames, ccxt.pro.htx):
    """`ch` is `market.{market id}.{channel}…`; sizes are contracts."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._book_version: dict[str, int] = {}  # by channel

    def peel(self, frame: Any) -> Sequence[Event] | None:
        channel = frame.get("ch") if type(frame) is dict else None
        if type(channel) is not str:
            return None
        if channel.endswith(".trade.detail"):
            market_id = channel.split(".")[1]
            return self.prints(partial(_print, market_id), frame["tick"]["data"])
        if channel.endswith(".bbo"):
            return (_quote(channel.split(".")[1], frame["tick"]),)
        return None

    def broken_book(self, frame: Any) -> tuple[str, str] | None:
        """`version` grows by one; after a gap ccxt drops every later delta and says nothing."""
        channel = frame.get("ch") if type(frame) is dict else None
        if type(channel) is not str or not channel.endswith(".high_freq"):
            return None
        tick = frame["tick"]
        version, last = tick["version"], self._book_version.get(channel)
        self._book_version[channel] = version
        if tick["event"] == "snapshot" or last is None or version == last + 1:
            return None
        return channel.split(".")[1], f"version {version} after {last}"

    def handle_order_book(self, client: Any, message: Any) -> None:
        """ccxt would start a book from an update that comes after its end."""
        symbol = self.safe_symbol(message["ch"].split(".")[1])
        if message["tick"].get("event") != "update" or symbol in self.orderbooks:
            super().handle_order_book(client, message)


def _quote(market_id: str, tick: dict[str, Any]) -> Quote:
    (bid, bid_size), (ask, ask_size) = tick["bid"], tick["ask"]
    return Quote(
        market_id=market_id,
        bid=float(bid),
        ask=float(ask),
        bid_size=float(bid_size),
        ask_size=float(ask_size),
        last=None,
        timestamp=tick["ts"],
    )


def _print(market_id: str, row: dict[str, Any]) -> Print:
    return Print(
        market_id=market_id,
        id=str(row["id"]),
        price=float(row["price"]),
        size=float(row["amount"]),
        side=row["direction"],
        timestamp=row["ts"],
    )
