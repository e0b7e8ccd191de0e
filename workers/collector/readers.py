"""What the answers of REST requests say about each symbol, in one form for all venues."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from workers.collector.events import RestUpdate

Reader = Callable[[Any, str | None, int], Iterable[RestUpdate]]


def tickers(answer: Any, symbol: str | None, now_ms: int) -> Iterator[RestUpdate]:
    """Unified tickers, by symbol or as a list; each may hold a funding rate under `funding`."""
    rows = answer.values() if isinstance(answer, dict) else answer
    for row in rows:
        funding = row.get("funding") or {}
        yield RestUpdate(
            symbol=row["symbol"],
            bid=row.get("bid"),
            ask=row.get("ask"),
            last=row.get("last"),
            volume_24h=row.get("baseVolume"),
            funding_rate=funding.get("fundingRate"),
            next_funding_time=_next_funding(funding, now_ms),
            mark_price=row.get("markPrice"),
        )


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
    "funding": funding,
    "funding_of_one": funding_of_one,
    "mark_candle": mark_candle,
}


def _funding(row: dict[str, Any], now_ms: int) -> RestUpdate:
    return RestUpdate(
        symbol=row["symbol"],
        funding_rate=row.get("fundingRate"),
        next_funding_time=_next_funding(row, now_ms),
        mark_price=row.get("markPrice"),
    )


def _next_funding(row: dict[str, Any], now_ms: int) -> int | None:
    """The next settlement. `fundingTimestamp` is that on most venues, in spite of its name; where
    both are filled it is the earlier one that lies ahead."""
    times = (row.get("fundingTimestamp"), row.get("nextFundingTimestamp"))
    return min((time for time in times if time is not None and time > now_ms), default=None)
