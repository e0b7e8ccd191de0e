"""The pure parts of the collector: grid, assembly, budget, retries."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import Backoff
from shared.config import Collection, MaxAge
from shared.config.live import Live
from shared.errors import (
    DataProcessingError,
)
from workers.collector.assembly import Assembler, base_units
from workers.collector.books.orderbook import OrderBook
from workers.collector.events import RestUpdate
from workers.collector.grid import Grid, offset_ms
from workers.collector.parts import Part, Parts

NOW, NOW_MS = 1000.0, 1_800_000_000_000
SYMBOL = "BTC/USDT:USDT"


def book(bids: Any, asks: Any, timestamp: int | None, at: float) -> OrderBook:
    made = OrderBook(checksummed=False)
    made.replace(bids, asks, None)
    made.timestamp, made.at = timestamp, at
    return made


def complete(**changes: Any) -> Parts:
    parts = Parts(SYMBOL)
    parts.quote = Part((100.0, 100.5), NOW - 1, "stream")
    parts.last = Part(100.2, NOW - 2, "stream")
    parts.volume_24h = Part(5.0, NOW - 3, "rest")
    parts.funding_rate = Part(0.0001, NOW - 3, "rest")
    parts.next_funding_time = Part(NOW_MS + 1000, NOW - 3, "rest")
    parts.mark_price = Part(100.3, NOW - 3, "rest")
    parts.book = book([[100.0, 1.0], [99.0, 2.0]], [[100.5, 1.0]], NOW_MS - 5, NOW - 0.5)
    for name, value in changes.items():
        setattr(parts, name, value)
    return parts


def assembled(parts: Parts) -> Any:
    return Assembler("binance", 1000, Live(Collection())).assemble(parts, NOW, NOW_MS)


def test_a_complete_symbol_becomes_one_message() -> None:
    data = assembled(complete())
    assert data.ticker.model_dump() == {
        "bid": 100.0,
        "ask": 100.5,
        "last": 100.2,
        "volume_24h": 5.0,
    }
    assert data.orderbook.timestamp == NOW_MS - 5
    assert (data.funding_rate, data.mark_price) == (0.0001, 100.3)
    assert data.next_funding_time == NOW_MS + 1000
    assert data.extra["ages_ms"]["orderbook"] == 500
    assert data.extra["orderbook_timestamp_source"] == "venue"


@pytest.mark.parametrize("part", ["quote", "last", "book"])
def test_a_missing_required_part_skips_the_symbol(part: str) -> None:
    with pytest.raises(DataProcessingError):
        assembled(complete(**{part: None}))


def test_a_stale_quote_or_book_skips_the_symbol() -> None:
    quoted, booked = complete(quote=Part((100.0, 100.5), NOW - 1e6, "stream")), complete()
    assert booked.book is not None
    booked.book.at = NOW - 1e6
    for parts in (quoted, booked):
        with pytest.raises(DataProcessingError, match="old"):
            assembled(parts)


@pytest.mark.parametrize("part", ["funding_rate", "next_funding_time", "mark_price"])
def test_a_stale_optional_part_becomes_null(part: str) -> None:
    parts = complete()
    setattr(parts, part, Part(getattr(parts, part).value, NOW - 1e6, "rest"))
    assert getattr(assembled(parts), part) is None


@pytest.mark.parametrize(
    ("limit", "part", "told"),
    [
        ("volume_s", "volume_24h", lambda data: data.ticker.volume_24h),
        ("funding_s", "funding_rate", lambda data: data.funding_rate),
        ("mark_price_s", "mark_price", lambda data: data.mark_price),
    ],
)
def test_how_old_an_optional_part_may_be_is_configured(limit: str, part: str, told: Any) -> None:
    parts = complete()
    setattr(parts, part, Part(getattr(parts, part).value, NOW - 50, "rest"))
    for seconds in (51, 49):
        collection = Live(Collection(max_age=MaxAge(**{limit: seconds})))
        data = Assembler("binance", 1000, collection).assemble(parts, NOW, NOW_MS)
        assert (told(data) is None) == (seconds < 50)


def test_a_settlement_that_has_passed_is_not_the_next_one() -> None:
    assert (
        assembled(complete(next_funding_time=Part(NOW_MS, NOW, "rest"))).next_funding_time is None
    )


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([[101.0, 1.0]], [[100.5, 1.0]]),  # crossed
        ([], [[100.5, 1.0]]),
    ],
)
def test_an_unsound_book_is_never_published(bids: Any, asks: Any) -> None:
    with pytest.raises(DataProcessingError):
        assembled(complete(book=book(bids, asks, None, NOW)))


def test_a_book_without_a_time_gets_ours_and_says_so() -> None:
    data = assembled(complete(book=book([[100.0, 1.0]], [[100.5, 1.0]], None, NOW - 2)))
    assert data.orderbook.timestamp == NOW_MS - 2000
    assert data.extra["orderbook_timestamp_source"] == "received"


def test_sizes_in_contracts_become_base_units_without_noise() -> None:
    assert base_units(3, 0.1) == 0.3
    assert base_units(108, 0.0001) == 0.0108
    data = assembled(complete(contract_size=0.001))
    assert data.orderbook.bids == [[100.0, 0.001], [99.0, 0.002]]


@given(st.text(min_size=1, max_size=20), st.integers(5000, 60_000))
def test_a_symbol_has_one_point_in_each_interval(symbol: str, interval_ms: int) -> None:
    assert 0 <= offset_ms(symbol, interval_ms) < interval_ms
    grid = Grid(interval_ms)
    grid.set_symbols([symbol], NOW_MS)
    step = max(1, interval_ms // 50)
    times = range(NOW_MS, NOW_MS + 20 * interval_ms, step)
    cycles = [cycle for now in times for _, cycle in grid.due(now)]
    assert 19 <= len(cycles) <= 20
    assert all(b - a == interval_ms for a, b in itertools.pairwise(cycles))


def test_grid_points_that_passed_are_skipped() -> None:
    grid = Grid(5000)
    grid.set_symbols([SYMBOL], NOW_MS)
    assert len(grid.due(NOW_MS + 60_000)) == 1
    assert grid.due(NOW_MS + 60_001) == []


def test_a_clock_that_is_set_back_does_not_stop_the_grid() -> None:
    grid = Grid(5000)
    grid.set_symbols([SYMBOL], NOW_MS)
    assert len(grid.due(NOW_MS + 5000)) == 1
    assert grid.due(NOW_MS + 4999 - 5000) == []
    an_hour_back = NOW_MS - 3_600_000
    assert sum(len(grid.due(an_hour_back + n * 1000)) for n in range(60)) in (12, 13)


def test_a_rest_body_does_not_replace_what_came_after_it_was_asked_for() -> None:
    parts = complete()
    parts.apply(RestUpdate(SYMBOL, bid=1.0, ask=2.0, last=3.0), NOW - 60)
    assert parts.quote == Part((100.0, 100.5), NOW - 1, "stream")
    assert parts.last == Part(100.2, NOW - 2, "stream")


def test_a_rest_body_replaces_what_it_says_and_nothing_else() -> None:
    parts = complete()
    parts.apply(RestUpdate(SYMBOL, bid=1.0, ask=2.0, mark_price=3.0), NOW)
    assert parts.quote == Part((1.0, 2.0), NOW, "rest")
    assert parts.mark_price == Part(3.0, NOW, "rest")
    assert parts.last == Part(100.2, NOW - 2, "stream")


def test_back_off_grows_to_its_cap_and_starts_again() -> None:
    backoff = Backoff(1.0, 8.0)
    delays = [backoff.next_s() for _ in range(50)]
    ceilings = [1, 2, 4, *[8] * 47]
    assert all(c / 2 <= d <= c for d, c in zip(delays, ceilings, strict=True))
    backoff.reset()
    assert backoff.next_s() <= 1
