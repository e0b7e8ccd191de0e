"""okx, linear swaps."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import ccxt.pro

from shared.kinds import CANDLE, LIQUIDATION, TRADES
from workers.collector.catalogue.row import StreamKind
from workers.collector.events import (
    MALFORMED,
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
    "bbo-tbt": StreamKind.QUOTE,
    "trades": StreamKind.TRADES,
    "books": StreamKind.BOOK,
}
_LIQUIDATIONS = "liquidation-orders"


class Okx(HotFrames, ccxt.pro.okx):
    """`arg` names the channel; sizes are contracts, a candle's volume stands in base currency as
    well."""

    timeframes: dict[str, str]

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        # Plain 6H … 1W begin at midnight in UTC+8.
        utc = {"6h": "6Hutc", "12h": "12Hutc", "1d": "1Dutc", "1w": "1Wutc"}
        self.timeframes = self.timeframes | utc
        self._candles = {f"candle{name}": ours for ours, name in self.timeframes.items()}

    def peel(self, frame: Any) -> Sequence[Event] | None:
        arg = frame.get("arg") if type(frame) is dict else None
        if type(arg) is not dict or "data" not in frame:
            return None
        channel, rows = arg["channel"], frame["data"]
        if channel == "bbo-tbt":
            return [_quote(arg["instId"], row) for row in rows if row["bids"] and row["asks"]]
        if channel == "trades":
            return self.each(TRADES, _print, rows)
        if channel == "books":
            snapshot = frame["action"] == "snapshot"
            return [_book(arg["instId"], snapshot, row) for row in rows]
        if channel in self._candles:
            candle = partial(_candle, arg["instId"], self._candles[channel])
            return self.each(CANDLE, candle, rows)
        if channel == _LIQUIDATIONS:
            return self._liquidations(rows)
        return None

    def _liquidations(self, rows: Iterable[Any]) -> list[Liquidated]:
        """A row has all those of one contract."""
        said: list[Liquidated] = []
        for row in rows:
            try:
                liquidated = partial(_liquidated, row["instId"])
                said += self.each(LIQUIDATION, liquidated, row["details"])
            except MALFORMED as error:
                self.sink.on_bad_row(LIQUIDATION, row, error)
        return said

    def book_of(self, frame: Any) -> Any:
        return frame["arg"]["instId"] if frame["arg"]["channel"] == "books" else None

    async def fetch_older_trades(self, symbol: str, oldest: Print, limit: int) -> Any:
        older = {"method": "publicGetMarketHistoryTrades", "after": oldest.id}
        return await self.fetch_trades(symbol, None, 100, older)

    def acknowledged(self, client: Any, frame: Any) -> Iterable[Acknowledged]:
        """`{"event": "subscribe", "arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}}`."""
        if type(frame) is not dict or frame.get("event") != "subscribe":
            return
        arg = frame["arg"]
        if arg["channel"] in _CHANNELS:
            yield Acknowledged(arg["instId"], _CHANNELS[arg["channel"]])
        elif arg["channel"] in self._candles:
            timeframe = self._candles[arg["channel"]]
            yield Acknowledged(arg["instId"], StreamKind.CANDLES, timeframe)
        elif arg["channel"] == _LIQUIDATIONS:
            for symbol in self._liquidations_of(client):
                yield Acknowledged(self.market_id(symbol), StreamKind.LIQUIDATIONS)

    async def fetch_markets(self, params: Any = None) -> Any:
        """Without inverse contracts: theirs are worth an amount of dollars."""
        return [market for market in await super().fetch_markets(params or {}) if market["linear"]]

    async def fetch_index_prices(self) -> list[dict[str, Any]]:
        """Of all contracts that are quoted in USDT; ccxt has no form for them."""
        response = await self.publicGetMarketIndexTickers({"quoteCcy": "USDT"})
        prices = {row["instId"]: number(row["idxPx"]) for row in response["data"]}
        return [
            {"symbol": market["symbol"], "indexPrice": prices[name]}
            for market in self.markets.values()
            if (name := f"{market['baseId']}-{market['quoteId']}") in prices
        ]

    async def fetch_mark_price(self, symbol: str, params: Any = None) -> Any:
        """With the type of the instrument, which the venue wants and ccxt leaves out."""
        kind = self.convert_to_instrument_type(self.market(symbol)["type"])
        return await super().fetch_mark_price(symbol, {"instType": kind, **(params or {})})

    def parse_ticker(self, ticker: Any, market: Any = None) -> Any:
        """ccxt takes contracts for base currency."""
        volume = number(ticker.get("volCcy24h"))
        return super().parse_ticker(ticker, market) | {"baseVolume": volume}

    def parse_ohlcv(self, ohlcv: Any, market: Any = None) -> list[Any]:
        """With the quote volume behind; ccxt leaves it out."""
        return [*super().parse_ohlcv(ohlcv, market), self.safe_number(ohlcv, 7)]

    async def un_watch_bids_asks(self, symbols: list[str]) -> Any:
        """ccxt has none for this venue."""
        arguments = [{"channel": "bbo-tbt", "instId": self.market_id(s)} for s in symbols]
        hashes = [f"unsubscribe:bidask::{symbol}" for symbol in symbols]
        request = {"op": "unsubscribe", "args": arguments}
        return await self.watch_multiple(self.get_url("bbo-tbt"), hashes, request, hashes)

    async def un_watch_liquidations_for_symbols(self, symbols: list[str]) -> Any:
        """The venue is told when nobody needs the one subscription any more."""
        url = self.get_url(_LIQUIDATIONS)
        client = self.client(url)
        for symbol in symbols:
            client.subscriptions.pop(f"liquidations::{symbol}", None)
        if self._liquidations_of(client):
            return
        argument = {"channel": _LIQUIDATIONS, "instType": "SWAP"}
        hashes = ["unsubscribe:liquidations"]
        request = {"op": "unsubscribe", "args": [argument]}
        await self.watch_multiple(url, hashes, request, hashes)

    def handle_unsubscription(self, client: Any, message: Any) -> None:
        """ccxt takes best prices for an order book here, does not know liquidations, and looks for
        candles which we peeled."""
        channel, market_id = message["arg"]["channel"], message["arg"].get("instId")
        if channel == "bbo-tbt":
            symbol = self.safe_symbol(market_id)
            self.clean_unsubscription(client, f"bidask::{symbol}", f"unsubscribe:bidask::{symbol}")
        elif channel.startswith("candle"):
            name = f"multi:{channel}:{self.safe_symbol(market_id)}"
            self.clean_unsubscription(client, name, f"unsubscribe:{name}")
            self.clean_unsubscription(client, f"{channel}:{market_id}", None)
        elif channel == _LIQUIDATIONS:
            self.clean_unsubscription(client, "liquidations", "unsubscribe:liquidations")
        else:
            super().handle_unsubscription(client, message)

    @staticmethod
    def _liquidations_of(client: Any) -> list[str]:
        return [
            name.removeprefix("liquidations::")
            for name in client.subscriptions
            if name.startswith("liquidations::")
        ]


def _quote(market_id: str, row: dict[str, Any]) -> Quote:
    bid, ask = row["bids"][0], row["asks"][0]
    return Quote(
        market_id=market_id,
        bid=float(bid[0]),
        ask=float(ask[0]),
        bid_size=float(bid[1]),
        ask_size=float(ask[1]),
        last=None,
        timestamp=int(row["ts"]),
    )


def _print(row: dict[str, Any]) -> Print:
    return Print(
        market_id=row["instId"],
        id=row["tradeId"],
        price=float(row["px"]),
        size=float(row["sz"]),
        side=row["side"],
        timestamp=int(row["ts"]),
        fills=int(row.get("count") or 1),
    )


def _book(market_id: str, snapshot: bool, row: dict[str, Any]) -> BookUpdate:
    """After 60 s without a change comes an empty update whose two numbers are the same."""
    return BookUpdate(
        market_id=market_id,
        snapshot=snapshot,
        bids=row["bids"],
        asks=row["asks"],
        timestamp=int(row["ts"]),
        last=row["seqId"],
        previous=row["prevSeqId"],
        checksum=row.get("checksum"),
    )


def _liquidated(market_id: str, detail: dict[str, Any]) -> Liquidated:
    """`side` is the closing order's, `bkPx` the bankruptcy price."""
    return Liquidated(
        market_id=market_id,
        id=None,
        price=float(detail["bkPx"]),
        size=float(detail["sz"]),
        side=detail["side"],
        timestamp=int(detail["ts"]),
    )


def _candle(market_id: str, timeframe: str, row: Sequence[str]) -> Candle:
    start, opened, high, low, close, _, volume, quote_volume, closed = row
    return Candle(
        market_id=market_id,
        timeframe=timeframe,
        start=int(start),
        open=float(opened),
        high=float(high),
        low=float(low),
        close=float(close),
        volume=float(volume),
        closed=closed == "1",
        timestamp=None,
        quote_volume=float(quote_volume),
    )
