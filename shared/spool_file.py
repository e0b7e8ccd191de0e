"""One database of publications that wait for a broker, with the lock that makes it ours.

SQLite in WAL mode: a killed process loses no committed row, a torn tail costs nothing before it.
SQLite checks no content, so each row carries its own checksum.
"""

import fcntl
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from shared.publisher import Publication
from shared.spool_row import ROW_BYTES, Row, counted, message_of, number, remains_of, row_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    label TEXT, rows INTEGER, meta BLOB, body BLOB, checksum INTEGER
)"""
#: Pages given back to the file system after each removal: 4 MB, a few milliseconds.
_VACUUM_PAGES = 1000
_BLOCK = 100
#: A database, and what SQLite keeps beside it.
_SUFFIXES = ("", "-wal", "-shm")
#: What is copied out of a damaged one, until that is done.
_MENDING = ".mending"
#: Results of SQLite that say the disk is at fault, not the file.
_DISK = ("disk is full", "disk I/O error", "unable to open", "readonly")

T = TypeVar("T")


@dataclass(slots=True)
class Totals:
    """What a spool holds."""

    rows: Counter[str] = field(default_factory=Counter)  # facts, by label
    size: int = 0  # bytes

    def add(self, label: str, rows: int, size: int) -> None:
        self.rows[label] += rows
        self.size += size


@dataclass(slots=True)
class Page:
    """Some messages in order, and what could not be read among them."""

    messages: list[Publication] = field(default_factory=list)
    unreadable: list[Publication] = field(default_factory=list)  # what is known of them
    lost: Totals = field(default_factory=Totals)  # what these were counted as
    last: int = 0  # id of the last row looked at


class Locked(Exception):
    """Another process has this spool."""


class Mended(sqlite3.DatabaseError):
    """The file proved damaged, and what could be read of it is in a fresh one: try again, after
    counting what is left."""


class SpoolFile:
    """All methods block; one thread at a time. Raise OSError, Mended and other sqlite3.Error.

    Ids rise for as long as this object lives, in a mended file as well: what was confirmed, or
    read up to, is known to others by its id.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock and open. Raises Locked, OSError, sqlite3.Error."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.mended = 0  # how often damage was found
        self._highest = 0  # of all ids so far
        self._lock = _locked(path.with_suffix(".lock"))
        try:
            self._finish_mending()
            self._database, self.totals = self._opened()
        except BaseException:
            os.close(self._lock)
            raise

    def _finish_mending(self) -> None:
        """A run before this one ended between the two steps of `_rescued`."""
        mending = self.path.with_suffix(_MENDING)
        if mending.exists() and not self.path.exists():
            mending.rename(self.path)

    def append(self, messages: Sequence[Publication]) -> list[int]:
        """Write all or none of them; their ids, rising."""
        rows = [row_of(message) for message in messages]
        return self._whole(lambda: self._append(rows))

    def _append(self, rows: Sequence[tuple[str, int, bytes, bytes, int]]) -> list[int]:
        statement = (
            "INSERT INTO messages (label, rows, meta, body, checksum) VALUES (?, ?, ?, ?, ?)"
        )
        ids = []
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for row in rows:
                ids.append(self._database.execute(statement, row).lastrowid or 0)
        self._highest = max(self._highest, *ids)
        return ids

    def read(self, after: int, limit: int) -> Page:
        """The next rows in order; what is damaged is left out and named."""
        rows = self._whole(lambda: self._select(after, limit))
        page, damaged = Page(last=after), []
        for row in rows:
            page.last = row[0]
            message = message_of(row)
            if message is None:
                damaged.append(row[0])
                page.unreadable.append(remains_of(row))
                page.lost.add(*counted(row))
            else:
                page.messages.append(message)
        self.remove(damaged)
        return page

    def left(self, settled: Sequence[int], held: Iterable[int]) -> tuple[Totals, set[int]]:
        """What is in the file without the rows `settled`, and which of `held` are not in it."""
        self.remove(settled)
        return self._whole(lambda: (_totals(self._database), set(self._missing(held))))

    def _missing(self, ids: Iterable[int]) -> Iterator[int]:
        query = "SELECT 1 FROM messages WHERE id = ?"
        for row_id in ids:
            if self._database.execute(query, (row_id,)).fetchone() is None:
                yield row_id

    def remove(self, ids: Sequence[int]) -> None:
        if ids:
            self._whole(lambda: self._remove(ids))

    def _remove(self, ids: Sequence[int]) -> None:
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("DELETE FROM messages WHERE id = ?", [(i,) for i in ids])
        self._vacuum(_VACUUM_PAGES)

    def shrink(self) -> None:
        """Give all space back; worth its time when the spool is empty."""
        self._vacuum(0)
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _vacuum(self, pages: int) -> None:
        """Give back free pages; 0: all. One step of the statement frees one page, and only
        `executescript` takes them all."""
        self._database.executescript(f"PRAGMA incremental_vacuum({pages})")

    def close(self, *, delete: bool = False) -> None:
        """Let go of the lock; with `delete` nothing stays on disk, unless a message is there."""
        try:
            with closing(self._database):
                delete = delete and not self._select(0, 1)
            if delete:
                _unlink(self.path)
                self.path.with_suffix(".lock").unlink(missing_ok=True)
        finally:
            os.close(self._lock)

    def _select(self, after: int, limit: int) -> list[Row]:
        query = "SELECT id, label, rows, meta, body, checksum FROM messages WHERE id > ?"
        return self._database.execute(f"{query} ORDER BY id LIMIT ?", (after, limit)).fetchall()

    def _opened(self) -> tuple[sqlite3.Connection, Totals]:
        try:
            database = _connect(self.path)
            try:
                self._highest = _last_id(database)
                return database, _totals(database)
            except BaseException:
                database.close()
                raise
        except sqlite3.DatabaseError as error:
            if is_disk_trouble(error):
                raise
        return self._rescued()

    def _whole(self, work: Callable[[], T]) -> T:
        """`work`, or Mended where the file proves damaged."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if is_disk_trouble(error):
                raise
            self._database.close()
            self._database, self.totals = self._rescued()
            raise Mended(f"damaged, and mended: {error}") from error

    def _rescued(self) -> tuple[sqlite3.Connection, Totals]:
        """A fresh database with every row that can still be read, under its old id. The damaged
        one stays beside it, as `*.damaged`, for whoever wants to look; where the disk has no room
        for a copy, it stays where it is, to be tried again."""
        mending = self.path.with_suffix(_MENDING)
        _unlink(mending)
        _admit_size(self.path)
        with closing(_connect(mending)) as fresh, closing(_bare(self.path)) as old, fresh:
            fresh.execute("BEGIN IMMEDIATE")
            fresh.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", _readable(old))
            _count_from(fresh, self._highest)
        self._put_aside()
        mending.rename(self.path)
        self.mended += 1
        database = _connect(self.path)
        return database, _totals(database)

    def _put_aside(self) -> None:
        aside = self.path.with_suffix(".damaged")
        _unlink(aside)
        for suffix in _SUFFIXES:
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))


def is_disk_trouble(error: Exception) -> bool:
    """Whether the disk refused, and may take it later, rather than the file being damaged."""
    return isinstance(error, OSError) or any(text in str(error) for text in _DISK)


def _locked(path: Path) -> int:
    """A descriptor that holds the lock on `path`. Raises Locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise Locked(str(path)) from None
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the file that we locked was not removed by who had the lock before."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _unlink(path: Path) -> None:
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _bare(path: Path) -> sqlite3.Connection:
    """The database as it is, damaged or not."""
    database = sqlite3.connect(path, isolation_level=None)
    database.text_factory = lambda raw: raw.decode(errors="replace")
    return database


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.text_factory = lambda raw: raw.decode(errors="replace")
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL").fetchall()
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA journal_size_limit = 4194304").fetchall()
        database.execute(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _totals(database: sqlite3.Connection) -> Totals:
    totals = Totals()
    query = "SELECT id, label, rows, length(meta), length(body), 0 FROM messages"
    for _, label, rows, meta, body, _ in database.execute(query):
        totals.add(str(label), number(rows), (meta or 0) + (body or 0) + ROW_BYTES)
    return totals


def _last_id(database: sqlite3.Connection) -> int:
    """The highest that was ever given; SQLite keeps it for the ids to rise."""
    row = database.execute("SELECT max(seq) FROM sqlite_sequence").fetchone()
    return number(row[0]) if row and row[0] is not None else 0


def _count_from(database: sqlite3.Connection, highest: int) -> None:
    """Have the next id be above `highest`."""
    highest = max(highest, _last_id(database))
    database.execute("DELETE FROM sqlite_sequence WHERE name = 'messages'")
    database.execute("INSERT INTO sqlite_sequence VALUES ('messages', ?)", (highest,))


def _admit_size(path: Path) -> None:
    """Have SQLite read a file that was cut off: with no size in its header (bytes 28 to 31, see
    sqlite.org/fileformat2.html) it goes by the file's own."""
    with path.open("r+b") as file:
        head = file.read(32)
        pages = int.from_bytes(head[28:32], "big")
        if len(head) == 32 and path.stat().st_size < pages * _page_size(head):
            file.seek(28)
            file.write(bytes(4))


def _page_size(head: bytes) -> int:
    size = int.from_bytes(head[16:18], "big")
    return 65536 if size == 1 else size


def _readable(old: sqlite3.Connection) -> Iterator[Row]:
    """Every row that SQLite can still find, skipping what it can not."""
    query = "SELECT id, label, rows, meta, body, checksum FROM messages WHERE id"
    start, last = 0, _end_of(old)
    while start < last:
        end = start + _BLOCK
        try:
            block = old.execute(f"{query} > ? AND id <= ? ORDER BY id", (start, end)).fetchall()
            if not block:
                following = old.execute("SELECT min(id) FROM messages WHERE id > ?", (end,))
                end = (following.fetchone()[0] or last + 1) - 1
        except sqlite3.DatabaseError:
            block = [row for i in range(start + 1, end + 1) if (row := _single(old, query, i))]
        yield from block
        start = end


def _end_of(old: sqlite3.Connection) -> int:
    """No id is above it, as far as one of two places can still be read."""
    for query in ("SELECT max(id) FROM messages", "SELECT max(seq) FROM sqlite_sequence"):
        try:
            return int(old.execute(query).fetchone()[0] or 0)
        except (sqlite3.DatabaseError, TypeError, ValueError):
            continue
    return 0


def _single(old: sqlite3.Connection, query: str, row_id: int) -> Row | None:
    try:
        row: Row | None = old.execute(f"{query} = ?", (row_id,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    return row if row is None or row[0] == row_id else None
