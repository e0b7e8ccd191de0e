"""A disk spool, seen from the event loop: takes messages, gives them back, forgets confirmed ones.

All work on the disk happens in one thread of its own, in transactions of at most `_WRITE_BYTES`.
A disk that refuses costs nothing at first: what was handed over waits in memory, within a bound.
"""

import asyncio
import logging
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from shared.backoff import Backoff
from shared.kinds import KINDS
from shared.publisher import MIB, Publication
from shared.spool_file import Locked, Mended, SpoolFile, is_disk_trouble
from shared.spool_row import remains, row_size

#: One transaction: 10-40 ms on a slow disk.
_WRITE_BYTES = 2 * MIB
_WRITE_MESSAGES = 1000
#: How long messages gather for one transaction.
_GATHER_S = 0.02
#: What may wait in memory for the disk.
_MEMORY_BYTES = 16 * MIB

#: How many files of a worker there may be, while others hold those of its runs before.
_BESIDE = 9

ERRORS = (OSError, sqlite3.Error)
T = TypeVar("T")

log = logging.getLogger("rabbitmq")


class Books(Protocol):
    """Who accounts for what a spool holds."""

    def found(self, rows: Counter[str]) -> None:
        """Facts, by label, that were on disk when the spool was opened."""

    def kept(self, message: Publication) -> None:
        """A message is safe on disk."""

    def unreadable(self, message: Publication) -> None:
        """A message that a damaged file lost, as far as anything is known of it: its label and
        facts, and no body. One may stand for many; for an unknown number with `rows` 0."""


