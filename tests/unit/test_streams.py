"""Drivers against a venue that a test plays by hand."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.errors import BookDesyncError, ExchangeError, NetworkError
from tests.fakes import FakeClock
from tests.unit.test_intake import BTC, RecordingOutbox
from tests.waiting import eventually
from workers.collector.catalogue import StreamKind
from workers.collector.client import Market
from workers.collector.intake import Intake
from workers.collector.quarantine import Quarantine
from workers.collector.streams import Streams

ETH = "ETH/USDT:USDT"
BOOK = {"bids": [[1.0, 1.0]], "asks": [[2.0, 1.0]], "timestamp": 5, "nonce": 7}


class HandVenue:
    """Each watch waits until the test gives it a value or an error."""

    def __init__(self) -> None:
        self.waiting: dict[tuple[StreamKind, str], asyncio.Future[Any]] = {}
        self.log: list[str] = []
        self.unwatch_fails = False

    async def watch(self, kind: StreamKind, symbol: str) -> Any:
        self.log.append(f"watch {kind.value} {symbol}")
        future = asyncio.get_running_loop().create_future()
        self.waiting[kind, symbol] = future
        try:
            return await future
        finally:
            self.waiting.pop((kind, symbol), None)

    async def unwatch(self, kind: StreamKind, symbol: str) -> None:
        self.log.append(f"unwatch {kind.value} {symbol}")
        if self.unwatch_fails:
            raise NetworkError("no answer")

    def forget_book(self, symbol: str) -> None:
        self.log.append(f"forget {symbol}")

    def drop_connections(self) -> None:
        self.log.append("drop connections")

    async def prepay_snapshot(self) -> None:
        self.log.append("pay")

    def watched(self) -> set[tuple[StreamKind, str]]:
        return set(self.waiting)

    async def give(self, kind: StreamKind, symbol: str, value: Any) -> None:
        await eventually(lambda: (kind, symbol) in self.waiting)
        future = self.waiting[kind, symbol]
        if isinstance(value, Exception):
            future.set_exception(value)
        else:
            future.set_result(value)
        await eventually(lambda: self.waiting.get((kind, symbol), None) not in (future,))


class QuickClock(FakeClock):
    """Sleeps take a moment, so that other tasks run."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.elapsed_s += seconds
        await asyncio.sleep(0.001)


@asynccontextmanager
async def streams_of(venue: HandVenue, *symbols: str) -> AsyncIterator[Streams]:
    clock, log = QuickClock(), logging.getLogger("test")
    intake = Intake("x", RecordingOutbox(), Quarantine(log), clock)  # type: ignore[arg-type]
    streams = Streams(venue, intake, clock, log)  # type: ignore[arg-type]
    intake.set_markets([Market(symbol, symbol, 1.0) for symbol in symbols])
    await streams.apply(list(symbols))
    try:
        yield streams
    finally:
        await streams.stop()


def book_of(streams: Streams, symbol: str = BTC) -> Any:
    return streams._intake.parts[symbol].book


async def test_a_set_of_symbols_is_watched_and_what_leaves_it_is_unwatched() -> None:
    venue = HandVenue()
    async with streams_of(venue, BTC, ETH) as streams:
        everything = {(kind, symbol) for kind in StreamKind for symbol in (BTC, ETH)}
        await eventually(lambda: venue.watched() == everything)
        await streams.apply([ETH])
        assert venue.watched() == {(kind, ETH) for kind in StreamKind}
        assert {f"unwatch {kind.value} {BTC}" for kind in StreamKind} <= set(venue.log)
        assert f"forget {BTC}" in venue.log
        await streams.apply([ETH, BTC])
        await eventually(lambda: venue.watched() == everything)


@pytest.mark.parametrize(
    "error", [NetworkError("away"), ExchangeError("no"), BookDesyncError("gap")]
)
@pytest.mark.parametrize("kind", StreamKind)
async def test_a_driver_goes_on_after_any_error(kind: StreamKind, error: Exception) -> None:
    venue = HandVenue()
    async with streams_of(venue, BTC):
        for _ in range(5):
            await venue.give(kind, BTC, error)
        await eventually(lambda: len(venue.watched()) == 3)


async def test_a_book_is_void_from_its_error_to_its_next_value() -> None:
    venue = HandVenue()
    async with streams_of(venue, BTC) as streams:
        await venue.give(StreamKind.BOOK, BTC, BOOK)
        assert book_of(streams).value.update_id == 7
        await venue.give(StreamKind.BOOK, BTC, NetworkError("cut"))
        assert book_of(streams) is None
        await venue.give(StreamKind.BOOK, BTC, BOOK)
        assert book_of(streams) is not None


async def test_a_lost_book_is_void_at_once_and_subscribed_anew() -> None:
    venue = HandVenue()
    async with streams_of(venue, BTC, ETH) as streams:
        await venue.give(StreamKind.BOOK, BTC, BOOK)
        await venue.give(StreamKind.BOOK, ETH, BOOK)
        venue.log.clear()
        streams.lose_book(BTC, "gap")
        streams.lose_book(BTC, "gap")
        assert book_of(streams) is None
        assert book_of(streams, ETH) is not None
        await eventually(lambda: f"watch book {BTC}" in venue.log)
        assert venue.log == [f"unwatch book {BTC}", f"forget {BTC}", "pay", f"watch book {BTC}"]
        await venue.give(StreamKind.BOOK, BTC, BOOK)
        assert book_of(streams) is not None
        assert streams.resyncs == 1


async def test_a_book_that_is_lost_again_and_again_waits_longer_each_time() -> None:
    venue = HandVenue()
    async with streams_of(venue, BTC) as streams:
        clock: Any = streams._clock
        for _ in range(8):
            await venue.give(StreamKind.BOOK, BTC, BOOK)
            clock.slept.clear()
            venue.log.clear()
            streams.lose_book(BTC, "checksum")
            await eventually(lambda: f"watch book {BTC}" in venue.log)
        assert max(clock.slept) > 5


async def test_a_venue_that_does_not_take_the_unsubscribe_loses_its_connections() -> None:
    venue = HandVenue()
    async with streams_of(venue, BTC, ETH) as streams:
        await eventually(lambda: len(venue.watched()) == 6)
        venue.unwatch_fails = True
        await streams.apply([ETH])
        assert venue.log.count("drop connections") == 3
        assert f"forget {BTC}" in venue.log
