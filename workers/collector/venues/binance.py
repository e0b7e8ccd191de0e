"""binance, USD-M futures."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ccxt.pro

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

_SUBSCRIPTIONS = {
    "bidask:bookTicker@": StreamKind.QUOTE,
    "trade::": StreamKind.TRADES,
    "orderbook::": StreamKind.BOOK,
    "ohlcv::": StreamKind.CANDLES,
}


class Binance(HotFrames, ccxt.pro.binanceusdm):
    """Raw frames, or `{"stream", "data"}` around them on combined connections."""

    def peel(self, frame: Any) -> Sequence[Event] | None:
        if type(frame) is not dict:
            return None
        data = frame.get("data", frame)
        event = data.get("e") if type(data) is dict else None
        read = _READERS.get(event)
        return None if read is None else (read(data),)

    def book_of(self, frame: Any) -> Any:
        data = frame.get("data", frame)
        return data["s"] if data.get("e") == "depthUpdate" else None

    def carries(self, connection: Any, kind: StreamKind, market: Any) -> bool:
        """ccxt spreads subscriptions over connections here, by what they are about."""
        streams = (self._stream_of(name) for name in connection.subscriptions)
        return any(s is not None and s[:2] == (market.id, kind) for s in streams)

    async def fetch_older_trades(self, symbol: str, oldest: Print, limit: int) -> Any:
        first = max(0, int(oldest.id) - limit)
        return await self.fetch_trades(symbol, None, limit, {"fromId": first})

    def acknowledged(self, client: Any, frame: Any) -> Iterable[Acknowledged]:
        """`{"result": null, "id": 7}`: what was asked for under that number."""
        if type(frame) is not dict or "result" not in frame or frame.get("error"):
            return
        number = str(frame.get("id"))
        for name, subscription in client.subscriptions.items():
            if type(subscription) is dict and str(subscription.get("id")) == number:
                stream = self._stream_of(name)
                if stream is not None:
                    yield stream

    def _stream_of(self, name: str) -> Acknowledged | None:
        """What ccxt calls a subscription: `trade::BTC/USDT:USDT`, `btcusdt@forceOrder`, …"""
        for begin, kind in _SUBSCRIPTIONS.items():
            if name.startswith(begin):
                symbol, _, timeframe = name.removeprefix(begin).partition("::")
                return Acknowledged(self.market_id(symbol), kind, timeframe)
        market_id, _, stream = name.partition("@")
        if stream == "forceOrder":
            return Acknowledged(market_id.upper(), StreamKind.LIQUIDATIONS)
        return None

    def parse_ohlcv(self, ohlcv: Any, market: Any = None) -> list[Any]:
        """With the quote volume behind; ccxt leaves it out."""
        return [*super().parse_ohlcv(ohlcv, market), self.safe_number(ohlcv, 7)]

    def handle_order_book_subscription(self, client: Any, message: Any, subscription: Any) -> None:
        """ccxt would ask for a snapshot for a book of its own."""

    async def un_watch_liquidations_for_symbols(self, symbols: list[str]) -> Any:
        """ccxt has none."""
        kind = self.resolve_auth_type("watchLiquidationsForSymbols", self.market(symbols[0]), {})[0]
        category = self.get_future_ws_category("forceOrder")
        names = [f"{self.market(symbol)['lowercaseId']}@forceOrder" for symbol in symbols]
        stream = self.stream(kind, "liquidations::" + ",".join(symbols), len(names))
        url = f"{self.get_ws_url(kind, category)}/{stream}"
        number = self.request_id(url)
        hashes = [f"unsubscribe::{name}" for name in names]
        subscription = {
            "unsubscribe": True,
            "id": str(number),
            "symbols": symbols,
            "subMessageHashes": names,
            "messageHashes": hashes,
            "topic": "liquidations",
        }
        request = {"method": "UNSUBSCRIBE", "params": names, "id": number}
        return await self.watch_multiple(url, hashes, request, hashes, subscription)

    async def fetch_one_ticker(self, symbol: str) -> list[Any]:
        """The best prices are not in what ccxt calls a ticker here."""
        return list((await self.fetch_bids_asks([symbol])).values())

    async def fetch_snapshot(self, symbol: str, depth: int) -> Any:
        return await self.fetch_order_book(symbol, depth)


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


def _book(data: dict[str, Any]) -> BookUpdate:
    return BookUpdate(
        market_id=data["s"],
        snapshot=False,
        bids=data["b"],
        asks=data["a"],
        timestamp=data.get("T"),
        last=data["u"],
        first=data["U"],
        previous=data["pu"],
    )


def _liquidated(data: dict[str, Any]) -> Liquidated:
    order = data["o"]
    return Liquidated(
        market_id=order["s"],
        id=None,
        price=float(order["ap"]) or float(order["p"]),  # what it was filled at, on average
        size=float(order["z"]) or float(order["q"]),
        side=order["S"].lower(),
        timestamp=order["T"],
    )


def _candle(data: dict[str, Any]) -> Candle:
    row = data["k"]
    return Candle(
        market_id=row["s"],
        timeframe=row["i"],
        start=row["t"],
        open=float(row["o"]),
        high=float(row["h"]),
        low=float(row["l"]),
        close=float(row["c"]),
        volume=float(row["v"]),
        closed=row["x"],
        timestamp=data["E"],
        quote_volume=float(row["q"]),
    )


_READERS: dict[str | None, Callable[[dict[str, Any]], Event]] = {
    "bookTicker": _quote,
    "aggTrade": _print,
    "depthUpdate": _book,
    "kline": _candle,
    "forceOrder": _liquidated,
}
