"""What a replay takes for the name of a stream, against what real clients and venues say: a frame
has to find whoever asked for it."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from shared.budget import Budget
from shared.clock import SystemClock
from shared.config import VenueConfig, VenueUrls
from shared.kinds import Kind
from shared.tasks import ended
from simulator.happening import Rates
from simulator.recorded import RECORDED, Recorded
from simulator.server import Server, Settings
from tests.venues import VENUES, listed, timeframes
from tests.waiting import eventually
from workers.collector.access import Access
from workers.collector.catalogue import CATALOGUE
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.client import VenueClient
from workers.collector.events import Event
from workers.collector.recording.tap import Tap
from workers.collector.recording.tape import Tape

SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
TIMEFRAMES = ("1m", "5m", "1h", "4h", "1d")


class Ignoring:
    """A sink for frames that are only looked at on the tape."""

    def on_events(self, events: Sequence[Event], received_at: int) -> None: ...

    def on_bad_row(self, kind: Kind, row: object, error: Exception) -> None:
        raise AssertionError(row) from error

    def on_bad_frame(self, frame: object, error: Exception) -> None:
        raise AssertionError(frame) from error

    def on_dataless_frame(self) -> None: ...


@asynccontextmanager
async def taped(venue: str) -> AsyncIterator[tuple[VenueClient, Tape]]:
    """A client of a simulated venue, and all that passes between the two."""
    rates = Rates(liquidation=600)
    async with Server(Settings(port=0, symbols=2, rates=rates)) as server:
        base, clock, row = f"127.0.0.1:{server.port}/{venue}", SystemClock(), CATALOGUE[venue]
        config = VenueConfig(urls=VenueUrls(rest=f"http://{base}", ws=f"ws://{base}"))
        budget = Budget(row.limits, clock)
        client = VenueClient(row, Access(config), budget, clock)
        client.send_frames_to(Ignoring())
        tape = Tape(time.time_ns)
        client.record_by(Tap(tape, ()))
        await client.load_markets()
        try:
            yield client, tape
        finally:
            await client.close()


def symbols(venue: str) -> list[str]:
    return [listed(venue, symbol) for symbol in SYMBOLS]


def subscriptions(venue: str) -> list[Subscription]:
    collected = [one for one in TIMEFRAMES if one in timeframes(venue)]
    return [
        Subscription(kind, symbol, timeframe)
        for symbol in symbols(venue)
        for kind in CATALOGUE[venue].streams
        for timeframe in (collected if kind is StreamKind.CANDLES else ("",))
    ]


def asked(tape: Tape, words: Recorded) -> tuple[set[str], set[str]]:
    """The streams that the client joined and left."""
    joined: set[str] = set()
    left: set[str] = set()
    for entry in tape.entries:
        if entry[2] == "send" and isinstance(entry[3], str):
            change = words.command(entry[3])
            joined |= change.joined
            left |= change.left
    return joined, left


def came(tape: Tape, words: Recorded) -> set[str]:
    return {s for entry in tape.entries if entry[2] == "recv" for s in words.belongs(entry[3])}


@pytest.mark.parametrize("venue", VENUES)
async def test_frames_and_commands_agree_on_the_names_of_all_streams(venue: str) -> None:
    words, streams = RECORDED[venue](), subscriptions(venue)
    async with taped(venue) as (client, tape):
        watching = [asyncio.create_task(client.watch(stream)) for stream in streams]
        try:
            # One stream brings okx's liquidations of all symbols.
            count = len(streams) - (len(SYMBOLS) - 1) * (venue == "okx")
            await eventually(lambda: len(asked(tape, words)[0]) >= count, 15)
            joined, left = asked(tape, words)
            assert len(joined) == count
            await eventually(lambda: joined <= came(tape, words), 15)
            assert came(tape, words) == joined
            assert left == set()
        finally:
            await ended(*watching)
        for stream in streams:
            await client.unwatch(stream)
        assert asked(tape, words) == (joined, joined)


@pytest.mark.parametrize("venue", VENUES)
async def test_each_book_that_starts_from_rest_is_known_as_one(venue: str) -> None:
    words, row = RECORDED[venue](), CATALOGUE[venue]
    async with taped(venue) as (client, tape):
        books = [Subscription(StreamKind.BOOK, symbol) for symbol in symbols(venue)]
        watching = [asyncio.create_task(client.watch(stream)) for stream in books]
        try:
            await eventually(lambda: len(came(tape, words)) == len(SYMBOLS), 10)
            markets = {words.book(stream) for stream in came(tape, words)}
            if row.book.snapshot is None:
                assert markets == {None}
                return
            assert markets == {client.markets[symbol].id for symbol in SYMBOLS}
            await client.fetch_book(SYMBOLS[0])
            url = next(e[4]["url"] for e in reversed(tape.entries) if e[2] == "rest" and e[4])
            assert words.snapshot_path is not None
            assert f"{words.snapshot_path}?" in url
            assert f"{words.subject}={client.markets[SYMBOLS[0]].id}" in url
        finally:
            await ended(*watching)
