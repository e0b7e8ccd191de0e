"""What a venue says that makes a book doubtful: old snapshots, numbers that begin anew, updates
that nobody can read."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import BookDesyncError, NetworkError
from tests.books import BookWire
from tests.fakes import FakeClock
from tests.recording import BTC, Recording
from tests.venues import VENUES
from tests.waiting import eventually
from workers.collector.books.keeper import BookKeeper
from workers.collector.books.orderbook import OrderBook
from workers.collector.books.sync import BookSync
from workers.collector.catalogue import CATALOGUE
from workers.collector.catalogue.row import BookFeed, Chain, Request
from workers.collector.events import BookUpdate, Unread
from workers.collector.venues.binance import Binance
from workers.collector.venues.bitget import Bitget
from workers.collector.venues.bybit import Bybit
from workers.collector.venues.coinbaseinternational import Coinbaseinternational
from workers.collector.venues.gate import Gate
from workers.collector.venues.htx import Htx
from workers.collector.venues.krakenfutures import KrakenFutures
from workers.collector.venues.okx import Okx

BY_REST = [venue for venue in VENUES if CATALOGUE[venue].book.snapshot is not None]
NUMBERED = [venue for venue in VENUES if CATALOGUE[venue].book.chain is not Chain.CHECKSUM]
BIDS, ASKS = [["10", "1"]], [["11", "1"]]
LONG_BIDS = [[str(100 - n), "1"] for n in range(60)]
LONG_ASKS = [[str(101 + n), "1"] for n in range(60)]


def _snapshot(number: int | None, at: int | None = 1000) -> BookUpdate:
    return BookUpdate("BTC", True, BIDS, ASKS, at, number)


def _update(number: int, at: int, bids: Any = (("9", "1"),)) -> BookUpdate:
    return BookUpdate("BTC", False, bids, [], at, number, number, number - 1)


def _begun(venue: str, number: int) -> BookSync:
    """A book of that venue, joined by its stream at the number after the snapshot's."""
    sync = BookSync(CATALOGUE[venue].book)
    if venue in BY_REST:
        sync.await_snapshot()
        sync.begin(_snapshot(number))
    else:
        sync.take(_snapshot(number))
    assert sync.take(_update(number + 1, 1100))
    return sync


@pytest.mark.parametrize("venue", BY_REST)
def test_a_snapshot_older_than_the_book_is_none(venue: str) -> None:
    sync = _begun(venue, 100)
    sync.await_snapshot()
    with pytest.raises(BookDesyncError):
        sync.begin(_snapshot(99))
    assert not sync.live


@pytest.mark.parametrize("venue", BY_REST)
def test_a_snapshot_behind_what_the_stream_has_said_is_none(venue: str) -> None:
    sync = BookSync(CATALOGUE[venue].book)
    sync.take(_update(120, 1000))  # nobody asked for a snapshot yet: not kept
    for number in (105, 119):
        sync.await_snapshot()
        with pytest.raises(BookDesyncError):
            sync.begin(_snapshot(number))
        assert not sync.live
    sync.await_snapshot()
    sync.begin(_snapshot(120))
    assert sync.live


@pytest.mark.parametrize("venue", BY_REST)
def test_a_number_that_no_snapshot_ever_reaches_was_a_slip(venue: str) -> None:
    """One corrupt number, dated ahead, keeps no book away for long."""
    sync = BookSync(CATALOGUE[venue].book)
    sync.take(_update(10**15, 80_000_000))
    for number in range(8):
        sync.await_snapshot()
        with pytest.raises(BookDesyncError):
            sync.begin(_snapshot(120 + number))
    sync.await_snapshot()
    sync.begin(_snapshot(130))
    assert sync.live


