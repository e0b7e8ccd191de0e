"""The order books of a venue: fed by frames, ended by the first doubt, fetched anew."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import BookDesyncError, ExchangeError
from workers.collector.books.orderbook import OrderBook
from workers.collector.books.sync import BookSync
from workers.collector.catalogue.row import BookFeed, StreamKind, Subscription
from workers.collector.events import MALFORMED, BookUpdate, Unread
from workers.collector.parts import Parts

#: A book that stays right this long has recovered; its next loss starts with a short pause again.
_RECOVERED_S = 30.0
#: Snapshots asked for at a time: hundreds of books start together, and other requests of the venue
#: must not wait for them all.
_AT_ONCE = 4


class BookClient(Protocol):
    """What the keeper asks of a venue."""

    async def afford_snapshot(self) -> None:
        """Wait until the budget of one snapshot is ours."""
        ...

    async def fetch_book(self, symbol: str) -> BookUpdate:
        """A snapshot whose budget was spent before. Raises ExchangeError."""
        ...


@dataclass(slots=True, eq=False)
class _Kept:
    """One symbol's book and its troubles."""

    parts: Parts
    sync: BookSync
    backoff: Backoff = field(default_factory=lambda: Backoff(0.1, 30.0))
    broken_at: float = float("-inf")
    broken: bool = False  # told, and not right again yet
    cut: bool = False  # its stream ended, and no other has begun
    due: asyncio.TimerHandle | None = None  # of the next try to get a new snapshot


