"""What the parts of a collector tell of their streams, and what becomes of it: gaps and coverage."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.kinds import CANDLE, TRADES
from shared.symbolset import Revision
from tests.recording import BTC
from tests.station import ETH, Station, passed, stream
from tests.waiting import eventually
from workers.collector.books.orderbook import OrderBook
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.continuity.gaps import Place
from workers.collector.events import Quote
from workers.collector.streams import Streams
from workers.collector.trades.flow import NumberedFlow


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    yield Station(tmp_path)


def test_a_stream_that_was_never_up_loses_nothing(station: Station) -> None:
    station.continuity.lost(stream(), "refused")
    assert station.gaps() == []


def test_a_stream_that_is_lost_twice_has_one_gap_from_its_last_trade(station: Station) -> None:
    station.up()
    station.live(3)
    station.continuity.lost(stream(), "cut")
    station.continuity.lost(stream(), "refused")
    (gap,) = station.gaps()
    assert (gap["reason"], gap["last_key"]) == ("cut", station.venue.happened[2].id)


def test_best_prices_end_their_gap_with_the_first_of_them(station: Station) -> None:
    quote = Quote("BTC", 10.0, 11.0, 1.0, 1.0, None, 50)
    station.intake.on_events([quote], 7)
    station.continuity.lost(stream(StreamKind.QUOTE), "cut")
    station.up(StreamKind.QUOTE)
    assert [gap["state"] for gap in station.gaps()] == ["open"]
    station.intake.on_events([quote._replace(timestamp=90)], 7)
    closed = station.gaps()[-1]
    assert (closed["state"], closed["last_time"], closed["first_time"]) == ("unrepairable", 50, 90)


def test_a_book_gap_names_the_updates_on_both_sides(station: Station) -> None:
    books: Any = station.continuity._feeds.books
    book = OrderBook()
    book.update_id, book.timestamp = 5, 50
    books.on_broken(BTC, "sequence", book)
    book.update_id, book.timestamp = 9, 90
    books.on_live(BTC, book)
    opened, closed = station.gaps()
    assert (opened["last_key"], opened["last_time"]) == ("5", 50)
    assert (closed["first_key"], closed["first_time"]) == ("9", 90)
    assert closed["state"] == "unrepairable"


def test_a_symbol_that_is_removed_ends_its_gaps_and_a_new_start_has_none(
    station: Station,
) -> None:
    station.up()
    station.live(2)
    station.continuity.lost(stream(), "cut")
    station.collect(ETH)
    assert [gap["state"] for gap in station.gaps()] == ["open", "unrepairable"]
    station.collect(BTC, ETH)
    station.up()
    assert len(station.gaps()) == 2


def test_events_of_a_removed_symbol_change_nothing(station: Station) -> None:
    station.collect(ETH)
    station.continuity.lost(stream(), "cut")
    assert station.gaps() == []


async def test_coverage_is_of_what_was_up_all_the_time(station: Station) -> None:
    await station.continuity._tell()
    station.up()
    await passed(station, 10)
    assert (await station.row())["exceptions"] == {BTC: "not subscribed"}  # at its beginning
    await passed(station, 10)
    sound = await station.row()
    assert sound["exceptions"] == {}
    station.continuity.lost(stream(), "cut")
    await passed(station, 10)
    broken = await station.row()
    assert broken["exceptions"] == {BTC: "cut"}
    assert broken["from"] == sound["until"]


async def test_a_break_that_is_over_before_the_row_is_told_stands_in_it(station: Station) -> None:
    quote = Quote("BTC", 10.0, 11.0, 1.0, 1.0, None, 50)
    station.intake.on_events([quote], 7)
    for _ in range(3):
        await station.continuity._tell()
        await passed(station, 10)
    station.continuity.lost(stream(StreamKind.QUOTE), "cut")
    station.intake.on_events([quote._replace(timestamp=90)], 7)
    assert (await station.row("ticker"))["exceptions"] == {BTC: "cut"}
    await passed(station, 10)
    assert (await station.row("ticker"))["exceptions"] == {}


async def test_a_symbol_that_is_added_between_two_rows_is_not_covered_before(
    station: Station,
) -> None:
    await station.continuity._tell()
    station.up()
    await passed(station, 10)
    await station.row()
    await passed(station, 5)
    station.collect(BTC, ETH)
    station.up(id_="ETH")
    await passed(station, 5)
    assert ETH in (await station.row())["exceptions"]
    await passed(station, 10)
    assert (await station.row())["exceptions"] == {}


async def test_candles_are_covered_while_all_timeframes_are_up(station: Station) -> None:
    station.collect(BTC, timeframes=("1m", "5m"))
    await station.continuity._tell()
    station.up(StreamKind.CANDLES, frame="1m")
    for _ in range(2):
        await passed(station, 10)
        await station.continuity._tell()
    assert (await station.row(CANDLE.name))["exceptions"] == {BTC: "not subscribed"}
    station.up(StreamKind.CANDLES, frame="5m")
    for _ in range(2):
        await passed(station, 10)
        await station.continuity._tell()
    assert (await station.row(CANDLE.name))["exceptions"] == {}
    station.continuity.lost(stream(StreamKind.CANDLES, "5m"), "cut")
    for _ in range(2):
        await passed(station, 10)
        row = await station.row(CANDLE.name)
    assert BTC in row["exceptions"]


async def test_candles_that_come_by_rest_are_covered_while_none_is_late(tmp_path: Path) -> None:
    station = Station(tmp_path, row="krakenfutures")
    late = {BTC: "no candle yet: 1m"}
    candles: Any = station.continuity.feeds.candles
    candles.awaited = lambda: dict(late)
    await station.continuity._tell()
    await passed(station, 10)
    assert (await station.row(CANDLE.name))["exceptions"] == late
    late.clear()
    for _ in range(2):
        await passed(station, 10)
        row = await station.row(CANDLE.name)
    assert row["exceptions"] == {}


async def test_a_look_that_finds_more_than_a_page_loses_nothing(station: Station) -> None:
    """Trades before the oldest of the page are missing as well: a gap is open from before."""
    station.up()
    station.live(3)
    last = station.trades.flow(BTC).last
    for _ in range(25):
        station.venue.trade()
    station.clock.elapsed_s += 10
    station.continuity.watchdog.look(station.intake.parts.values())
    await station.continuity._look_for_trades(BTC)
    assert station.gaps()[-1:], "no gap"
    assert station.gaps()[-1]["last_key"] == last.key


@pytest.mark.parametrize(("since_s", "alarms"), [(0.5, 0), (3.0, 1)])
async def test_trades_that_a_look_finds_tell_of_silence_unless_they_are_on_their_way(
    station: Station, since_s: float, alarms: int
) -> None:
    station.up()
    station.live(3)
    station.clock.elapsed_s += 10
    print_ = station.venue.trade()
    station.venue.happened[-1] = print_._replace(timestamp=station.clock.now_ms())
    station.clock.elapsed_s += since_s
    station.continuity.watchdog.look(station.intake.parts.values())
    await station.continuity._look_for_trades(BTC)
    assert station.continuity.watchdog.alarms == alarms


async def test_a_dense_look_that_leaves_a_hole_opens_a_gap(tmp_path: Path) -> None:
    station = Station(tmp_path, dense=True)
    station.up()
    station.live(3)
    for _ in range(25):
        station.venue.trade()
    await station.continuity.refill.look(BTC)
    flow = station.trades.flow(BTC)
    assert isinstance(flow, NumberedFlow)
    assert flow.line.holes
    assert station.gaps(), "no gap though numbers are missing"


class Wire:
    """A venue whose connection holds: trades come while it is subscribed."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.subscribed = False
        self.accepts = asyncio.Event()

    async def watch(self, _stream: Subscription) -> None:
        await self.accepts.wait()
        self.subscribed = True
        self.station.up()
        await asyncio.Event().wait()

    async def unwatch(self, _stream: Subscription) -> None:
        await asyncio.sleep(0.02)
        self.subscribed = False

    def trade(self) -> str:
        trade = self.station.venue.trade()
        if self.subscribed:
            self.station.intake.on_events([trade], 1_800_000_000_000)
        return trade.id