@pytest.mark.parametrize("venue", BY_REST)
def test_a_broken_book_takes_no_snapshot_from_before_it_broke(venue: str) -> None:
    sync = _begun(venue, 100)
    sync.take(_update(102, 1200))
    sync.end()  # somebody doubts it
    sync.await_snapshot()
    with pytest.raises(BookDesyncError):
        sync.begin(_snapshot(101, at=9999))  # an answer of now, from an old copy
    sync.await_snapshot()
    sync.take(_update(105, 1300))
    with pytest.raises(BookDesyncError):
        sync.begin(_snapshot(102, at=9999))
    sync.await_snapshot()
    with pytest.raises(BookDesyncError):
        sync.begin(_snapshot(104, at=9999))
    sync.await_snapshot()
    sync.begin(_snapshot(105, at=9999))
    assert sync.live


@pytest.mark.parametrize("venue", BY_REST)
def test_an_old_snapshot_counts_where_kept_updates_lead_on_from_it(venue: str) -> None:
    sync = BookSync(CATALOGUE[venue].book)
    sync.take(_update(101, 1000))
    sync.await_snapshot()
    for number in (102, 103, 104):
        sync.take(_update(number, 1000 + number))
    sync.begin(_snapshot(101))
    assert sync.live
    assert sync.book.update_id == 104


@pytest.mark.parametrize("venue", NUMBERED)
def test_numbers_that_begin_anew_end_the_book(venue: str) -> None:
    sync = _begun(venue, 1000)
    with pytest.raises(BookDesyncError):
        sync.take(_update(2, 1200))
    assert not sync.live


@pytest.mark.parametrize("venue", BY_REST)
def test_numbers_that_began_anew_before_the_stream_joined_end_the_book(venue: str) -> None:
    sync = BookSync(CATALOGUE[venue].book)
    sync.await_snapshot()
    sync.begin(_snapshot(1000))
    assert not sync.take(_update(999, 2900))  # the snapshot's time is cut to seconds
    assert sync.live
    with pytest.raises(BookDesyncError):
        sync.take(_update(2, 3100))
    assert not sync.live


@pytest.mark.parametrize("venue", BY_REST)
def test_after_numbers_began_anew_a_snapshot_with_a_low_number_counts(venue: str) -> None:
    sync = _begun(venue, 1000)
    with pytest.raises(BookDesyncError):
        sync.take(_update(2, 1200))
    sync.take(_update(3, 1300))
    sync.await_snapshot()
    sync.begin(_snapshot(3, at=1300))
    assert sync.take(_update(4, 1400))


@pytest.mark.parametrize("venue", VENUES)
def test_updates_that_come_late_change_nothing(venue: str) -> None:
    sync = _begun(venue, 100)
    sync.take(_update(102, 1200, [["9", "0"]]))
    assert not sync.take(_update(101, 1100))
    assert not sync.take(_update(102, 1200, [["9", "0"]]))
    assert sync.live
    assert sync.book.bids.top(9) == [[10, 1]]
    assert sync.book.update_id == 102


class Summed:
    """A book of bitget's, and the frames that make it."""

    def __init__(self) -> None:
        self.truth = OrderBook(checksummed=True)
        self.truth.replace(LONG_BIDS, LONG_ASKS)

    def snapshot(self, number: int | None = 1) -> BookUpdate:
        return BookUpdate("BTC", True, LONG_BIDS, LONG_ASKS, 1000, number, checksum=self._sum)

    def update(self, bid: list[str], number: int | None, previous: int | None) -> BookUpdate:
        self.truth.apply([bid], [])
        at = 1000 + (number or 0)
        return BookUpdate("BTC", False, [bid], [], at, number, None, previous, self._sum)

    @property
    def _sum(self) -> int:
        return self.truth.checksum()


def _summed() -> tuple[Summed, BookSync]:
    wire, sync = Summed(), BookSync(CATALOGUE["bitget"].book)
    sync.take(wire.snapshot())
    return wire, sync


def test_a_lost_update_below_what_a_checksum_covers_ends_the_book() -> None:
    wire, sync = _summed()
    wire.update(["60", "9"], 2, 1)
    with pytest.raises(BookDesyncError):
        sync.take(wire.update(["100", "3"], 3, 2))
    assert not sync.live


