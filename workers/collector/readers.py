"""What the answers of REST requests say about each symbol, in one form for all venues."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from workers.collector.events import Day, RestUpdate
from workers.collector.numbers import price

Reader = Callable[[Any, str | None, int], Iterable[RestUpdate]]


def tickers(answer: Any, symbol: str | None, now_ms: int) -> Iterator[RestUpdate]:
    """Unified tickers, by symbol or as a list; each may hold a funding rate under `funding`, and
    an open interest in the words that ccxt has for it elsewhere."""
    for row in _rows(answer):
        funding = row.get("funding") or {}
        yield RestUpdate(
            symbol=row["symbol"],
            bid=row.get("bid"),
            ask=row.get("ask"),
            last=price(row.get("last")),
            volume_24h=row.get("baseVolume"),
            day=_day(row),
            funding_rate=funding.get("fundingRate"),
            next_funding_time=_next_funding(funding, now_ms),
            funding_interval_h=_hours(funding.get("interval")),
            mark_price=price(row.get("markPrice")),
            index_price=price(row.get("indexPrice")),
            open_interest=row.get("openInterestAmount"),
            open_interest_value=row.get("openInterestValue"),
            timestamp=funding.get("timestamp") or row.get("timestamp"),
        )


def best_prices(answer: Any, symbol: str | None, now_ms: int) -> Iterator[RestUpdate]:
    """Unified tickers that hold best prices alone."""
    for row in _rows(answer):
        yield RestUpdate(symbol=row["symbol"], bid=row.get("bid"), ask=row.get("ask"))


def latest_prices(answer: Any, symbol: str | None, now_ms: int) -> Iterator[RestUpdate]:
    """Unified tickers, of which only the best prices and the last one are wanted."""
    for row in _rows(answer):
        yield RestUpdate(
            symbol=row["symbol"],
            bid=row.get("bid"),
            ask=row.get("ask"),
            last=price(row.get("last")),
        )


def prices(answer: Any, symbol: str | None, now_ms: int) -> Iterator[RestUpdate]:
    """Mark or index prices by symbol, or as a list."""
    for row in _rows(answer):
        mark, index = price(row.get("markPrice")), price(row.get("indexPrice"))
        yield RestUpdate(symbol=row["symbol"], mark_price=mark, index_price=index)


def open_interest(answer: Any, symbol: str | None, now_ms: int) -> Iterator[RestUpdate]:
    """One unified open interest."""
    yield _open_interest(answer)


def open_interests(answer: Any, symbol: str | None, now_ms: int) -> Iterator[RestUpdate]:
    """Unified open interests by symbol."""
    for row in _rows(answer):
        yield _open_interest(row)


def funding(answer: Any, symbol: str | None, now_ms: int) -> Iterator[RestUpdate]:
    """Unified funding rates by symbol."""
    for row in answer.values():
        yield _funding(row, now_ms)


def funding_of_one(answer: Any, symbol: str | None, now_ms: int) -> Iterator[RestUpdate]:
    """One unified funding rate."""
    yield _funding(answer, now_ms)


def mark_candle(answer: Any, symbol: str | None, now_ms: int) -> Iterator[RestUpdate]:
    """Candles of the mark price; the close of the newest is the mark price now."""
    if answer and symbol is not None:
        yield RestUpdate(symbol=symbol, mark_price=answer[-1][4])


READERS: dict[str, Reader] = {
    "tickers": tickers,
    "best_prices": best_prices,
    "latest_prices": latest_prices,
    "prices": prices,
    "open_interest": open_interest,
    "open_interests": open_interests,
    "funding": funding,
    "funding_of_one": funding_of_one,
    "mark_candle": mark_candle,
}


def _rows(answer: Any) -> Iterable[Any]:
    return answer.values() if isinstance(answer, dict) else answer


def _day(row: dict[str, Any]) -> Day:
    return Day(
        open=price(row.get("open")),
        high=price(row.get("high")),
        low=price(row.get("low")),
        change=row.get("change"),
        percentage=row.get("percentage"),
        base_volume=row.get("baseVolume"),
        quote_volume=row.get("quoteVolume"),
    )


def _open_interest(row: dict[str, Any]) -> RestUpdate:
    return RestUpdate(
        symbol=row["symbol"],
        open_interest=row.get("openInterestAmount"),
        open_interest_value=row.get("openInterestValue"),
        timestamp=row.get("timestamp"),
    )


def _hours(interval: str | None) -> float | None:
    """Of ccxt's text: "8h"."""
    return price(interval[:-1]) if interval and interval.endswith("h") else None


def _funding(row: dict[str, Any], now_ms: int) -> RestUpdate:
    return RestUpdate(
        symbol=row["symbol"],
        funding_rate=row.get("fundingRate"),
        next_funding_time=_next_funding(row, now_ms),
        funding_interval_h=_hours(row.get("interval")),
        mark_price=price(row.get("markPrice")),
        index_price=price(row.get("indexPrice")),
        timestamp=row.get("timestamp"),
    )


def _next_funding(row: dict[str, Any], now_ms: int) -> int | None:
    """The next settlement. `fundingTimestamp` is that on most venues, in spite of its name; where
    both are filled it is the earlier one that lies ahead."""
    times = (row.get("fundingTimestamp"), row.get("nextFundingTimestamp"))
    return min((time for time in times if time is not None and time > now_ms), default=None)
