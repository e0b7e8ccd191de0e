"""What the parts of a collector tell of their streams, and what becomes of it: gaps and coverage."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from shared.batch import Batch, encode_row
from shared.kinds import CANDLE, FUNDING, GAP, LIQUIDATION, TRADES, Kind
from shared.outbox import Origin
from shared.publisher import Outcome, Publication
from shared.symbolset import Revision
from shared.topology import BATCHES
from tests.recording import BTC, Recording, RecordingOutbox
from tests.unit.test_refill import Venue
from tests.waiting import eventually
from workers.collector.books.orderbook import OrderBook
from workers.collector.catalogue import CATALOGUE
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.client import Market
from workers.collector.continuity.continuity import Continuity, Wanted
from workers.collector.continuity.feeds import Feeds
from workers.collector.continuity.gaps import NOWHERE, Mark, Place
from workers.collector.events import Acknowledged, Print, Quote
from workers.collector.publishing import Publishing
from workers.collector.streams import Streams
from workers.collector.trades.flow import NumberedFlow
from workers.collector.trades.trades import Trades

ETH = "ETH/USDT:USDT"
MARKETS = (Market(BTC, "BTC", 0.001), Market(ETH, "ETH", 0.001))


class PunctualVenue(Venue):
    """Its clock and ours are one."""

    def trade(self) -> Print:
        print_ = super().trade()
        assert print_.timestamp is not None
        self.happened[-1] = print_._replace(timestamp=1_799_999_990_000 + print_.timestamp)
        return self.happened[-1]


class SettlingOutbox(RecordingOutbox):
    """All is with the broker at once."""

    connected = True

    def on_dropped(self, listener: Callable[[Publication, str], None]) -> None:
        self.dropped = listener

    def mark(self) -> int:
        return len(self.facts)

    def settled_up_to(self, mark: int) -> bool:
        return True


class Station(Recording):
    """A Continuity over trades that are real, and other feeds that only listen."""

    def __init__(self, directory: Path, *, dense: bool = False, collects: bool = True) -> None:
        super().__init__()
        outbox: Any = SettlingOutbox()
        self.facts, self.ledger, self.outbox = outbox.facts, outbox.ledger, outbox
        self.publishing = Publishing("x", outbox, self.quarantine, self.clock)
        self.venue = PunctualVenue(dense)
        self.told_books: list[tuple[str, str]] = []
        self.trades = Trades(self.publishing, dense=dense)
        self.continuity = Continuity(
            replace(CATALOGUE["bybit"], trades=self.venue.feed),
            self.publishing,
            Origin("x", "w", "w/1"),
            self._feeds(),
            directory / "watermarks.json",
        )
        self.continuity.gaps.held = False  # told at once, not when they are on disk
        self.intake.on_awaited = self.continuity.on_awaited
        self.intake.route(Print, self.trades.take)
        self.intake.route(Quote, lambda *_: None)
        self.intake.route(Acknowledged, self.continuity.on_acknowledged)
        self.continuity.watchdog.resubscribe = lambda *_: None
        if collects:
            self.collect(BTC)

    def _feeds(self) -> Feeds:
        venue: Any = self.venue
        venue.drop_connection = lambda _stream: None
        streams: Any = SimpleNamespace(resubscribe=lambda *_: None)
        books: Any = SimpleNamespace(
            lost=lambda symbol, reason: self.told_books.append((symbol, reason)),
            subscribed=lambda symbol: self.told_books.append((symbol, "subscribed")),
        )
        candles: Any = SimpleNamespace(
            on_missing=lambda _listener: None,
            lost=lambda _symbol, _timeframe: None,
            subscribed=lambda _symbol, _timeframe: None,
            awaited=dict,
            last_closed=dict,
            resume=lambda *_: None,
        )
        settlements: Any = SimpleNamespace(published={}, resume=lambda *_: None)
        return Feeds(venue, streams, books, self.trades, candles, settlements)

    def collect(
        self,
        *symbols: str,
        unlisted: Sequence[str] = (),
        revision: Revision | None = None,
        timeframes: Sequence[str] = (),
    ) -> None:
        self.intake.set_markets([market for market in MARKETS if market.symbol in symbols])
        streams = [
            Subscription(kind, symbol, timeframe)
            for symbol in symbols
            for kind in StreamKind
            for timeframe in (timeframes if kind is StreamKind.CANDLES else ("",))
        ]
        self.continuity.set_symbols(self.intake.parts, Wanted(streams, unlisted, revision))

    def up(self, kind: StreamKind = StreamKind.TRADES, id_: str = "BTC", frame: str = "") -> None:
        self.intake.on_events([Acknowledged(id_, kind, frame)], 7)

    def live(self, count: int = 1) -> None:
        for _ in range(count):
            self.intake.on_events([self.venue.trade()], 1_800_000_000_000)

    def gaps(self) -> list[dict[str, Any]]:
        return [orjson.loads(f.body) for f in self.facts if f.kind is GAP]

    async def row(self, kind: str = "trades") -> dict[str, Any]:
        """The last coverage of a kind that was told."""
        await self.continuity._tell()
        rows: list[dict[str, Any]] = [
            orjson.loads(f.body) for f in self.facts if f.kind.name == "coverage"
        ]
        return [row for row in rows if row["kind"] == kind][-1]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    yield Station(tmp_path)


def stream(kind: StreamKind = StreamKind.TRADES, timeframe: str = "") -> Subscription:
    return Subscription(kind, BTC, timeframe)


async def _passed(station: Station, seconds: float) -> None:
    station.clock.elapsed_s += seconds


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
    await _passed(station, 10)
    assert (await station.row())["exceptions"] == {BTC: "not subscribed"}  # at its beginning
    await _passed(station, 10)
    sound = await station.row()
    assert sound["exceptions"] == {}
    station.continuity.lost(stream(), "cut")
    await _passed(station, 10)
    broken = await station.row()
    assert broken["exceptions"] == {BTC: "cut"}
    assert broken["from"] == sound["until"]


async def test_a_break_that_is_over_before_the_row_is_told_stands_in_it(station: Station) -> None:
    quote = Quote("BTC", 10.0, 11.0, 1.0, 1.0, None, 50)
    station.intake.on_events([quote], 7)
    for _ in range(3):
        await station.continuity._tell()
        await _passed(station, 10)
    station.continuity.lost(stream(StreamKind.QUOTE), "cut")
    station.intake.on_events([quote._replace(timestamp=90)], 7)
    assert (await station.row("ticker"))["exceptions"] == {BTC: "cut"}
    await _passed(station, 10)
    assert (await station.row("ticker"))["exceptions"] == {}


async def test_a_symbol_that_is_added_between_two_rows_is_not_covered_before(
    station: Station,
) -> None:
    await station.continuity._tell()
    station.up()
    await _passed(station, 10)
    await station.row()
    await _passed(station, 5)
    station.collect(BTC, ETH)
    station.up(id_="ETH")
    await _passed(station, 5)
    assert ETH in (await station.row())["exceptions"]
    await _passed(station, 10)
    assert (await station.row())["exceptions"] == {}


async def test_candles_are_covered_while_all_timeframes_are_up(station: Station) -> None:
    station.collect(BTC, timeframes=("1m", "5m"))
    await station.continuity._tell()
    station.up(StreamKind.CANDLES, frame="1m")
    for _ in range(2):
        await _passed(station, 10)
        await station.continuity._tell()
    assert (await station.row(CANDLE.name))["exceptions"] == {BTC: "not subscribed"}
    station.up(StreamKind.CANDLES, frame="5m")
    for _ in range(2):
        await _passed(station, 10)
        await station.continuity._tell()
    assert (await station.row(CANDLE.name))["exceptions"] == {}
    station.continuity.lost(stream(StreamKind.CANDLES, "5m"), "cut")
    for _ in range(2):
        await _passed(station, 10)
        row = await station.row(CANDLE.name)
    assert BTC in row["exceptions"]


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


async def test_the_next_run_goes_on_where_this_one_was(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.up()
    station.live(4)
    for _ in range(2):
        await station.continuity.watermarks.save()
    following = Station(tmp_path)
    (gap,) = following.gaps()
    last = station.venue.happened[-1]
    assert (gap["reason"], gap["last_key"], gap["last_time"]) == (
        "restart",
        last.id,
        last.timestamp,
    )
    assert following.trades.flow(BTC).last == Mark(last.id, last.timestamp)


async def test_the_next_run_is_told_of_a_gap_that_this_one_left_open(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.up()
    station.live(4)
    station.continuity.lost(stream(), "cut")
    station.live(4)  # flows again, not repaired yet
    for _ in range(2):
        await station.continuity.watermarks.save()
    (gap,) = Station(tmp_path).gaps()
    assert gap["last_key"] == station.venue.happened[3].id


def test_a_trade_that_was_dropped_opens_a_gap_before_it(station: Station) -> None:
    station.up()
    station.live(3)
    fact = next(fact for fact in station.facts if fact.kind is TRADES)
    station.outbox.dropped(lossless(TRADES, fact.body), "spool_full")
    (gap,) = station.gaps()
    first = station.venue.happened[0]
    assert first.timestamp is not None
    assert (gap["last_key"], gap["last_time"]) == (None, first.timestamp - 1)
    assert Place(TRADES, BTC) in station.continuity.gaps


@pytest.mark.parametrize("kind", [CANDLE, LIQUIDATION, FUNDING], ids=lambda kind: kind.name)
def test_what_was_dropped_and_can_not_be_fetched_again_is_named(
    station: Station, kind: Kind
) -> None:
    body = {"symbol": BTC, "timestamp": 5}
    station.outbox.dropped(lossless(kind, orjson.dumps(body)), "spool_full")
    opened, closed = station.gaps()
    assert (opened["kind"], opened["reason"]) == (kind.name, "dropped: spool_full")
    assert (closed["state"], closed["missing"], closed["last_time"]) == ("unrepairable", 1, 4)


async def test_a_batch_that_was_dropped_is_what_its_rows_were(station: Station) -> None:
    station.up()
    station.live(3)
    rows = [fact for fact in station.facts if fact.kind is TRADES]
    batch = Batch(TRADES)
    for number, fact in enumerate(rows):
        batch.add(encode_row(fact, number))
    body, encoding = batch.encode("x", "w", "w/1")
    await station.continuity._tell()
    station.outbox.dropped(lossless(TRADES, body, BATCHES, encoding), "spool_full")
    assert station.gaps()[0]["reason"] == "dropped: spool_full"
    await _passed(station, 10)
    assert (await station.row())["exceptions"][BTC] == "dropped: spool_full"


@pytest.mark.parametrize("reason", [Outcome.REFUSED, Outcome.RETURNED])
def test_one_careless_reader_costs_the_others_nothing(station: Station, reason: Outcome) -> None:
    """What its queue refuses, all others have: fetched again, it would go out again and again."""
    station.up()
    station.live(3)
    fact = next(fact for fact in station.facts if fact.kind is TRADES)
    station.outbox.dropped(lossless(TRADES, fact.body), reason.value)
    assert station.gaps() == []


def test_what_can_not_be_sent_at_all_is_named_and_not_fetched_again(station: Station) -> None:
    station.up()
    station.live(3)
    fact = next(fact for fact in station.facts if fact.kind is TRADES)
    station.outbox.dropped(lossless(TRADES, fact.body), Outcome.UNENCODABLE.value)
    assert [gap["state"] for gap in station.gaps()] == ["open", "unrepairable"]


@pytest.mark.parametrize(
    ("key", "missing"), [("trades.x.BTCUSDT", 3), ("", None), ("trades.x.ETHUSDT", 0)]
)
def test_what_a_disk_made_unreadable_is_named(
    station: Station, key: str, missing: int | None
) -> None:
    lost = replace(lossless(TRADES, b""), routing_key=key, rows=3)
    station.outbox.dropped(lost, "spool_unreadable")
    gaps = station.gaps()
    if missing == 0:
        assert gaps == []  # of a symbol that is not collected
        return
    assert [gap["state"] for gap in gaps] == ["open", "unrepairable"]
    assert (gaps[-1]["missing"], gaps[-1]["last_time"]) == (missing, 4)


def lossless(
    kind: Kind, body: bytes, exchange: str = "futures_data", encoding: str | None = None
) -> Publication:
    return Publication(exchange, "key", kind, body, "id", {}, 5, content_encoding=encoding)


async def test_a_run_that_never_collected_leaves_the_marks_as_they_were(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.up()
    station.live(4)
    station.continuity.lost(stream(StreamKind.LIQUIDATIONS), "refused")
    await station.continuity.finish()
    before = orjson.loads((tmp_path / "watermarks.json").read_bytes())
    assert before["trades"]
    await Station(tmp_path, collects=False).continuity.finish()
    assert orjson.loads((tmp_path / "watermarks.json").read_bytes()) == before


@pytest.mark.parametrize("saves", [0, 1, 2, 3])
async def test_two_kills_in_a_row_lose_nothing(tmp_path: Path, saves: int) -> None:
    first = Station(tmp_path, dense=True)
    first.up()
    first.live(6)
    await first.continuity.finish()
    second = Station(tmp_path, dense=True)
    for _ in range(saves):
        await second.continuity.watermarks.save()
    third = Station(tmp_path, dense=True)
    third.venue.happened = list(first.venue.happened)
    for _ in range(8):
        third.venue.trade()
    third.up()
    third.live()
    repairing = asyncio.create_task(third.continuity.refill.run())
    await eventually(lambda: Place(TRADES, BTC) not in third.continuity.gaps)
    repairing.cancel()
    published = {orjson.loads(fact.body)["id"] for fact in third.facts if fact.kind is TRADES}
    assert {trade.id for trade in third.venue.happened[6:]} <= published


async def test_marks_of_symbols_that_nobody_wants_are_forgotten(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.up()
    station.live(4)
    await station.continuity.finish()
    following = Station(tmp_path, collects=False)
    following.collect(ETH, unlisted=[BTC])  # for the moment
    await following.continuity.finish()
    assert Station(tmp_path).gaps()[0]["reason"] == "restart"
    following = Station(tmp_path, collects=False)
    following.collect(ETH)
    await following.continuity.finish()
    assert Station(tmp_path).gaps() == []


async def test_a_gap_of_a_killed_run_ends_with_its_symbol(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.up()
    station.live(4)
    station.continuity.lost(stream(StreamKind.TRADES), "cut")
    await station.continuity.watermarks.save()  # and no more
    opened = station.gaps()[-1]
    following = Station(tmp_path, collects=False)
    following.collect(ETH)
    ended = following.gaps()[-1]
    assert (ended["id"], ended["state"]) == (opened["id"], "unrepairable")
    assert ended["rev"] > opened["rev"]


async def test_of_two_marks_the_earlier_one_holds(tmp_path: Path) -> None:
    """A drop moved the begin of a gap back, and a kill came before the mark of trades followed."""
    station = Station(tmp_path, dense=True)
    station.up()
    station.live(9)
    for _ in range(2):
        await station.continuity.watermarks.save()
    third = station.venue.happened[2]
    station.continuity.gaps.open(Place(TRADES, BTC), "dropped: spool_full", Mark("102", third[5]))
    await station.continuity.watermarks.save()
    following = Station(tmp_path, dense=True)
    flow = following.trades.flow(BTC)
    assert flow.last.key == "102"
    assert isinstance(flow, NumberedFlow)
    assert flow.line.last == 102


async def test_liquidations_of_a_restart_are_a_gap(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.up(StreamKind.LIQUIDATIONS)
    await station.continuity.finish()
    following = Station(tmp_path)
    assert [gap["kind"] for gap in following.gaps()] == ["liquidation"]
    following.up(StreamKind.LIQUIDATIONS)
    assert following.gaps()[-1]["state"] == "unrepairable"


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
    await streams.apply([stream()])
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
        await _passed(station, 10)
    row = await station.row()
    assert (row["revision"]["offset"], row["symbols"]) == (2, 2)
    assert row["exceptions"] == {"X/USDT:USDT": "not listed"}


async def test_time_in_which_the_process_stood_still_is_not_covered(station: Station) -> None:
    station.up()
    for _ in range(3):
        await station.continuity._tell()
        await _passed(station, 10)
    before = await station.row()
    await _passed(station, 3600)
    await station.continuity._tell()
    await _passed(station, 10)
    after = await station.row()
    assert before["exceptions"] == after["exceptions"] == {}
    assert after["until"] - after["from"] == 10_000
    assert after["from"] > before["until"] + 3_500_000


def test_watermarks_of_another_kind_of_file_are_nobodys(tmp_path: Path) -> None:
    content = {"trades": {BTC: [5, "x"], ETH: "y"}, "ohlcv": {BTC: 7}, "funding": {BTC: "z"}}
    (tmp_path / "watermarks.json").write_bytes(orjson.dumps(content))
    station = Station(tmp_path)
    assert station.gaps() == []
    assert station.trades.flow(BTC).last == NOWHERE
