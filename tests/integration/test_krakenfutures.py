"""What a collector has of a simulated krakenfutures: its books, trades, candles, and their end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from shared.budget import Budget
from shared.clock import SystemClock
from shared.config import VenueConfig, VenueUrls
from shared.errors import BookDesyncError, SymbolNotListedError
from shared.kinds import Kind
from shared.tasks import ended
from simulator.happening import Rates
from simulator.server import Server, Settings
from tests.waiting import eventually
from tests.wires import Wire
from workers.collector.access import Access
from workers.collector.books.sync import BookSync
from workers.collector.catalogue import CATALOGUE
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.client import VenueClient
from workers.collector.events import Acknowledged, BookUpdate, Event, Print, Quote, Summary

VENUE, BTC, ID = "krakenfutures", "BTC/USD:USD", "PF_XBTUSD"
ROW = CATALOGUE[VENUE]
STREAMS = [Subscription(kind, BTC) for kind in ROW.streams]


class Heard:
    """A sink that keeps what comes; nothing may be wrong with any frame."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_events(self, events: Sequence[Event], received_at: int) -> None:
        self.events += events

    def on_bad_row(self, kind: Kind, row: object, error: Exception) -> None:
        raise AssertionError(row) from error

    def on_bad_frame(self, frame: object, error: Exception) -> None:
        raise AssertionError(frame) from error

    def on_dataless_frame(self) -> None: ...

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    rates = Rates(ticker=20, book=20, trade=60, liquidation=300, funding_minutes=1)
    async with Server(Settings(port=0, symbols=2, rates=rates)) as running:
        yield running


@asynccontextmanager
async def opened(server: Server) -> AsyncIterator[tuple[VenueClient, Heard]]:
    base, clock, heard = f"127.0.0.1:{server.port}/{VENUE}", SystemClock(), Heard()
    config = VenueConfig(urls=VenueUrls(rest=f"http://{base}", ws=f"ws://{base}"))
    client = VenueClient(ROW, Access(config), Budget(ROW.limits, clock), clock)
    client.send_frames_to(heard)
    await client.load_markets()
    try:
        yield client, heard
    finally:
        await client.close()


async def test_streams_are_acknowledged_flow_and_end_on_the_venues_side(server: Server) -> None:
    async with opened(server) as (client, heard):
        watching = [asyncio.create_task(client.watch(stream)) for stream in STREAMS]
        kinds = {StreamKind.QUOTE, StreamKind.TRADES, StreamKind.BOOK}
        await eventually(lambda: {one.kind for one in heard.of(Acknowledged)} == kinds, 5)
        for kind in (Quote, Summary, Print, BookUpdate):
            await eventually(partial(heard.of, kind), 5)
        await ended(*watching)
        for stream in STREAMS:
            await client.unwatch(stream)
        assert server.venues[VENUE].subscriptions() == {}
        watching = [asyncio.create_task(client.watch(stream)) for stream in STREAMS]
        await eventually(lambda: len(heard.of(Acknowledged)) == 2 * len(kinds), 5)
        await ended(*watching)


async def test_a_book_is_the_venues_own_until_a_change_is_lost(server: Server) -> None:
    async with opened(server) as (client, heard):
        watching = asyncio.create_task(client.watch(Subscription(StreamKind.BOOK, BTC)))
        await eventually(lambda: len(heard.of(BookUpdate)) > 100, 5)
        server.paused = True
        market = server.venues[VENUE].market(ID)
        assert market is not None
        await eventually(lambda: heard.of(BookUpdate)[-1].last == market.book.update_id, 5)
        sync, updates = BookSync(ROW.book), heard.of(BookUpdate)
        assert all(map(sync.take, updates))
        assert sync.live
        view = market.book.view(ROW.book.depth)
        levels = [[market.price(abs(key)), market.base(size)] for key, size in view.items()]
        assert sync.book.bids.top(500) + sync.book.asks.top(500) == levels
        again = BookSync(ROW.book)
        with pytest.raises(BookDesyncError):
            for update in updates[:50] + updates[51:]:
                again.take(update)
        await ended(watching)


async def test_streamed_trades_are_those_that_rest_pages_back_to(server: Server) -> None:
    async with opened(server) as (client, heard):
        watching = asyncio.create_task(client.watch(Subscription(StreamKind.TRADES, BTC)))
        await eventually(lambda: len(heard.of(Print)) > 250, 10)
        server.paused = True
        await ended(watching)
        streamed = heard.of(Print)
        newest = await client.fetch_trades(BTC)
        older = await client.fetch_trades(BTC, newest[0])
        oldest = await client.fetch_trades(BTC, older[0])
        assert len(newest) == 100
        listed = {trade.id: trade for trade in [*oldest, *older, *newest]}
        assert {trade.id for trade in streamed[-200:]} <= listed.keys()
        for trade in streamed[-200:]:
            assert listed[trade.id] == trade


async def test_candles_settlements_and_prices_by_rest(server: Server) -> None:
    async with opened(server) as (client, _):
        market = server.venues[VENUE].market(ID)
        assert market is not None
        since = (market.candles.first_minute + 600) * 60_000
        for timeframe, span in (("1m", 1), ("5m", 5), ("1h", 60), ("1d", 1440)):
            start = -(-since // (span * 60_000)) * span * 60_000
            _, rows = await client.fetch_candles(BTC, timeframe, start, 20)
            assert rows[0].start == start
            assert {b.start - a.start for a, b in pairwise(rows)} <= {span * 60_000}
        first = market.now_ms - 300_000
        settled = await client.fetch_settlements(BTC, first)
        assert [one.time for one in settled] == [
            one.next_ms for one in market.settlements(first, market.now_ms)
        ]
        (bulk,) = ROW.bulk
        answer = await client.fetch(bulk, None)
        update = next(one for one in answer.updates if one.symbol == BTC)
        assert update.funding_rate == pytest.approx(market.funding.rate, rel=1e-3)
        assert update.open_interest == pytest.approx(market.base(market.open_interest), rel=0.01)
        assert (update.funding_interval_h, update.timestamp) == (1.0, None)
        assert update.day is not None
        assert update.day.quote_volume == pytest.approx(market.quote(market.day.turnover), rel=0.01)
        await client.ask_time()
        assert abs(client.venue_clock.offset_ms or 0) < 2000


async def test_what_is_delisted_is_known_as_such(server: Server) -> None:
    async with opened(server) as (client, _):
        async with aiohttp.ClientSession() as http:
            await Wire(server, VENUE, http).fault("delist", symbol=BTC)
        with pytest.raises(SymbolNotListedError):
            await client.fetch_trades(BTC)
        await client.load_markets()
        assert BTC not in client.markets
