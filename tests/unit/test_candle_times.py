"""Candles whose times, or whose clocks, are wrong; and those of which the first never comes."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.kinds import CANDLE
from tests.candles import MINUTE, World, start
from tests.recording import BTC, Recording
from tests.station import Station
from workers.collector.candles.candles import Candles
from workers.collector.candles.venue_time import LEAD_MS
from workers.collector.catalogue.row import CandleFeed, StreamKind
from workers.collector.continuity.feeds import Feeds
from workers.collector.events import Candle

DAY_MS = 86_400_000


@pytest.fixture
def world() -> World:
    return World()


def says(world: World, offset_ms: float) -> None:
    """What the venue's REST tells of its clock."""
    world.candles.time.offset_ms = lambda: offset_ms


# --- frames that are dated ahead


@pytest.mark.parametrize("ahead_ms", [LEAD_MS + 1, MINUTE, 20 * 60 * MINUTE, 2 * DAY_MS])
@pytest.mark.parametrize("offset_ms", [None, 0.0, -90_000.0])
async def test_a_frame_that_is_dated_ahead_closes_nothing_and_is_counted(
    world: World, ahead_ms: int, offset_ms: float | None
) -> None:
    """REST has the open candle as well: it is not final because one frame says so."""
    if offset_ms is not None:
        says(world, offset_ms)
    world.frame(0, 11)
    world.has(0, 11)
    later = world.clock.now_ms() + ahead_ms
    world.frame(0, 12, timestamp=later)
    world.frame(later // MINUTE - start(0) // MINUTE, 13, timestamp=later)
    world.frame((later + MINUTE) // MINUTE - start(0) // MINUTE, 13, timestamp=None, closed=True)
    await world.until(0.5)
    assert world.closed() == []
    assert world.opened() == [11]
    assert world.ledger[CANDLE.label].invalid == world.quarantine.total == 3


@pytest.mark.parametrize("odd", [4, 5])
async def test_a_venue_whose_clock_was_set_ahead_is_believed_soon(world: World, odd: int) -> None:
    """Before its REST says so: all of its frames agree."""
    says(world, 0.0)
    for number in range(odd):
        world.frame(1, 11 + number, timestamp=start(1) + number)
    await world.until(0.5)
    assert world.quarantine.total == 4
    assert len(world.opened()) == odd - 4


async def test_one_stream_that_is_dated_ahead_among_others_is_never_believed(world: World) -> None:
    says(world, 0.0)
    for number in range(12):
        world.frame(1, 11, timestamp=start(1) + number)
        if number % 4 == 3:
            world.frame(0, 11, timestamp=world.clock.now_ms())
    assert world.quarantine.total == 12


async def test_by_a_lead_that_is_believed_rest_is_not_asked_before_the_end(world: World) -> None:
    world.frame(0, 11, timestamp=world.clock.now_ms() + LEAD_MS)
    world.has(0, 11)
    await world.until(1 - 0.1 / 60, step_s=0.1)
    assert world.closed() == []
    assert world.quarantine.total == 0


@pytest.mark.parametrize("offset_ms", [180_000.0, 3_000.0])
async def test_a_clock_of_ours_that_is_behind_costs_no_candle(
    world: World, offset_ms: float
) -> None:
    """The venue's REST says that it is ours: its frames are right."""
    says(world, offset_ms)
    for minute in range(4, 7):
        world.clock.elapsed_s = minute * 60 + 1 - offset_ms / 1000
        world.frame(minute, timestamp=start(minute) + 1000)
    assert [minute for minute, _, _ in world.closed()] == [4, 5]
    assert world.quarantine.total == 0


async def test_a_frame_of_long_ago_does_not_hold_up_what_rest_has(world: World) -> None:
    """Some venues date a frame by the last trade."""
    says(world, 0.0)
    world.has(0, 12)
    world.frame(0, 11, timestamp=world.clock.now_ms() - 9 * MINUTE)
    await world.until(1.2)
    assert world.closed() == [(0, 0, 12)]


async def test_an_answer_of_rest_out_of_a_cache_costs_no_frame(world: World) -> None:
    """By it the venue is a minute and a half behind its frames and our clock."""
    says(world, -90_000.0)
    world.frame(0, 11)
    world.frame(0, 12, timestamp=world.clock.now_ms() - 60_000)  # as of the last trade
    await world.until(0.1)
    assert world.opened() == [12]


async def test_a_clock_of_ours_that_is_ahead_does_not_vouch_for_a_frame(world: World) -> None:
    """The venue's is 90 s behind, and one frame a minute ahead of it: no candle ends by that."""
    says(world, -90_000.0)
    world.has(-1, 11)
    world.frame(-1, 11, timestamp=world.clock.now_ms() - 30_000)
    await world.until(1.4)
    assert world.closed() == []
    await world.until(1.7)
    assert world.closed() == [(-1, 0, 11)]


# --- where a run before left off


@pytest.mark.parametrize("offset_ms", [None, 180_000.0])
async def test_a_mark_is_kept_while_our_clock_is_behind_it(
    world: World, offset_ms: float | None
) -> None:
    """Ours is three minutes behind the venue's, whose minute 2 was published by a run before."""
    if offset_ms is not None:
        says(world, offset_ms)
    world.candles.resume(BTC, "1m", start(2))
    assert world.candles.last_closed() == {BTC: {"1m": start(2)}}
    says(world, 180_000.0)
    world.clock.elapsed_s = 150
    for minute in range(8):
        world.has(minute)
    world.frame(5, 10, timestamp=world.clock.now_ms() + 180_000)
    assert world.candles.last_closed() == {BTC: {"1m": start(2)}}
    await world.until(2.7)
    assert [minute for minute, _, _ in world.closed()] == [3, 4]
    assert world.missing == []


@pytest.mark.parametrize("offset_ms", [None, 0.0])
async def test_a_mark_ahead_of_every_clock_is_waited_for_and_never_for_long(
    world: World, offset_ms: float | None
) -> None:
    """The clocks are right: a candle that is still open was not published as closed."""
    if offset_ms is not None:
        says(world, offset_ms)
    world.candles.resume(BTC, "1m", start(10 * 24 * 60))
    (last,) = world.candles.last_closed()[BTC].values()
    most = DAY_MS if offset_ms is None else LEAD_MS
    assert world.clock.now_ms() + most - MINUTE < last + MINUTE <= world.clock.now_ms() + most
    assert (last - start(0)) % MINUTE == 0


# --- streams of which nothing comes


async def test_a_candle_that_no_frame_tells_of_is_fetched_from_the_subscription_on(
    world: World,
) -> None:
    for minute in range(-3, 6):
        world.has(minute)
    world.candles.subscribed(BTC, "1m")
    assert world.candles.awaited() == {BTC: "no candle yet: 1m"}
    await world.until(1.0)
    assert world.asked == []
    await world.until(3.2)
    assert [minute for minute, _, _ in world.closed()] == [0, 1, 2]
    assert world.candles.awaited() == {}
    assert world.missing == []


async def test_that_is_by_the_clock_that_rest_tells_of(world: World) -> None:
    says(world, 180_000.0)
    for minute in range(6):
        world.has(minute)
    world.candles.subscribed(BTC, "1m")
    await world.until(1.2)
    assert [minute for minute, _, _ in world.closed()] == [3]


async def test_days_begin_where_the_venue_lets_them_begin() -> None:
    """Its REST has a candle that is open: no more is needed to begin with it."""
    day = start(0) - start(0) % DAY_MS - 8 * 60 * MINUTE
    world = World()
    world.rows[0] = world.candle(0)._replace(timeframe="1d", start=day)
    world.candles.subscribed(BTC, "1d")
    await world.until(1.2)
    assert len(world.asked) == 1
    assert world.candles.awaited() == {}
    assert world.candles.last_closed() == {BTC: {"1d": day - DAY_MS}}
    assert world.closed() == []


async def test_what_the_venue_does_not_have_stays_awaited_and_is_asked_about_in_turn(
    world: World,
) -> None:
    world.candles.subscribed(BTC, "1m")
    await world.until(30, step_s=5)
    assert world.candles.awaited() == {BTC: "no candle yet: 1m"}
    assert 5 < len(world.asked) < 60
    world.frame(30)
    assert world.candles.awaited() == {}


async def test_awaited_is_what_was_subscribed_to_and_is_collected(world: World) -> None:
    for timeframe in ("1m", "5m", "1h"):
        world.candles.subscribed(BTC, timeframe)
    world.frame(0)
    assert world.candles.awaited() == {BTC: "no candle yet: 5m, 1h"}
    world.candles.lost(BTC, "1m")
    world.frame(0, closed=True)
    world.candles.subscribed(BTC, "1m")  # once more, after a cut
    assert world.candles.awaited() == {BTC: "no candle yet: 5m, 1h"}
    world.candles.set_symbols([])
    assert world.candles.awaited() == {}
    await world.until(2)
    assert world.asked == []


class Covered(Station):
    """A Continuity over candles that are real."""

    def _feeds(self) -> Feeds:
        feeds = super()._feeds()
        client: Any = SimpleNamespace()
        log = logging.getLogger("test")
        candles = Candles(CandleFeed(page=50), self.publishing, client, log)
        self.intake.route(Candle, candles.take)
        return Feeds(
            feeds.client, feeds.streams, feeds.books, feeds.trades, candles, feeds.settlements
        )


async def test_coverage_names_a_timeframe_whose_first_candle_never_came(tmp_path: Path) -> None:
    station = Covered(tmp_path, collects=False)
    station.collect(BTC, timeframes=("1m", "5m"))

    async def row() -> Any:
        for _ in range(2):
            await station.continuity._tell()
            station.clock.elapsed_s += 10
        return (await station.row(CANDLE.name))["exceptions"]

    for timeframe in ("1m", "5m"):
        station.up(StreamKind.CANDLES, frame=timeframe)
    assert await row() == {BTC: "no candle yet: 1m, 5m"}
    _frame(station, "1m")
    assert await row() == {BTC: "no candle yet: 5m"}
    _frame(station, "5m")
    assert await row() == {}


def _frame(recording: Recording, timeframe: str) -> None:
    now = recording.clock.now_ms()
    event = Candle("BTC", timeframe, start(0), 1.0, 1.0, 1.0, 1.0, 1.0, None, now)
    recording.intake.on_events([event], now)
