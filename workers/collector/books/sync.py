"""Whether a book is right: every update either continues it or ends it."""

from shared.errors import BookDesyncError
from workers.collector.books.orderbook import OrderBook
from workers.collector.catalogue.row import BookFeed, Chain
from workers.collector.events import BookUpdate

#: Updates kept while a snapshot is on its way: at ten a second, a minute and more.
_BUFFERED = 1000


class BookSync:
    """One symbol's book, from snapshot to snapshot.

    `live` books are right: complete up to `book.update_id`, never crossed, and equal to the
    venue's checksum where there is one. The first update that does not continue the book ends
    that, in the call which brings it.
    """

    def __init__(self, feed: BookFeed) -> None:
        self.book = OrderBook(checksummed=feed.checksum)
        self.live = False
        self._feed = feed
        self._last: int | None = None
        self._joined = False  # the stream has reached the snapshot
        self._buffer: list[BookUpdate] | None = None

    def take(self, update: BookUpdate) -> bool:
        """Whether the update changed the book; late and repeated ones do not.

        Raises BookDesyncError where it shows that the book is wrong, one of MALFORMED where it is
        no update: the book is not live any more.
        """
        try:
            return self._taken(update)
        except Exception:
            self.live = False
            raise

    @property
    def awaiting(self) -> bool:
        return self._buffer is not None

    def await_snapshot(self) -> None:
        """Keep updates from now on: a snapshot was asked for. A live book stays so meanwhile."""
        self._buffer = []

    def begin(self, snapshot: BookUpdate) -> None:
        """Start from a REST snapshot and go on with what came since it was asked for.

        Raises what `take` raises where that does not fit; then another snapshot is needed.
        """
        kept, self._buffer = self._buffer or [], None
        for update in (snapshot, *kept):
            self.take(update)

    def end(self) -> None:
        """Not right any more, for a reason that is not in the updates."""
        self.live, self._buffer = False, None

    def _taken(self, update: BookUpdate) -> bool:
        if type(update.last) is not int and update.last is not None:
            raise TypeError(f"number {update.last!r}")
        if update.snapshot:
            self._start(update)
            return True
        if self._buffer is not None:
            self._keep(self._buffer, update)
        return self.live and self._continue(update)

    @staticmethod
    def _keep(buffer: list[BookUpdate], update: BookUpdate) -> None:
        if len(buffer) >= _BUFFERED:
            buffer.clear()  # the snapshot will be younger than these, or be asked for again
        buffer.append(update)

    def _start(self, snapshot: BookUpdate) -> None:
        self.live = False
        limit = None if self._feed.window else self._feed.depth
        self.book.replace(snapshot.bids, snapshot.asks, limit)
        self._last = snapshot.last
        # A stream that brings its own snapshot goes on right behind it.
        self._joined = self._feed.snapshot_weight is None
        self._settle(snapshot)
        self.live = True

    def _continue(self, update: BookUpdate) -> bool:
        last = self._last
        if last is not None and update.last is not None:
            if not (self._follows(update, last) if self._joined else self._joins(update, last)):
                if update.last <= last:
                    return False
                raise BookDesyncError(f"update {update.first or update.last} came after {last}")
            self._joined = True
        self.book.apply(update.bids, update.asks)
        self._last = update.last
        self._settle(update)
        return True

    def _follows(self, update: BookUpdate, last: int) -> bool:
        assert update.last is not None
        match self._feed.chain:
            case Chain.PREVIOUS:
                return update.previous == last
            case Chain.NEXT:
                return update.last == last + 1
            case Chain.RANGE:
                return update.first is not None and update.first <= last + 1 <= update.last
            case Chain.CHECKSUM:
                return True

    @staticmethod
    def _joins(update: BookUpdate, snapshot: int) -> bool:
        """Whether this is the first update that counts on top of a REST snapshot: the one which
        holds the snapshot's number, or comes right after it."""
        assert update.last is not None
        if update.previous == snapshot:
            return True
        return update.first is not None and update.first <= snapshot + 1 and update.last >= snapshot

    def _settle(self, update: BookUpdate) -> None:
        book = self.book
        if book.crossed:
            raise BookDesyncError(f"crossed: bid {book.bids.best}, ask {book.asks.best}")
        if update.checksum is not None and update.checksum != book.checksum():
            raise BookDesyncError("checksum")
        book.update_id = update.last
        book.timestamp = update.timestamp