def test_without_a_chain_what_has_a_known_number_is_not_taken_again() -> None:
    wire, sync = _summed()
    two = wire.update(["60", "9"], 2, None)
    three = wire.update(["60", "0"], 3, None)
    assert sync.take(two)
    assert sync.take(three)
    assert not sync.take(two)
    assert sync.live
    assert 60.0 not in sync.book.bids.sizes
    with pytest.raises(BookDesyncError):
        sync.take(wire.update(["60", "4"], 1, None)._replace(timestamp=2000))
    assert not sync.live


@pytest.mark.parametrize(
    ("number", "checksummed", "live"),
    [(2, True, True), (2, False, False), (None, True, False), (None, False, False)],
)
def test_an_update_that_nothing_proves_ends_the_book(
    number: int | None, checksummed: bool, live: bool
) -> None:
    wire, sync = _summed()
    update = wire.update(["60", "9"], number, None)
    if not checksummed:
        update = update._replace(checksum=None)
    if live:
        assert sync.take(update)
    else:
        with pytest.raises(BookDesyncError):
            sync.take(update)
    assert sync.live == live


def test_a_book_without_any_numbers_is_as_right_as_its_checksums() -> None:
    wire, sync = Summed(), BookSync(CATALOGUE["bitget"].book)
    sync.take(wire.snapshot(None))
    assert sync.take(wire.update(["60", "9"], None, None))
    with pytest.raises(BookDesyncError):
        sync.take(wire.update(["60", "8"], None, None)._replace(checksum=None))


@pytest.mark.parametrize("venue", NUMBERED)
def test_where_updates_have_numbers_one_without_is_none(venue: str) -> None:
    sync = _begun(venue, 100)
    with pytest.raises(TypeError):
        sync.take(_update(102, 1200)._replace(last=None))
    assert not sync.live
    with pytest.raises(TypeError):
        sync.take(_snapshot(None))
    assert not sync.live


def test_a_frame_of_bitget_names_the_update_before_as_number_or_text() -> None:
    row = {"bids": [], "asks": [], "ts": "9", "checksum": 0, "seq": "1343064377779269632"}
    frame = {"action": "update", "arg": {"channel": "books", "instId": "BTC"}}
    (update,) = Bitget({}).peel(frame | {"data": [row | {"pseq": 1343064377779269631}]}) or ()
    assert isinstance(update, BookUpdate)
    assert (update.last, update.previous) == (1343064377779269632, 1343064377779269631)
    assert update.checksum is None


def _keeper(recording: Recording, feed: BookFeed, client: Any = None) -> BookKeeper:
    keeper = BookKeeper(feed, client, FakeClock(), logging.getLogger("test"))
    keeper.set_symbols(recording.intake.parts.values())
    recording.intake.route(BookUpdate, keeper.take)
    recording.intake.route(Unread, keeper.unread)
    return keeper


@pytest.mark.parametrize("venue", VENUES)
async def test_an_update_with_a_time_that_can_not_be_true_ends_the_book(venue: str) -> None:
    recording = Recording()
    _keeper(recording, CATALOGUE[venue].book)
    now = recording.clock.now_ms()
    recording.intake.on_events([_snapshot(1, now)], now)
    assert recording.parts.book is not None
    recording.intake.on_events([_update(2, now + 2 * 86_400_000)], now)
    assert recording.parts.book is None
    assert recording.quarantine.total == 1


BOOK_FRAMES: dict[Any, dict[str, Any]] = {
    Binance: {"e": "depthUpdate", "s": "BTC", "T": 9, "u": 2, "U": 2, "pu": 1, "b": []},
    Bybit: {"topic": "orderbook.1000.BTC", "type": "delta", "ts": 9, "data": {"s": "BTC"}},
    Bitget: {
        "action": "update",
        "arg": {"channel": "books", "instId": "BTC"},
        "data": [{"bids": [], "asks": [], "ts": "soon"}],
    },
    Htx: {"ch": "market.BTC.depth.size_150.high_freq", "tick": {"event": "update"}},
    Gate: {
        "channel": "futures.order_book_update",
        "event": "update",
        "result": {"s": "BTC", "t": 9, "u": 2, "U": 2, "b": [{"p": "1"}], "a": []},
    },
    Okx: {"arg": {"channel": "books", "instId": "BTC"}, "action": "update", "data": [{}]},
    KrakenFutures: {"feed": "book", "product_id": "BTC", "side": "mid", "price": 1, "qty": 1}
    | {"seq": 2, "timestamp": 9},
    Coinbaseinternational: {"params": {"channel": "book.BTC.100ms", "data": {"change_id": 2}}},
}


