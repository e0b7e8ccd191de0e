"""htx, linear swaps."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import ccxt.pro

from shared.kinds import TRADES
from workers.collector.catalogue.row import StreamKind
from workers.collector.events import Acknowledged, BookUpdate, Candle, Event, Print, Quote
from workers.collector.hot import HotFrames

_CHANNELS = {"bbo": StreamKind.QUOTE, "trade": StreamKind.TRADES, "depth": StreamKind.BOOK}
#: The venue's names of our timeframes. Its days begin at midnight in UTC+8.
_PERIODS = {
    "1min": "1m",
    "5min": "5m",
    "15min": "15m",
    "30min": "30m",
    "60min": "1h",
    "4hour": "4h",
    "1day": "1d",
}


class Htx(HotFrames, ccxt.pro.htx):
    """`ch` is `market.{market id}.{channel}…`; sizes are contracts."""

    has: dict[str, Any]

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        # ccxt says that it has it, and has it for inverse contracts alone.
        self.has = self.has | {"fetchFundingRates": False}

    def peel(self, frame: Any) -> Sequence[Event] | None:
        channel = frame.get("ch") if type(frame) is dict else None
        if type(channel) is not str:
            return None
        if channel.endswith(".trade.detail"):
            market_id = channel.split(".")[1]
            return self.each(TRADES, partial(_print, market_id), frame["tick"]["data"])
        if channel.endswith(".bbo"):
            return (_quote(channel.split(".")[1], frame["tick"]),)
        if channel.endswith(".high_freq"):
            return (_book(channel.split(".")[1], frame["tick"]),)
        if ".kline." in channel:
            _, market_id, _, period = channel.split(".")
            return (_candle(market_id, _PERIODS[period], frame["ts"], frame["tick"]),)
        return None

    def book_of(self, frame: Any) -> Any:
        return frame["ch"].split(".")[1] if frame["ch"].endswith(".high_freq") else None

    def acknowledged(self, client: Any, frame: Any) -> Iterable[Acknowledged]:
        """`{"status": "ok", "subbed": "market.BTC-USDT.bbo"}`."""
        channel = frame.get("subbed") if type(frame) is dict else None
        if type(channel) is str:
            _, market_id, name, *rest = channel.split(".")
            if name in _CHANNELS:
                yield Acknowledged(market_id, _CHANNELS[name])
            elif name == "kline":
                yield Acknowledged(market_id, StreamKind.CANDLES, _PERIODS[rest[0]])

    def parse_ohlcv(self, ohlcv: Any, market: Any = None) -> list[Any]:
        """With the quote volume behind; ccxt leaves it out."""
        return [*super().parse_ohlcv(ohlcv, market), self.safe_number(ohlcv, "trade_turnover")]

    def handle_error_message(self, client: Any, message: Any) -> Any:
        """A refusal to end what is not subscribed: it has ended. ccxt would end all streams of the
        connection for it."""
        if type(message) is dict and message.get("status") == "error":
            asked = self.index_by(client.subscriptions, "id").get(str(message.get("id")))
            if asked is not None and asked.get("unsubscribe"):
                self.handle_un_subscription(client, asked)
                return False
        return super().handle_error_message(client, message)

    def handle_order_book_subscription(self, client: Any, message: Any, subscription: Any) -> None:
        """ccxt would start a book of its own."""


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


def _book(market_id: str, tick: dict[str, Any]) -> BookUpdate:
    return BookUpdate(
        market_id=market_id,
        snapshot=tick["event"] == "snapshot",
        bids=tick["bids"],
        asks=tick["asks"],
        timestamp=tick["ts"],
        last=tick["version"],
    )


def _candle(market_id: str, timeframe: str, timestamp: int, tick: dict[str, Any]) -> Candle:
    """`amount` is in base currency, `vol` in contracts; whether it is closed is not said."""
    return Candle(
        market_id=market_id,
        timeframe=timeframe,
        start=1000 * tick["id"],
        open=float(tick["open"]),
        high=float(tick["high"]),
        low=float(tick["low"]),
        close=float(tick["close"]),
        volume=float(tick["amount"]),
        closed=None,
        timestamp=timestamp,
        quote_volume=float(tick["trade_turnover"]),
    )
