"""bybit, v5 linear."""

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
    Day,
    Event,
    Liquidated,
    Print,
    Quote,
    Summary,
)
from workers.collector.hot import HotFrames
from workers.collector.numbers import difference, number, percent, price
from workers.collector.overview.pace import Pace

_TOPICS = {
    "tickers": StreamKind.QUOTE,
    "publicTrade": StreamKind.TRADES,
    "orderbook": StreamKind.BOOK,
    "allLiquidation": StreamKind.LIQUIDATIONS,
}
#: The venue's names of our timeframes.
_INTERVALS = {
    "1": "1m",
    "5": "5m",
    "15": "15m",
    "30": "30m",
    "60": "1h",
    "240": "4h",
    "D": "1d",
}


class Bybit(HotFrames, ccxt.pro.bybit):
    """Tickers come as a snapshot and then as the fields that changed; trades come in lists."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._ticker_fields: dict[str, dict[str, Any]] = {}  # by topic
        self._pace = Pace()

    def peel(self, frame: Any) -> Sequence[Event] | None:
        topic = frame.get("topic") if type(frame) is dict else None
        if type(topic) is not str:
            return None
        if topic.startswith("publicTrade."):
            return self.each(TRADES, _print, frame["data"])
        if topic.startswith("tickers."):
            return self._quotes(topic, frame)
        if topic.startswith("orderbook."):
            return (_book(frame),)
        if topic.startswith("allLiquidation."):
            return self.each(LIQUIDATION, _liquidated, frame["data"])
        if topic.startswith("kline."):
            _, interval, market_id = topic.split(".", 2)
            candle = partial(_candle, market_id, _INTERVALS[interval])
            return self.each(CANDLE, candle, frame["data"])
        return None

    def book_of(self, frame: Any) -> Any:
        return frame["topic"].split(".", 2)[2] if frame["topic"].startswith("orderbook.") else None

    def acknowledged(self, client: Any, frame: Any) -> Iterable[Acknowledged]:
        """`{"success": true, "op": "subscribe", "req_id": "7"}`: what that request asked for."""
        if type(frame) is not dict or frame.get("op") != "subscribe":
            return
        for topic in self._asked_for(client, frame) if frame.get("success") else ():
            kind = _TOPICS.get(topic.partition(".")[0])
            if kind is not None:
                yield Acknowledged(topic.rpartition(".")[2], kind)
            elif topic.startswith("kline."):
                _, interval, market_id = topic.split(".", 2)
                yield Acknowledged(market_id, StreamKind.CANDLES, _INTERVALS[interval])

    @staticmethod
    def _asked_for(client: Any, frame: dict[str, Any]) -> Sequence[str]:
        for subscription in client.subscriptions.values():
            if type(subscription) is dict and subscription.get("id") == frame.get("req_id"):
                return subscription.get("topics") or ()
        return ()

    def parse_ohlcv(self, ohlcv: Any, market: Any = None) -> list[Any]:
        """With the quote volume behind; ccxt leaves it out."""
        return [*super().parse_ohlcv(ohlcv, market), self.safe_number(ohlcv, 6)]

    async def fetch_tickers_and_funding(self) -> list[dict[str, Any]]:
        """All tickers, each with its funding rate under `funding`: one request holds both."""
        response = await self.publicGetV5MarketTickers({"category": "linear"})
        rows = response["result"]["list"]
        tickers = self.parse_tickers(rows)
        funding = self.parse_funding_rates(rows)
        return [ticker | {"funding": funding.get(symbol)} for symbol, ticker in tickers.items()]

    def parse_ticker(self, ticker: Any, market: Any = None) -> Any:
        return super().parse_ticker(ticker, market) | {
            "openInterestAmount": number(ticker.get("openInterest")),
            "openInterestValue": number(ticker.get("openInterestValue")),
        }

    async def un_watch_liquidations(self, symbol: str) -> Any:
        """ccxt has none."""
        market = self.market(symbol)
        return await self.un_watch_topics(
            await self.get_url_by_market_type(market["symbol"], False, "watchLiquidations", {}),
            "liquidations",
            [market["symbol"]],
            [f"unsubscribe:liquidations::{market['symbol']}"],
            [f"liquidations::{market['symbol']}"],
            [f"allLiquidation.{market['id']}"],
        )

    def _quotes(self, topic: str, frame: dict[str, Any]) -> Sequence[Event]:
        if frame["type"] == "snapshot":
            self._ticker_fields[topic] = dict(frame["data"])
        elif topic in self._ticker_fields:
            self._ticker_fields[topic].update(frame["data"])
        fields = self._ticker_fields.get(topic)
        if not fields or not fields.get("bid1Price") or not fields.get("ask1Price"):
            return ()  # a delta before its snapshot, or a market without a bid or an ask
        quote = _quote(fields, frame["ts"])
        if self._pace.due(topic, frame["ts"]):
            return quote, _summary(fields, frame["ts"])
        return (quote,)


def _quote(fields: dict[str, Any], timestamp: int) -> Quote:
    return Quote(
        market_id=fields["symbol"],
        bid=float(fields["bid1Price"]),
        ask=float(fields["ask1Price"]),
        bid_size=float(fields["bid1Size"]),
        ask_size=float(fields["ask1Size"]),
        last=float(fields["lastPrice"]),
        timestamp=timestamp,
    )


def _print(row: dict[str, Any]) -> Print:
    return Print(
        market_id=row["s"],
        id=row["i"],
        price=float(row["p"]),
        size=float(row["v"]),
        side=row["S"].lower(),
        timestamp=row["T"],
    )


def _book(frame: dict[str, Any]) -> BookUpdate:
    """`u` grows by one with each delta; the venue starts anew with a snapshot and u = 1."""
    data = frame["data"]
    return BookUpdate(
        market_id=data["s"],
        snapshot=frame["type"] == "snapshot",
        bids=data["b"],
        asks=data["a"],
        timestamp=frame["ts"],
        last=data["u"],
    )


def _summary(fields: dict[str, Any], timestamp: int) -> Summary:
    next_funding = fields.get("nextFundingTime")
    said = {
        "day": Day(
            open=price(fields.get("prevPrice24h")),
            high=price(fields.get("highPrice24h")),
            low=price(fields.get("lowPrice24h")),
            change=difference(fields.get("lastPrice"), fields.get("prevPrice24h")),
            percentage=percent(fields.get("price24hPcnt")),
            base_volume=number(fields.get("volume24h")),
            quote_volume=number(fields.get("turnover24h")),
        ),
        "volume_24h": number(fields.get("volume24h")),
        "mark_price": price(fields.get("markPrice")),
        "index_price": price(fields.get("indexPrice")),
        "funding_rate": number(fields.get("fundingRate")),
        "next_funding_time": int(next_funding) if next_funding else None,
        "funding_interval_h": price(fields.get("fundingIntervalHour")),
        "open_interest": number(fields.get("openInterest")),
        "open_interest_value": number(fields.get("openInterestValue")),
        "timestamp": timestamp,
    }
    return Summary(fields["symbol"], said)


def _liquidated(row: dict[str, Any]) -> Liquidated:
    """`S` is the side of the position: "Buy", a long one was closed. `p` is its bankruptcy
    price."""
    return Liquidated(
        market_id=row["s"],
        id=None,
        price=float(row["p"]),
        size=float(row["v"]),
        side="sell" if row["S"] == "Buy" else "buy",
        timestamp=row["T"],
    )


def _candle(market_id: str, timeframe: str, row: dict[str, Any]) -> Candle:
    return Candle(
        market_id=market_id,
        timeframe=timeframe,
        start=row["start"],
        open=float(row["open"]),
        high=float(row["high"]),
        low=float(row["low"]),
        close=float(row["close"]),
        volume=float(row["volume"]),
        closed=row["confirm"],
        timestamp=row["timestamp"],
        quote_volume=float(row["turnover"]),
    )