class BookKeeper:
    """Keeps `parts.book` of every symbol: the live book, or None while there is no right one."""

    def __init__(self, feed: BookFeed, client: BookClient, clock: Clock, log: logging.Logger):
        self.resyncs = 0
        self.resubscribe: Callable[[Subscription, str], None] = lambda _stream, _reason: None
        self.on_changed: Callable[[Parts], None] = lambda _parts: None
        self.on_broken: Callable[[str, str, OrderBook], None] = lambda *_: None
        self.on_live: Callable[[str, OrderBook], None] = lambda *_: None
        self._feed = feed
        self._client = client
        self._clock = clock
        self._log = log
        self._kept: dict[str, _Kept] = {}
        self._wanted: asyncio.Queue[str] = asyncio.Queue()  # one entry a symbol at most
        self._queued: set[str] = set()

    def set_symbols(self, parts: Iterable[Parts]) -> None:
        """Keep the books of these symbols; the others are forgotten."""
        former, self._kept = self._kept, {}
        for one in parts:
            kept = former.pop(one.symbol) if one.symbol in former else None
            self._kept[one.symbol] = kept or _Kept(one, BookSync(self._feed))
        for gone in former.values():
            if gone.due is not None:
                gone.due.cancel()

    async def run(self) -> None:
        """Fetch the snapshots that are wanted, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(self._fetch_forever())

    def take(self, update: BookUpdate, parts: Parts, received_at: int) -> None:
        """An update of a frame. Raises one of MALFORMED for what is none: it ends the book, too."""
        kept = self._kept.get(parts.symbol)
        if kept is None:
            return
        try:
            changed = kept.sync.take(update)
        except BookDesyncError as error:
            self._break(kept, str(error))
            return
        except MALFORMED:
            self._break(kept, "malformed update")
            raise
        if changed:
            self._on_right(kept)
        elif not kept.sync.live:
            kept.cut = False
            if not kept.sync.awaiting and kept.due is None:
                self._want(parts.symbol)

    def unread(self, _event: Unread, parts: Parts, received_at: int) -> None:
        """What the update changed is not known, so neither is the book."""
        self.doubt(parts.symbol, "unreadable update")

    def subscribed(self, symbol: str) -> None:
        """The venue sends updates from now on; where they need a REST snapshot, get it."""
        kept = self._kept.get(symbol)
        if kept is not None:
            kept.cut = False
            if not kept.sync.live:
                self._want(symbol)

    def lost(self, symbol: str, reason: str) -> None:
        """The stream ended: what comes after it does not continue the book."""
        kept = self._kept.get(symbol)
        if kept is not None:
            kept.cut = True
            kept.sync.end()
            self._tell_broken(kept, reason)

    async def bridge(self, symbol: str) -> None:
        """A snapshot in place of a stream that says nothing. Raises ExchangeError."""
        kept = self._kept.get(symbol)
        if kept is None or kept.sync.live:
            return
        await self._client.afford_snapshot()
        snapshot = await self._client.fetch_book(symbol)
        if kept.sync.live or self._kept.get(symbol) is not kept:
            return
        book = OrderBook()
        book.replace(snapshot.bids, snapshot.asks)
        book.update_id, book.timestamp = snapshot.last, snapshot.timestamp
        book.at, book.source = self._clock.monotonic(), "rest"
        kept.parts.book = None if book.crossed else book
        self.on_changed(kept.parts)

    def doubt(self, symbol: str, reason: str) -> None:
        """Somebody found the book wrong: fetch it anew."""
        kept = self._kept.get(symbol)
        if kept is not None:
            self._break(kept, reason)

    def _on_right(self, kept: _Kept) -> None:
        parts, book = kept.parts, kept.sync.book
        book.at = self._clock.monotonic()
        if parts.book is not book:
            parts.book, kept.broken = book, False
            self.on_live(parts.symbol, book)
        self.on_changed(parts)
        if book.thin and kept.due is None:
            self._renew_later(kept, "thin")

    def _break(self, kept: _Kept, reason: str) -> None:
        """In the call that shows it: nobody gets this book any more."""
        kept.sync.end()
        self._tell_broken(kept, reason)
        if kept.due is None:
            self._renew_later(kept, reason)

    def _renew_later(self, kept: _Kept, reason: str) -> None:
        loop = asyncio.get_running_loop()
        kept.due = loop.call_later(kept.backoff.next_s(), self._renew, kept, reason)

    def _renew(self, kept: _Kept, reason: str) -> None:
        kept.due = None
        symbol, sync = kept.parts.symbol, kept.sync
        if self._kept.get(symbol) is not kept or (sync.live and not sync.book.thin):
            return
        if self._feed.snapshot is None:
            self.resubscribe(Subscription(StreamKind.BOOK, symbol), reason)
        else:
            self._want(symbol)

    def _tell_broken(self, kept: _Kept, reason: str) -> None:
        kept.parts.book = None
        if kept.broken or not kept.sync.book.at:
            return  # told already, or never right so far
        kept.broken = True
        self.resyncs += 1
        symbol, now = kept.parts.symbol, self._clock.monotonic()
        again, kept.broken_at = now - kept.broken_at < _RECOVERED_S, now
        if again:
            self._log.debug("Order book of %s lost its thread again (%s)", symbol, reason)
        else:
            kept.backoff.reset()
            self._log.warning(
                "Order book of %s lost its thread (%s): fetching it anew", symbol, reason
            )
        self.on_broken(symbol, reason, kept.sync.book)

    def _want(self, symbol: str) -> None:
        if self._feed.snapshot is not None and symbol not in self._queued:
            self._queued.add(symbol)
            self._wanted.put_nowait(symbol)

    async def _fetch_forever(self) -> None:
        while True:
            symbol = await self._wanted.get()
            await self._client.afford_snapshot()
            self._queued.discard(symbol)
            kept = self._kept.get(symbol)
            if kept is not None and not kept.cut:
                await self._fetch(kept)

    async def _fetch(self, kept: _Kept) -> None:
        """Updates are kept from just before the request: the snapshot is not older than they."""
        kept.sync.await_snapshot()
        try:
            snapshot = await self._client.fetch_book(kept.parts.symbol)
            if not kept.sync.awaiting or not self._keeps(kept):
                return  # ended meanwhile; who ended it sees to the next one
            kept.sync.begin(snapshot)
        except (ExchangeError, *MALFORMED) as error:
            self._log.debug("No snapshot of %s: %s", kept.parts.symbol, error)
            if self._keeps(kept):
                self._break(kept, str(error))
        else:
            self._on_right(kept)

    def _keeps(self, kept: _Kept) -> bool:
        """Whether the symbol was not removed in between."""
        return self._kept.get(kept.parts.symbol) is kept
