"""Order books under everything that a wire does to their updates: right, or not live."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BookDesyncError, NetworkError
from tests.books import BookWire, Moment
from tests.fakes import FakeClock
from tests.venues import VENUES
from tests.waiting import eventually
from workers.collector.books.keeper import BookKeeper
from workers.collector.books.orderbook import OrderBook
from workers.collector.books.sync import BookSync
from workers.collector.catalogue import CATALOGUE
from workers.collector.catalogue.row import BookFeed, Chain, Request, StreamKind, Subscription
from workers.collector.events import BookUpdate
from workers.collector.parts import Parts

BTC = "BTC/USDT:USDT"
FAULTS = ("drop", "duplicate", "swap", "late", "cut", "crossed", "checksum")


class Reader:
    """What a collector does with one book, without waiting: resync at once, by the same means."""

    def __init__(self, wire: BookWire, feed: BookFeed) -> None:
        self.wire, self.feed = wire, feed
        self.sync = BookSync(feed)
        self.broken = 0
        self.asked = 0  # steps until a snapshot that was asked for is there
        self.resync()

    def resync(self) -> None:
        if self.feed.snapshot is None:
            for moment in self.wire.subscribe():
                self.sync.take(moment.update)
        else:
            self.sync.await_snapshot()
            self.asked = self.wire.random.randint(1, 3)

    def answer(self) -> None:
        """Time passes; the snapshot comes."""
        if self.asked:
            self.asked -= 1
            if not self.asked:
                self.guarded(lambda: self.sync.begin(self.wire.snapshot()))

    def take(self, moment: Moment) -> None:
        self.guarded(lambda: self.sync.take(moment.update))

    def guarded(self, work: Any) -> None:
        try:
            work()
        except BookDesyncError:
            assert not self.sync.live
            self.broken += 1
            self.resync()

    def check(self, bids: Any, asks: Any) -> None:
        book, depth = self.sync.book, self.feed.depth
        mine = book.bids.top(depth), book.asks.top(depth)
        # Beyond the worst level of a cut snapshot nothing is known, and nothing is shown.
        assert mine == (bids[: len(mine[0])], asks[: len(mine[1])])
        # A cut snapshot loses levels as the market moves away; at half of them it is renewed.
        assert min(map(len, mine)) >= (depth if self.feed.window else depth // 2)
        assert not book.crossed


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("venue", VENUES)
async def test_a_live_book_is_the_venues_own_whatever_happens_on_the_way(
    venue: str, seed: int
) -> None:
    _play(venue, seed)


@pytest.mark.long
@pytest.mark.deadline(1800)
@pytest.mark.parametrize("venue", VENUES)
async def test_a_thousand_schedules_end_bit_equal(venue: str) -> None:
    for seed in range(100, 1100):
        _play(venue, seed)


def _play(venue: str, seed: int, steps: int = 60) -> None:
    """Faults at random in the first two thirds; in the end the book is there and equal."""
    feed = CATALOGUE[venue].book
    wire = BookWire(venue, seed, feed.depth)
    reader = Reader(wire, feed)
    fired, held, last = 0, list[Moment](), None
    for number in range(steps):
        reader.answer()
        for moment in wire.step():
            fault = _fault(wire, number, is_due=number >= 30 and not fired)
            fired += bool(fault)
            before, last = reader.broken, moment
            for seen in _mangled(moment, fault, held):
                reader.take(seen)
            if reader.sync.live and reader.broken == before and fault not in ("drop", "late"):
                reader.check(moment.bids, moment.asks)
    assert fired
    assert reader.sync.live
    assert last is not None
    reader.check(last.bids, last.asks)


def _fault(wire: BookWire, number: int, *, is_due: bool) -> str:
    chosen = is_due or wire.random.random() < 0.2
    return wire.random.choice(FAULTS) if chosen and number < 40 else ""


def _mangled(moment: Moment, fault: str, held: list[Moment]) -> list[Moment]:
    """What arrives in place of `moment`; `held` back moments come after the next one."""
    update = moment.update
    if fault == "drop":
        return []
    if fault == "late":
        held.append(moment)
        return []
    if fault == "crossed":
        price = 2 * moment.asks[0][0]
        update = update._replace(bids=[*update.bids, [str(price), "1"]])
        return [replace(moment, update=update)]
    if fault == "checksum" and update.checksum is not None:
        return [replace(moment, update=update._replace(checksum=update.checksum + 1))]
    after, held[:] = list(held), []
    return [moment, moment, *after] if fault == "duplicate" else [moment, *after]


@pytest.mark.parametrize("venue", VENUES)
async def test_the_update_after_a_lost_one_ends_the_book(venue: str) -> None:
    feed = CATALOGUE[venue].book
    wire = BookWire(venue, 3, feed.depth)
    reader = Reader(wire, feed)
    while not reader.sync.live or not reader.sync._joined:
        for moment in wire.step():
            reader.take(moment)
        reader.answer()
    for _ in range(20):
        lost = wire.step()
        if lost and any(moment.update.bids or moment.update.asks for moment in lost):
            break
    (after,) = wire.step()
    with pytest.raises(BookDesyncError):
        reader.sync.take(after.update)
    assert not reader.sync.live


@pytest.mark.parametrize("venue", ["bitget", "okx"])
async def test_an_update_whose_checksum_is_not_the_books_ends_it(venue: str) -> None:
    """Whatever was lost or wrong before, and however well its number follows."""
    feed = CATALOGUE[venue].book
    wire = BookWire(venue, 4, feed.depth)
    reader = Reader(wire, feed)
    while not reader.sync.live:
        for moment in wire.step():
            reader.take(moment)
    (moment,) = wire.step()
    assert moment.update.checksum is not None
    price, size = moment.bids[0]
    reader.sync.book.bids.apply([[str(price), str(2 * size)]])  # as after a loss
    with pytest.raises(BookDesyncError, match="checksum"):
        reader.sync.take(moment.update._replace(bids=[], asks=[]))
    assert not reader.sync.live


LEVEL = st.tuples(st.integers(1, 40), st.integers(0, 5))


@given(st.lists(st.tuples(st.booleans(), st.lists(LEVEL, max_size=6)), max_size=30))
def test_a_side_is_a_sorted_map(changes: list[tuple[bool, list[tuple[int, int]]]]) -> None:
    book = OrderBook(checksummed=True)
    bids: dict[int, int] = {}
    for snapshot, levels in changes:
        if snapshot:
            bids = {}
            book.replace(levels, [])
        else:
            book.apply(levels, [])
        for price, size in levels:
            bids[price] = size
        bids = {price: size for price, size in bids.items() if size}
        assert book.bids.top(100) == [[p, bids[p]] for p in sorted(bids, reverse=True)]
        assert book.bids.best == max(bids, default=None)
        assert set(book.bids.texts or {}) == set(map(float, bids))


@pytest.mark.parametrize(
    "level", [["nan", "1"], ["1", "inf"], ["-1", "1"], ["0", "1"], ["1", "-1"]]
)
def test_what_is_no_level_ends_the_book(level: list[str]) -> None:
    sync = BookSync(BookFeed(depth=5, source="", chain=Chain.NEXT))
    sync.take(BookUpdate("x", True, [["1", "1"]], [["2", "1"]], None, 1))
    with pytest.raises(BookDesyncError):
        sync.take(BookUpdate("x", False, [level], [], None, 2))
    assert not sync.live


def test_levels_beyond_a_cut_snapshot_are_not_kept() -> None:
    """The venue's diff stream speaks of all levels; of those that the snapshot left out, only the
    ones that changed would be known."""
    sync = BookSync(
        BookFeed(depth=2, source="", chain=Chain.PREVIOUS, snapshot=Request("", 1), window=False)
    )
    sync.begin(BookUpdate("x", True, [[10, 1], [9, 1]], [[11, 1], [12, 1]], None, 5))
    update = BookUpdate("x", False, [[10, 0], [8, 1], [9.5, 3]], [[13, 1]], None, 6, 6, 5)
    sync.take(update)
    assert sync.book.bids.top(5) == [[9.5, 3], [9, 1]]
    assert sync.book.asks.top(5) == [[11, 1], [12, 1]]
    assert sync.book.bids.size_to(9) == 4
    assert sync.book.bids.size_to(8) is None


class HandClient:
    """Snapshots when the test gives them."""

    def __init__(self) -> None:
        self.snapshots: asyncio.Queue[BookUpdate | Exception] = asyncio.Queue()
        self.asked = 0

    async def afford_snapshot(self) -> None:
        self.asked += 1

    async def fetch_book(self, symbol: str) -> BookUpdate:
        given = await self.snapshots.get()
        if isinstance(given, Exception):
            raise given
        return given


def _snapshot(number: int) -> BookUpdate:
    return BookUpdate("x", True, [[10, 1]], [[11, 1]], None, number)


def _update(number: int, previous: int) -> BookUpdate:
    return BookUpdate("x", False, [[9, number]], [], None, number, number, previous)


async def test_a_book_by_rest_is_asked_for_again_and_valid_only_in_between() -> None:
    client, parts = HandClient(), Parts(BTC)
    feed = BookFeed(depth=5, source="", chain=Chain.PREVIOUS, snapshot=Request("", 1))
    keeper = BookKeeper(feed, client, FakeClock(), logging.getLogger("test"))
    told: list[str] = []
    keeper.on_broken = lambda symbol, reason, book: told.append(f"broken {book.update_id}")
    keeper.on_live = lambda symbol, book: told.append(f"live {book.update_id}")
    keeper.set_symbols([parts])
    running = asyncio.create_task(keeper.run())
    try:
        keeper.subscribed(BTC)
        await eventually(lambda: client.asked == 1)
        keeper.take(_update(7, 6), parts, 0)
        assert parts.book is None
        client.snapshots.put_nowait(_snapshot(6))
        await eventually(lambda: parts.book)
        assert parts.book is not None
        assert parts.book.update_id == 7
        keeper.take(_update(9, 8), parts, 0)  # 8 is missing
        assert parts.book is None
        await eventually(lambda: client.asked == 2)
        client.snapshots.put_nowait(NetworkError("away"))
        await eventually(lambda: client.asked == 3)
        client.snapshots.put_nowait(_snapshot(9))
        await eventually(lambda: parts.book)
        keeper.lost(BTC, "cut")
        assert parts.book is None
        assert told == ["live 7", "broken 7", "live 9", "broken 9"]
        assert keeper.resyncs == 2
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_book_by_stream_is_subscribed_anew() -> None:
    parts = Parts(BTC)
    feed = BookFeed(depth=5, source="", chain=Chain.NEXT)
    keeper = BookKeeper(feed, HandClient(), FakeClock(), logging.getLogger("test"))
    asked: list[Subscription] = []
    keeper.resubscribe = lambda stream, reason: asked.append(stream)
    keeper.set_symbols([parts])
    keeper.take(_snapshot(5), parts, 0)
    assert parts.book is not None
    keeper.take(_update(7, 0), parts, 0)
    keeper.take(_update(8, 0), parts, 0)
    assert parts.book is None
    await eventually(lambda: asked)
    assert asked == [Subscription(StreamKind.BOOK, BTC)]
    keeper.take(_snapshot(9), parts, 0)
    assert parts.book is not None