class Spool:
    """One spool file."""

    def __init__(self, path: Path, limit_bytes: int, books: Books) -> None:
        self.path = path
        self.rows: Counter[str] = Counter()  # facts on disk, by label
        self.size = 0  # bytes on disk
        self.failures = 0  # how often the disk refused
        self._limit = limit_bytes
        self._books = books
        self._file: SpoolFile | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._waiting: deque[Publication] = deque()
        self._waiting_bytes = 0
        self._settled: list[int] = []
        self._read_up_to = 0
        self._held: dict[int, Publication] = {}  # fetched and not settled, by id
        self._work = asyncio.Event()
        self._turn = asyncio.Lock()
        self._backoff = Backoff(0.2, 5.0)
        self._failing = False
        self._mended = 0

    @property
    def empty(self) -> bool:
        return not self._waiting and not any(self.rows.values())

    @property
    def written(self) -> bool:
        """Whether all that was handed over is on disk."""
        return not self._waiting

    def messages(self) -> Iterator[Publication]:
        """What was handed over and is not on disk yet."""
        yield from self._waiting

    def put(self, message: Publication) -> str | None:
        """Take a message; else the reason why not: `spool_full`, or `spool_failed` where the
        disk refuses and the memory before it is full."""
        size = row_size(message)
        if self.size + self._waiting_bytes + size > self._limit:
            return "spool_full"
        if self._waiting_bytes + size > _MEMORY_BYTES:
            return "spool_failed"
        self._waiting.append(message)
        self._waiting_bytes += size
        self._work.set()
        return None

    def settled(self, message: Publication) -> None:
        """The message needs no spool any more."""
        self._held.pop(message.kept_as, None)
        self.rows[message.label] -= message.rows
        self.size -= message.kept_size
        self._settled.append(message.kept_as)
        self._work.set()

    async def open(self) -> None:
        """Take the lock and count what is there. Raises Locked, OSError, sqlite3.Error."""
        self._file = await self._in_thread(lambda: SpoolFile(self.path))
        self.rows, self.size = Counter(self._file.totals.rows), self._file.totals.size
        self._books.found(self.rows)
        if self._file.mended:
            self._mended = self._file.mended
            log.error("The spool %s was damaged; what was readable is kept", self.path.name)
            for kind in KINDS.values():
                if kind.lossless:
                    self._books.unreadable(remains(kind.label, 0))

    async def fetch(self, limit: int) -> list[Publication]:
        """The next messages that were not fetched since `open`, oldest first.

        Nothing where the disk refuses: that is tried again later.
        """
        if self._file is None or limit <= 0 or not any(self.rows.values()):
            return []
        try:
            async with self._turn:
                file, after = self._file, self._read_up_to
                page = await self._on(file, lambda: file.read(after, limit))
        except ERRORS as error:
            self._failed(error)
            return []
        self._read_up_to = page.last
        self.rows.subtract(page.lost.rows)
        self.size -= page.lost.size
        for lost in page.unreadable:
            self._books.unreadable(lost)
        for message in page.messages:
            message.keeper = self
            self._held[message.kept_as] = message
        return page.messages

    def put_back(self, messages: Sequence[Publication]) -> None:
        """Nobody took these, the last ones of what `fetch` gave: it will give them again."""
        for message in messages:
            self._held.pop(message.kept_as, None)
            self._read_up_to = min(self._read_up_to, message.kept_as - 1)

    async def run(self) -> None:
        """Write and forget, for ever; opens the file where `open` was not called."""
        while True:
            if self._file is None and not await self._opened():
                await asyncio.sleep(self._backoff.next_s())
                continue
            await self._work.wait()
            self._work.clear()
            await asyncio.sleep(_GATHER_S)
            if not await self.flush():
                self._work.set()
                await asyncio.sleep(self._backoff.next_s())

    async def flush(self) -> bool:
        """Put all on disk that was handed over; False where the disk refuses."""
        try:
            async with self._turn:
                while self._file is not None and (self._waiting or self._settled):
                    await self._write(self._file)
                    await self._forget(self._file)
        except ERRORS as error:
            self._failed(error)
            return False
        if self._failing and self._file is not None:
            self._failing = False
            log.info("The spool %s is written again", self.path.name)
        self._backoff.reset()
        return self._file is not None

    async def close(self, *, delete: bool = False) -> None:
        """Write what is left and let go. With `delete` an empty file is removed."""
        await self.flush()
        file, self._file = self._file, None
        if file is not None:
            try:
                await self._in_thread(lambda: file.close(delete=delete and self.empty))
            except ERRORS as error:
                self._failed(error)
        self._thread.shutdown(wait=False)

    async def _opened(self) -> bool:
        """Open the file, or one beside it where another process has it: an heir that still
        drains what our run before left must not keep us from writing."""
        own = self.path
        for number in range(1, _BESIDE + 1):
            self.path = own.with_stem(f"{own.stem}~{number}") if number > 1 else own
            try:
                await self.open()
                return True
            except Locked:
                continue
            except ERRORS as error:
                self._failed(error)
                break
        self.path = own
        return False

    async def _write(self, file: SpoolFile) -> None:
        batch: list[Publication] = []
        size = 0
        for message in self._waiting:
            if len(batch) >= _WRITE_MESSAGES or size >= _WRITE_BYTES:
                break
            batch.append(message)
            size += row_size(message)
        if batch:
            ids = await self._on(file, lambda: file.append(batch))
            for message, row_id in zip(batch, ids, strict=True):
                self._kept(message, row_id)

    def _kept(self, message: Publication, row_id: int) -> None:
        self._waiting.popleft()
        self._waiting_bytes -= row_size(message)
        message.keeper, message.kept_as, message.kept_size = self, row_id, row_size(message)
        self.rows[message.label] += message.rows
        self.size += message.kept_size
        self._books.kept(message)
        if message.ended:  # confirmed while it was written
            self.settled(message)

    async def _forget(self, file: SpoolFile) -> None:
        ids = self._settled[:_WRITE_MESSAGES]
        if not ids:
            return
        await self._on(file, lambda: file.remove(ids))
        del self._settled[: len(ids)]
        if self.empty and not self._settled:
            self.size = 0
            await self._in_thread(file.shrink)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if not self._failing:
            disk = "the disk refuses" if is_disk_trouble(error) else "it failed"
            log.error("The spool %s takes nothing, %s: %s", self.path.name, disk, error)
        self._failing = True

    async def _on(self, file: SpoolFile, work: Callable[[], T]) -> T:
        """`work` on a file whose losses are counted; once more where it proved damaged."""
        await self._recount(file)
        try:
            return await self._in_thread(work)
        except Mended:
            await self._recount(file)
            return await self._in_thread(work)

    async def _recount(self, file: SpoolFile) -> None:
        """After a damaged file was mended: what is gone from it is lost, but for what is on its way
        to the broker. That is in memory, and nowhere else from now on."""
        mended = file.mended
        if mended == self._mended:
            return
        rows, size = Counter(self.rows), self.size
        settled, held = list(self._settled), dict(self._held)
        totals, missing = await self._in_thread(lambda: file.left(settled, held))
        self._mended = mended
        log.error("The spool %s was damaged; what was readable is kept", self.path.name)
        gone = [held[row_id] for row_id in sorted(missing)]
        for message in gone:
            rows[message.label] -= message.rows
            size -= message.kept_size
            self._let_go(message)
        self.size -= size - totals.size
        for label in list(rows):
            self._lose(label, rows[label] - totals.rows[label])

    def _let_go(self, message: Publication) -> None:
        """The row of a message is gone before it was settled."""
        if not message.ended:
            self.settled(message)
            message.keeper = None

    def _lose(self, label: str, rows: int) -> None:
        if rows > 0:
            self.rows[label] -= rows
            self._books.unreadable(remains(label, rows))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run to its end even where the caller is cancelled meanwhile, whose cancellation comes at
        its next wait: between a commit and our books nothing may come."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        cancelled = False
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError:
                cancelled = True
        task = asyncio.current_task()
        if cancelled and task is not None:
            task.uncancel()
            task.cancel()
        return future.result()