async def test_late_words_of_an_old_subscription_do_not_hide_what_the_new_one_missed(
    station: Station,
) -> None:
    wire: Any = Wire(station)
    streams = Streams(wire, station.clock, logging.getLogger("test"))
    streams.on_lost = station.continuity.lost
    repairing = asyncio.create_task(station.continuity.refill.run())
    wire.accepts.set()
    streams.apply([stream()])
    await eventually(lambda: wire.subscribed)
    wire.accepts.clear()
    for _ in range(5):
        wire.trade()
    station.continuity.lost(stream(), "silent")
    streams.resubscribe(stream(), "silent")
    wire.trade()  # it was only late
    await eventually(lambda: not wire.subscribed)
    missed = {wire.trade() for _ in range(4)}
    wire.accepts.set()
    await eventually(lambda: wire.subscribed)
    wire.trade()
    await eventually(lambda: Place(TRADES, BTC) not in station.continuity.gaps, 10)
    repairing.cancel()
    await streams.stop()
    published = {orjson.loads(fact.body)["id"] for fact in station.facts if fact.kind is TRADES}
    assert missed <= published


async def test_a_row_is_of_the_revision_that_was_applied_and_names_what_is_not_listed(
    station: Station,
) -> None:
    revision = Revision(registry="r", epoch=1, offset=2)
    station.collect(BTC, unlisted=["X/USDT:USDT"], revision=revision)
    station.up()
    for _ in range(3):
        await station.continuity._tell()
        await passed(station, 10)
    row = await station.row()
    assert (row["revision"]["offset"], row["symbols"]) == (2, 2)
    assert row["exceptions"] == {"X/USDT:USDT": "not listed"}


async def test_time_in_which_the_process_stood_still_is_not_covered(station: Station) -> None:
    station.up()
    for _ in range(3):
        await station.continuity._tell()
        await passed(station, 10)
    before = await station.row()
    await passed(station, 3600)
    await station.continuity._tell()
    await passed(station, 10)
    after = await station.row()
    assert before["exceptions"] == after["exceptions"] == {}
    assert after["until"] - after["from"] == 10_000
    assert after["from"] > before["until"] + 3_500_000
