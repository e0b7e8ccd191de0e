"""What the parts of a collector tell of their streams, and what becomes of it: gaps and coverage."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from shared.kinds import CANDLE, GAP, TRADES
from shared.outbox import Origin
from shared.publisher import Publication
from tests.recording import BTC, Recording, RecordingOutbox
from tests.unit.test_refill import Venue
from workers.collector.books.orderbook import OrderBook
from workers.collector.catalogue import CATALOGUE
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.client import Market
from workers.collector.continuity.continuity import Continuity, Feeds
from workers.collector.continuity.gaps import NOWHERE, Mark, Place
from workers.collector.events import Acknowledged, Print, Quote
from workers.collector.publishing import Publishing
from workers.collector.trades import Trades

ETH = "ETH/USDT:USDT"
MARKETS = (Market(BTC, "BTC", 0.001), Market(ETH, "ETH", 0.001))


class PunctualVenue(Venue):
    """Its clock and ours are one."""

    def trade(self) -> Print:
        print_ = super().trade()
        assert print_.timestamp is not None
        self.happened[-1] = print_._replace(timestamp=1_800_000_000_000 + print_.timestamp)
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

    def __init__(self, directory: Path, *, dense: bool = False) -> None:
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
            last_closed=dict,
            resume=lambda *_: None,
        )
        settlements: Any = SimpleNamespace(published={}, resume=lambda *_: None)
        return Feeds(venue, streams, books, self.trades, candles, settlements)

    def collect(self, *symbols: str) -> None:
        self.intake.set_markets([market for market in MARKETS if market.symbol in symbols])
        self.continuity.set_symbols(self.intake.parts)

    def up(self, kind: StreamKind = StreamKind.TRADES, id_: str = "BTC", frame: str = "") -> None:
        self.intake.on_events([Acknowledged(id_, kind, frame)], 7)

    def live(self, count: int = 1) -> None:
        for _ in range(count):
            self.intake.on_events([self.venue.trade()], 7)

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
    await station.continuity._tell()
    for timeframe in ("1m", "5m"):
        station.up(StreamKind.CANDLES, frame=timeframe)
    for _ in range(2):
        await _passed(station, 10)
        await station.continuity._tell()
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


async def test_a_dense_look_that_leaves_a_hole_opens_a_gap(tmp_path: Path) -> None:
    station = Station(tmp_path, dense=True)
    station.up()
    station.live(3)
    for _ in range(25):
        station.venue.trade()
    await station.continuity.refill.look(BTC)
    assert station.trades.flow(BTC).holes
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
    message: Any = SimpleNamespace(kind=TRADES, exchange="futures_data", body=fact.body)
    station.outbox.dropped(message, "spool_full")
    (gap,) = station.gaps()
    first = station.venue.happened[0]
    assert first.timestamp is not None
    assert (gap["last_key"], gap["last_time"]) == (None, first.timestamp - 1)
    assert Place(TRADES, BTC) in station.continuity.gaps


def test_watermarks_of_another_kind_of_file_are_nobodys(tmp_path: Path) -> None:
    content = {"trades": {BTC: [5, "x"], ETH: "y"}, "ohlcv": {BTC: 7}, "funding": {BTC: "z"}}
    (tmp_path / "watermarks.json").write_bytes(orjson.dumps(content))
    station = Station(tmp_path)
    assert station.gaps() == []
    assert station.trades.flow(BTC).last == NOWHERE
