"""Answers out of what the streams bring: in ccxt's unified form, sizes in base units."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from shared.clock import Clock, ms_at
from shared.config import Collection
from shared.config.live import Live
from workers.collector.assembly import levels
from workers.collector.parts import Part, Parts


class LiveAnswer(NamedTuple):
    """A result, and how old the oldest part of it that matters is."""

    result: Any
    age_s: float


class LiveAnswers:
    """Says what a method of ccxt would, where that is known and fresh enough; else None."""

    def __init__(
        self,
        parts: Callable[[], Mapping[str, Parts]],
        markets: Callable[[], LiveAnswer | None],
        depth: int,
        collection: Live[Collection],
        clock: Clock,
    ) -> None:
        self._parts = parts
        self._markets = markets
        self._depth = depth
        self._collection = collection
        self._clock = clock
        self._answers: dict[str, Callable[[Mapping[str, Any], float | None], Any]] = {
            "fetch_ticker": self._ticker,
            "fetch_tickers": self._tickers,
            "fetch_order_book": self._order_book,
            "fetch_funding_rate": self._funding_rate,
            "fetch_mark_price": self._mark_price,
        }

    def answer(
        self, method: str, arguments: Mapping[str, Any], max_age_s: float | None
    ) -> LiveAnswer | None:
        """`max_age_s` bounds the age in place of `collection.max_age`. What is listed is answered
        however old: a megabyte, which the collector asks for as often as it has to."""
        if method == "fetch_markets":
            return self._markets()
        answer = self._answers.get(method)
        if answer is None or max_age_s == 0:
            return None
        found: LiveAnswer | None = answer(arguments, max_age_s)
        return found

    def _ticker(self, arguments: Mapping[str, Any], max_age_s: float | None) -> LiveAnswer | None:
        parts = self._parts().get(arguments["symbol"])
        if parts is None or parts.last is None:
            return None
        limits = self._collection.value.max_age
        age_s = self._age_s(parts.quote, limits.ticker_s if max_age_s is None else max_age_s)
        if age_s is None or parts.quote is None:
            return None
        bid, ask = parts.quote.value
        day = parts.day.value if parts.day else None
        last = parts.last.value
        return LiveAnswer(
            {
                "symbol": parts.symbol,
                **self._time(parts.quote),
                "high": day.high if day else None,
                "low": day.low if day else None,
                "bid": bid,
                "bidVolume": None,
                "ask": ask,
                "askVolume": None,
                "vwap": None,
                "open": day.open if day else None,
                "close": last,
                "last": last,
                "previousClose": None,
                "change": day.change if day else None,
                "percentage": day.percentage if day else None,
                "average": None,
                "baseVolume": parts.volume_24h.value if parts.volume_24h else None,
                "quoteVolume": day.quote_volume if day else None,
                "markPrice": _value(parts.mark_price),
                "indexPrice": _value(parts.index_price),
                "info": {},
            },
            age_s,
        )

    def _tickers(self, arguments: Mapping[str, Any], max_age_s: float | None) -> LiveAnswer | None:
        """Of symbols that are named; all of them, or none."""
        named = arguments.get("symbols")
        if not named:
            return None
        each = {symbol: self._ticker({"symbol": symbol}, max_age_s) for symbol in named}
        found = {symbol: one for symbol, one in each.items() if one is not None}
        if len(found) < len(each):
            return None
        oldest_s = max(one.age_s for one in found.values())
        return LiveAnswer({symbol: one.result for symbol, one in found.items()}, oldest_s)

    def _order_book(
        self, arguments: Mapping[str, Any], max_age_s: float | None
    ) -> LiveAnswer | None:
        parts = self._parts().get(arguments["symbol"])
        book = parts.book if parts else None
        if parts is None or book is None:
            return None
        age_s = self._clock.monotonic() - book.at
        limit_s = self._collection.value.max_age.orderbook_s if max_age_s is None else max_age_s
        depth = arguments.get("limit") or self._depth
        if age_s > limit_s or depth > self._depth:
            return None
        bids, asks = levels(book, depth, parts.contract_size)
        time = book.timestamp or ms_at(self._clock, book.at)
        result = {
            "symbol": parts.symbol,
            "bids": bids,
            "asks": asks,
            "timestamp": time,
            "datetime": _iso(time),
            "nonce": None,
        }
        return LiveAnswer(result, age_s)

    def _funding_rate(
        self, arguments: Mapping[str, Any], max_age_s: float | None
    ) -> LiveAnswer | None:
        parts = self._parts().get(arguments["symbol"])
        limit_s = self._collection.value.max_age.funding_s if max_age_s is None else max_age_s
        age_s = self._age_s(parts.funding_rate, limit_s) if parts else None
        if parts is None or age_s is None:
            return None
        following = _value(parts.next_funding_time)
        hours = _value(parts.funding_interval_h)
        result = {
            "symbol": parts.symbol,
            "fundingRate": _value(parts.funding_rate),
            "fundingTimestamp": following,
            "fundingDatetime": _iso(following),
            "interval": f"{hours:g}h" if hours else None,
            "markPrice": _value(parts.mark_price),
            "indexPrice": _value(parts.index_price),
            **self._time(parts.funding_rate),
            "info": {},
        }
        return LiveAnswer(result, age_s)

    def _mark_price(
        self, arguments: Mapping[str, Any], max_age_s: float | None
    ) -> LiveAnswer | None:
        parts = self._parts().get(arguments["symbol"])
        limit_s = self._collection.value.max_age.mark_price_s if max_age_s is None else max_age_s
        age_s = self._age_s(parts.mark_price, limit_s) if parts else None
        if parts is None or age_s is None:
            return None
        result = {
            "symbol": parts.symbol,
            **self._time(parts.mark_price),
            "markPrice": _value(parts.mark_price),
            "indexPrice": _value(parts.index_price),
            "info": {},
        }
        return LiveAnswer(result, age_s)

    def _age_s(self, part: Part[Any] | None, limit_s: float) -> float | None:
        """None of what is missing or too old."""
        if part is None:
            return None
        age_s = self._clock.monotonic() - part.at
        return age_s if age_s <= limit_s else None

    def _time(self, part: Part[Any] | None) -> dict[str, Any]:
        """When it was received: what streams say of their own time is not kept with each part."""
        at = ms_at(self._clock, part.at) if part else None
        return {"timestamp": at, "datetime": _iso(at)}


def _value(part: Part[Any] | None) -> Any:
    return part.value if part is not None else None


def _iso(ms: int | None) -> str | None:
    if ms is None:
        return None
    second = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"
