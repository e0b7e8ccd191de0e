"""Drivers against a venue that a test plays by hand."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.errors import BookDesyncError, ExchangeError, NetworkError, NotSentError
from tests.fakes import FakeClock
from tests.waiting import eventually
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.streams import Streams

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
BOOK, TRADES = Subscription(StreamKind.BOOK, BTC), Subscription(StreamKind.TRADES, BTC)


def streams_of(*symbols: str) -> set[Subscription]:
    return {Subscription(kind, symbol) for kind in StreamKind for symbol in symbols}


class HandVenue:
    """Each watch waits until the test ends it with an error."""

    def __init__(self) -> None:
        self.waiting: dict[Subscription, asyncio.Future[Any]] = {}
        self.log: list[str] = []
        self.unwatch_fails = False
        self.unsent = 0

    async def watch(self, stream: Subscription) -> None:
        self.log.append(f"watch {stream}")
        future = self.waiting[stream] = asyncio.get_running_loop().create_future()
        try:
            await future
        finally:
            self.waiting.pop(stream, None)

    async def unwatch(self, stream: Subscription) -> None:
        self.log.append(f"unwatch {stream}")
        if self.unsent:
            self.unsent -= 1
            raise NotSentError("other frames were in the way")
        if self.unwatch_fails:
            raise NetworkError("no answer")

    def drop_connections(self) -> None:
        self.log.append("drop connections")

    async def fail(self, stream: Subscription, error: Exception) -> None:
        await eventually(lambda: stream in self.waiting)
        future = self.waiting[stream]
        future.set_exception(error)
        await eventually(lambda: self.waiting.get(stream) is not future)


class QuickClock(FakeClock):
    """Sleeps take a moment, so that other tasks run."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.elapsed_s += seconds
        await asyncio.sleep(0.001)


@asynccontextmanager
async def driving(venue: HandVenue, *symbols: str) -> AsyncIterator[Streams]:
    streams = Streams(venue, QuickClock(), logging.getLogger("test"))  # type: ignore[arg-type]
    streams.apply(streams_of(*symbols))
    try:
        yield streams
    finally:
        await streams.stop()


async def test_a_set_of_streams_is_watched_and_what_leaves_it_is_unwatched() -> None:
    venue = HandVenue()
    async with driving(venue, BTC, ETH) as streams:
        await eventually(lambda: set(venue.waiting) == streams_of(BTC, ETH))
        streams.apply(streams_of(ETH))
        unwatched = {f"unwatch {stream}" for stream in streams_of(BTC)}
        await eventually(lambda: unwatched <= set(venue.log))
        assert set(venue.waiting) == streams_of(ETH)
        streams.apply(streams_of(BTC, ETH))
        await eventually(lambda: set(venue.waiting) == streams_of(BTC, ETH))


@pytest.mark.parametrize(
    "error", [NetworkError("away"), ExchangeError("no"), BookDesyncError("gap")]
)
@pytest.mark.parametrize("kind", StreamKind)
async def test_a_driver_goes_on_after_any_error_and_says_so(
    kind: StreamKind, error: Exception
) -> None:
    venue, lost = HandVenue(), list[tuple[Subscription, str]]()
    stream = Subscription(kind, BTC)
    async with driving(venue, BTC) as streams:
        streams.on_lost = lambda stream, reason: lost.append((stream, reason))
        for _ in range(5):
            await venue.fail(stream, error)
        await eventually(lambda: set(venue.waiting) == streams_of(BTC))
    assert lost == [(stream, str(error))] * 5


async def test_one_stream_is_subscribed_anew_and_the_others_go_on() -> None:
    venue = HandVenue()
    async with driving(venue, BTC, ETH) as streams:
        await eventually(lambda: set(venue.waiting) == streams_of(BTC, ETH))
        others = {s: future for s, future in venue.waiting.items() if s != BOOK}
        venue.log.clear()
        streams.resubscribe(BOOK, "gap")
        await eventually(lambda: f"watch {BOOK}" in venue.log)
        assert venue.log == [f"unwatch {BOOK}", f"watch {BOOK}"]
        assert {s: future for s, future in venue.waiting.items() if s != BOOK} == others
        assert streams.resubscriptions == 1


async def test_a_stream_that_is_renewed_again_and_again_waits_longer_each_time() -> None:
    venue = HandVenue()
    async with driving(venue, BTC) as streams:
        clock: Any = streams._clock
        for _ in range(9):
            await eventually(lambda: BOOK in venue.waiting)
            clock.slept.clear()
            venue.log.clear()
            streams.resubscribe(BOOK, "checksum")
            await eventually(lambda: f"watch {BOOK}" in venue.log)
        assert max(clock.slept) > 5


async def test_a_venue_that_does_not_take_the_unsubscribe_loses_its_connections() -> None:
    venue = HandVenue()
    async with driving(venue, BTC, ETH) as streams:
        await eventually(lambda: set(venue.waiting) == streams_of(BTC, ETH))
        venue.unwatch_fails = True
        streams.apply(streams_of(ETH))
        await eventually(lambda: venue.log.count("drop connections") == len(StreamKind))


async def test_what_is_wanted_again_is_subscribed_once_it_was_unsubscribed() -> None:
    venue = HandVenue()
    async with driving(venue, BTC) as streams:
        await eventually(lambda: set(venue.waiting) == streams_of(BTC))
        venue.log.clear()
        venue.unsent = 2
        streams.apply([])
        streams.apply({BOOK})
        await eventually(lambda: f"watch {BOOK}" in venue.log)
        of_book = [line for line in venue.log if line.endswith(str(BOOK))]
        assert of_book[-1] == f"watch {BOOK}" and of_book.count(f"watch {BOOK}") == 1
        assert f"unwatch {BOOK}" in of_book
        assert "drop connections" not in venue.log, "what was not sent was not refused"


async def test_a_refused_stream_costs_no_other_its_place() -> None:
    venue = HandVenue()
    async with driving(venue, BTC):
        for _ in range(3):
            await venue.fail(TRADES, ExchangeError("no such stream"))
        assert set(venue.waiting) >= streams_of(BTC) - {TRADES}
