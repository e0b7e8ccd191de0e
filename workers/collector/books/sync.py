"""Whether a book is right: every update either continues it or ends it."""

from shared.errors import BookDesyncError
from workers.collector.books.orderbook import OrderBook
from workers.collector.catalogue.row import BookFeed, Chain
from workers.collector.events import BookUpdate

#: Updates kept while a snapshot is on its way: at ten a second, a minute and more.
_BUFFERED = 1000
#: A number that so many snapshots do not reach was a slip: with the pauses between them, a cache
#: of ten seconds and more has ended.
_BEHIND_MOST = 8
#: How far the time of a REST snapshot may be behind that of its last update: it is another clock's,
#: and ccxt 4.5.90 cuts gate's to whole seconds.
_SNAPSHOT_BEHIND_MS = 2000


class BookSync:
    """One symbol's book, from snapshot to snapshot.

    `live` books are right: complete up to `book.update_id`, never crossed, not behind what the
    stream has said, and equal to the venue's checksum where there is one. The first update that
    does not continue the book ends that, in the call which brings it.
    """

    def __init__(self, feed: BookFeed) -> None:
        self.book = OrderBook(checksummed=feed.checksum)
        self.live = False
        self._feed = feed
        self._last: int | None = None
        self._joined = False  # the stream has reached the snapshot
        self._buffer: list[BookUpdate] | None = None
        self._heard: int | None = None  # the newest of the stream up to when the book ended
        self._heard_at: int | None = None  # its time
        self._behind = 0  # snapshots in a row that were behind it

    def take(self, update: BookUpdate) -> bool:
        """Whether the update changed the book; late and repeated ones do not.

        Raises BookDesyncError where it shows that the book is wrong, one of MALFORMED where it is
        no update: the book is not live any more.
        """
        try:
            return self._taken(update)
        except Exception:
            self._end()
            if not update.snapshot:
                self._hear(update.last, update.timestamp)
            raise

    @property
    def awaiting(self) -> bool:
        return self._buffer is not None

    def await_snapshot(self) -> None:
        """Keep updates from now on: a snapshot was asked for. A live book stays so meanwhile."""
        self._buffer = []

    def begin(self, snapshot: BookUpdate) -> None:
        """Start from a REST snapshot and go on with what came since it was asked for.

        Raises what `take` raises where that does not fit, BookDesyncError where both together are
        behind what the stream said before (venues answer from caches); then another snapshot is
        needed.
        """
        self._end()
        kept, self._buffer = self._buffer or [], None
        for update in (snapshot, *kept):
            self.take(update)
        if self._heard is not None and (self._last is None or self._last < self._heard):
            heard, self.live = self._heard, False
            self._behind += 1
            if self._behind >= _BEHIND_MOST:
                self._heard, self._behind = None, 0
            raise BookDesyncError(f"snapshot {snapshot.last} is behind {heard}")
        self._behind = 0

    def end(self) -> None:
        """Not right any more, for a reason that is not in the updates."""
        self._end()
        self._buffer = None

    def _end(self) -> None:
        if self.live and self._joined:
            self._hear(self._last, self.book.timestamp)
        self.live = False

    def _hear(self, number: int | None, timestamp: int | None) -> None:
        """Remember the newest update that the stream had for a book which is not live."""
        if type(number) is not int:
            return
        if self._heard is None or number > self._heard or _newer(timestamp, self._heard_at):
            self._heard, self._heard_at = number, timestamp

    def _taken(self, update: BookUpdate) -> bool:
        if type(update.last) is not int and (
            update.last is not None or self._feed.chain is not Chain.CHECKSUM
        ):
            raise TypeError(f"number {update.last!r}")
        if update.snapshot:
            self._start(update)
            return True
        if self._buffer is not None:
            self._keep(self._buffer, update)
        if self.live:
            return self._continue(update)
        self._hear(update.last, update.timestamp)
        return False

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
        self._joined = self._feed.snapshot is None
        self._settle(snapshot)
        self.live = True

    def _continue(self, update: BookUpdate) -> bool:
        last = self._last
        if last is not None and update.last is not None:
            if not (self._follows(update, last) if self._joined else self._joins(update, last)):
                if update.last <= last and not self._numbered_anew(update):
                    return False
                raise BookDesyncError(f"update {update.first or update.last} came after {last}")
            self._joined = True
        elif last is not None or update.checksum is None:
            raise BookDesyncError("an update without a number")
        self.book.apply(update.bids, update.asks)
        self._last = update.last
        self._settle(update)
        return True

    def _numbered_anew(self, update: BookUpdate) -> bool:
        """Of one with a low number: whether it is not late, by its time."""
        slack_ms = 0 if self._joined else _SNAPSHOT_BEHIND_MS
        return _newer(update.timestamp, self.book.timestamp, slack_ms)

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
                if update.previous is not None:
                    return update.previous == last
                return update.last > last and update.checksum is not None

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


def _newer(timestamp: int | None, than: int | None, slack_ms: int = 0) -> bool:
    return timestamp is not None and than is not None and timestamp > than + slack_ms
