"""gate, v4 USDT futures."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import ccxt.pro

from shared.kinds import CANDLE, LIQUIDATION, TRADES
from workers.collector.catalogue.row import StreamKind
from workers.collector.events import (
    Acknowledged,
    BookUpdate,
    Candle,
    Event,
    Liquidated,
    Print,
    Quote,
)
from workers.collector.hot import HotFrames
from workers.collector.numbers import number

_CHANNELS = {
    "futures.book_ticker": StreamKind.QUOTE,
    "futures.trades": StreamKind.TRADES,
    "futures.order_book_update": StreamKind.BOOK,
    "futures.public_liquidates": StreamKind.LIQUIDATIONS,
}


class Gate(HotFrames, ccxt.pro.gate):
    """`channel` and `event` name the frame; sizes are contracts, negative ones are sells."""

    def peel(self, frame: Any) -> Sequence[Event] | None:
        if type(frame) is not dict or frame.get("event") != "update":
            return None
        channel = frame.get("channel")
        if channel == "futures.trades":
            return self.each(TRADES, _print, frame["result"])
        if channel == "futures.book_ticker":
            quote = frame["result"]
            # An empty side has price "" and size 0.
            return (_quote(quote),) if quote["b"] and quote["a"] else ()
        if channel == "futures.order_book_update":
            return (_book(frame["result"]),)
        if channel == "futures.public_liquidates":
            return self.each(LIQUIDATION, _liquidated, frame["result"])
        if channel == "futures.candlesticks":
            return self.each(CANDLE, partial(_candle, frame["time_ms"]), frame["result"])
        return None

    def book_of(self, frame: Any) -> Any:
        return frame["result"]["s"] if frame["channel"] == "futures.order_book_update" else None

    async def fetch_older_trades(self, symbol: str, oldest: Print, limit: int) -> Any:
        return await self.fetch_trades(symbol, None, limit, {"last_id": oldest.id})

    def acknowledged(self, client: Any, frame: Any) -> Iterable[Acknowledged]:
        if type(frame) is not dict or frame.get("event") != "subscribe" or frame.get("error"):
            return
        kind = _CHANNELS.get(str(frame.get("channel")))
        payload: list[str] = frame.get("payload") or []
        if kind is StreamKind.BOOK:
            payload = payload[:1]  # then come pace and depth
        if kind is not None:
            yield from (Acknowledged(market_id, kind) for market_id in payload)
        elif frame.get("channel") == "futures.candlesticks":
            timeframe, market_id = payload
            yield Acknowledged(market_id, StreamKind.CANDLES, timeframe)

    def handle_error_message(self, client: Any, message: Any) -> Any:
        """A refusal to end what is not subscribed: it has ended. ccxt would end all streams of the
        connection for it."""
        refused = type(message) is dict and message.get("error")
        if refused and message.get("event") == "unsubscribe":
            self.handle_un_subscribe(client, message)
            return True
        return super().handle_error_message(client, message)

    def handle_order_book_subscription(
        self, client: Any, message: Any, subscription: Any = None
    ) -> None:
        """ccxt would start a book of its own."""

    async def fetch_snapshot(self, symbol: str, depth: int) -> Any:
        return await self.fetch_order_book(symbol, depth, {"with_id": True})

    async def ask_time(self) -> None:
        """Of one contract: the venue's time is on the address of its spot markets."""
        id_ = next(market["id"] for market in self.markets.values() if market["swap"])
        await self.publicFuturesGetSettleContractsContract({"settle": "usdt", "contract": id_})

    def parse_ticker(self, ticker: Any, market: Any = None) -> Any:
        """The venue does not say what the price was a day ago: ccxt works it out of a change in
        percent with two decimals."""
        return super().parse_ticker(ticker, market) | {
            "open": None,
            "change": None,
            "openInterestAmount": number(ticker.get("total_size")),
        }

    async def watch_liquidations(self, symbol: str) -> Any:
        """ccxt has none for this venue; nor does it know these frames, which we peel."""
        market = self.market(symbol)
        return await self.subscribe_public(
            self.get_url_by_market(market),
            f"liquidations:{market['symbol']}",
            [market["id"]],
            "futures.public_liquidates",
        )

    async def un_watch_liquidations(self, symbol: str) -> Any:
        market = self.market(symbol)
        return await self.un_subscribe_public_multiple(
            self.get_url_by_market(market),
            "liquidations",
            [market["symbol"]],
            [f"unsubscribe:liquidations:{market['symbol']}"],
            [f"liquidations:{market['symbol']}"],
            [market["id"]],
            "futures.public_liquidates",
            {},
        )

    async def un_watch_ohlcv(
        self, symbol: str, timeframe: str = "1m", params: dict[str, Any] | None = None
    ) -> Any:
        """ccxt has none for this venue."""
        market = self.market(symbol)
        name = f"candles:{timeframe}:{market['symbol']}"
        return await self.un_subscribe_public_multiple(
            self.get_url_by_market(market),
            "ohlcv",
            [market["symbol"]],
            [f"unsubscribe:{name}"],
            [name],
            [timeframe, market["id"]],
            "futures.candlesticks",
            params or {},
        )

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


def _book(row: dict[str, Any]) -> BookUpdate:
    return BookUpdate(
        market_id=row["s"],
        snapshot=False,
        bids=[(level["p"], level["s"]) for level in row["b"]],
        asks=[(level["p"], level["s"]) for level in row["a"]],
        timestamp=row["t"],
        last=row["u"],
        first=row["U"],
    )


def _liquidated(row: dict[str, Any]) -> Liquidated:
    """The size is the closing order's: a sell where it is negative."""
    size = float(row["size"])
    return Liquidated(
        market_id=row["contract"],
        id=None,
        price=float(row["price"]),
        size=abs(size),
        side="sell" if size < 0 else "buy",
        timestamp=row["time_ms"],
    )


def _candle(timestamp: int, row: dict[str, Any]) -> Candle:
    """`n` is `1m_BTC_USDT`, `v` counts contracts; `w` says that it is closed."""
    timeframe, _, market_id = row["n"].partition("_")
    return Candle(
        market_id=market_id,
        timeframe=timeframe,
        start=1000 * row["t"],
        open=float(row["o"]),
        high=float(row["h"]),
        low=float(row["l"]),
        close=float(row["c"]),
        volume=float(row["v"]),
        closed=row.get("w"),
        timestamp=timestamp,
    )