@pytest.mark.parametrize("venue", BOOK_FRAMES)
async def test_a_frame_of_a_book_that_can_not_be_read_ends_the_book(venue: Any) -> None:
    recording, peeler = Recording(), venue({})
    _keeper(recording, BookFeed(depth=5, source="", chain=Chain.NEXT))
    peeler.sink, peeler.clock = recording.intake, recording.clock
    now = recording.clock.now_ms()
    recording.intake.on_events([_snapshot(1, now)], now)
    assert recording.parts.book is not None
    peeler.handle_message(SimpleNamespace(error=None), BOOK_FRAMES[venue])
    assert recording.parts.book is None
    assert recording.quarantine.total == 1


@pytest.mark.parametrize("venue", BOOK_FRAMES)
@pytest.mark.parametrize("frame", [{}, [], 5, {"arg": 1}, {"topic": []}, {"ch": "a"}, {"data": 1}])
async def test_what_names_no_book_ends_none(venue: Any, frame: Any) -> None:
    recording, peeler = Recording(), venue({})
    peeler.sink = recording.intake
    peeler._doubt_book(frame, 0)
    assert recording.quarantine.total == recording.intake.unwanted == 0


class HandClient:
    """Snapshots when the test gives them."""

    def __init__(self) -> None:
        self.snapshots: asyncio.Queue[BookUpdate] = asyncio.Queue()
        self.asked = 0

    async def afford_snapshot(self) -> None:
        self.asked += 1

    async def fetch_book(self, symbol: str) -> BookUpdate:
        return await self.snapshots.get()


async def test_a_snapshot_that_comes_after_its_stream_ended_is_not_taken() -> None:
    recording, client = Recording(), HandClient()
    feed = BookFeed(depth=5, source="", chain=Chain.PREVIOUS, snapshot=Request("", 1))
    keeper, parts = _keeper(recording, feed, client), recording.parts
    running = asyncio.create_task(keeper.run())
    try:
        keeper.subscribed(parts.symbol)
        await eventually(lambda: client.asked == 1)
        keeper.lost(parts.symbol, "cut")
        client.snapshots.put_nowait(_snapshot(6))
        await eventually(lambda: client.snapshots.empty())
        assert parts.book is None
        keeper.subscribed(parts.symbol)
        await eventually(lambda: client.asked == 2)
        client.snapshots.put_nowait(_snapshot(6))
        await eventually(lambda: parts.book)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_simulated_bitget_names_the_update_before() -> None:
    wire = BookWire("bitget", 3, CATALOGUE["bitget"].book.depth)
    wire.subscribe()
    last: int | None = None
    for _ in range(10):
        for moment in wire.step():
            assert last is None or moment.update.previous == last
            last = moment.update.last
    assert last is not None


@pytest.mark.parametrize("answers", [True, False])
async def test_a_symbol_that_is_removed_while_its_snapshot_is_fetched_is_let_go(
    answers: bool,
) -> None:
    """Nobody would end the gap of a symbol that is not collected."""
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def fetch_book(_symbol: str) -> BookUpdate:
        asked.set()
        await may_answer.wait()
        if not answers:
            raise NetworkError("away")
        return _snapshot(5)

    recording, told = Recording(), list[Any]()
    client = SimpleNamespace(fetch_book=fetch_book)
    keeper = _keeper(recording, CATALOGUE["binance"].book, client)
    keeper.on_broken = lambda *facts: told.append(facts)
    keeper.on_live = lambda *facts: told.append(facts)
    fetching = asyncio.create_task(keeper._fetch(keeper._kept[BTC]))
    await asked.wait()
    keeper.set_symbols([])
    may_answer.set()
    await fetching
    assert told == []
    assert recording.parts.book is None
