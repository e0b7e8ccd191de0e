"""One database of publications that wait for a broker, with the lock that makes it ours.

SQLite in WAL mode: a killed process loses no committed row, a torn tail costs nothing before it.
SQLite checks no content, so each row carries its own checksum.
"""

import fcntl
import os
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson

from shared.kinds import KINDS, Delivery, Kind
from shared.publisher import Publication

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    label TEXT, rows INTEGER, meta BLOB, body BLOB, checksum INTEGER
)"""
#: What a row costs beside its meta and body.
_ROW_BYTES = 48
#: Pages given back to the file system after each removal: 4 MB, a few milliseconds.
_VACUUM_PAGES = 1000
_BLOCK = 100
#: Results of SQLite that say the disk is at fault, not the file.
_DISK = ("disk is full", "disk I/O error", "unable to open", "readonly")

Row = tuple[int, Any, Any, Any, Any, Any]
T = TypeVar("T")


@dataclass(slots=True)
class Totals:
    """What a spool holds."""

    rows: Counter[str] = field(default_factory=Counter)  # facts, by label
    size: int = 0  # bytes

    def add(self, label: str, rows: int, size: int) -> None:
        self.rows[label] += rows
        self.size += size

    def take(self, label: str, rows: int, size: int) -> None:
        self.rows[label] -= rows
        self.size -= size


@dataclass(slots=True)
class Page:
    """Some messages in order, and what could not be read among them."""

    messages: list[Publication] = field(default_factory=list)
    unreadable: Totals = field(default_factory=Totals)
    last: int = 0  # id of the last row looked at


class Locked(Exception):
    """Another process has this spool."""


class SpoolFile:
    """All methods block; one thread at a time. Raise OSError and sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        """Take the lock and open. Raises Locked, OSError, sqlite3.Error."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.mended = 0  # how often damage was found
        self._lock = _locked(path.with_suffix(".lock"))
        try:
            self._database, self.totals = self._opened()
        except BaseException:
            os.close(self._lock)
            raise

    def append(self, messages: Sequence[Publication]) -> list[int]:
        """Write all or none of them; their ids, rising."""
        rows = [_row(message) for message in messages]
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
        return ids

    def read(self, after: int, limit: int) -> Page:
        """The next rows in order; what is damaged is left out and named."""
        rows = self._whole(lambda: self._select(after, limit))
        page = Page(last=after)
        for row in rows:
            page.last = row[0]
            message = _message(row)
            if message is None:
                page.unreadable.add(*_counted(row))
            else:
                page.messages.append(message)
        self.remove([row[0] for row in rows if _message(row) is None])
        return page

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
        """Let go of the lock; with `delete` nothing stays on disk."""
        try:
            self._database.close()
            if delete:
                for suffix in ("", "-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                self.path.with_suffix(".lock").unlink(missing_ok=True)
        finally:
            os.close(self._lock)

    def _select(self, after: int, limit: int) -> list[Row]:
        query = "SELECT id, label, rows, meta, body, checksum FROM messages WHERE id > ?"
        return self._database.execute(f"{query} ORDER BY id LIMIT ?", (after, limit)).fetchall()

    def _opened(self) -> tuple[sqlite3.Connection, Totals]:
        try:
            database = _connect(self.path)
            return database, _totals(database)
        except sqlite3.DatabaseError as error:
            if is_disk_trouble(error):
                raise
        return self._rescued()

    def _whole(self, work: Callable[[], T]) -> T:
        """`work`, and once more on a mended file where this one proves damaged."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if is_disk_trouble(error):
                raise
        self._mend()
        return work()

    def _mend(self) -> None:
        """After damage that showed while reading. `totals` afterwards are what is left."""
        self._database.close()
        self._database, self.totals = self._rescued()

    def _rescued(self) -> tuple[sqlite3.Connection, Totals]:
        """A fresh database with every row that can still be read, under its old id. The damaged
        one stays beside it, as `*.damaged`, for whoever wants to look."""
        self.mended += 1
        aside = self.path.with_suffix(".damaged")
        for suffix in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + suffix)
            aside.with_name(aside.name + suffix).unlink(missing_ok=True)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        _admit_size(aside)
        fresh = _connect(self.path)
        old = sqlite3.connect(aside, isolation_level=None)
        with fresh:
            fresh.execute("BEGIN IMMEDIATE")
            fresh.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", _readable(old))
        old.close()
        return fresh, _totals(fresh)


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
    try:
        query = "SELECT id, label, rows, length(meta), length(body), 0 FROM messages"
        for _, label, rows, meta, body, _ in database.execute(query):
            totals.add(str(label), _number(rows), (meta or 0) + (body or 0) + _ROW_BYTES)
    except BaseException:
        database.close()
        raise
    return totals


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
    try:
        old.text_factory = lambda raw: raw.decode(errors="replace")
        last = old.execute("SELECT seq FROM sqlite_sequence").fetchone()[0]
    except (sqlite3.DatabaseError, TypeError):
        return
    for start in range(0, last, _BLOCK):
        end = start + _BLOCK
        try:
            block = old.execute(f"{query} > ? AND id <= ? ORDER BY id", (start, end)).fetchall()
        except sqlite3.DatabaseError:
            block = [row for i in range(start + 1, end + 1) if (row := _single(old, query, i))]
        yield from block


def _single(old: sqlite3.Connection, query: str, row_id: int) -> Row | None:
    try:
        row: Row | None = old.execute(f"{query} = ?", (row_id,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    return row if row is None or row[0] == row_id else None


def _row(message: Publication) -> tuple[str, int, bytes, bytes, int]:
    meta = orjson.dumps(
        {
            "exchange": message.exchange,
            "key": message.routing_key,
            "kind": message.kind.label,
            "id": message.message_id,
            "headers": message.headers,
            "timestamp": message.timestamp_ms,
            "rows": message.rows,
            "encoding": message.content_encoding,
            "mandatory": message.mandatory,
        }
    )
    checksum = zlib.crc32(message.body, zlib.crc32(meta))
    return message.label, message.rows, meta, message.body, checksum


def row_size(message: Publication) -> int:
    """About what a message takes on disk, before it is there."""
    strings = len(message.exchange) + len(message.routing_key) + len(message.message_id)
    return len(message.body) + strings + 256 + _ROW_BYTES


def _message(row: Row) -> Publication | None:
    """The message in a row, or None where its checksum is wrong."""
    row_id, _, _, meta, body, checksum = row
    if not isinstance(meta, bytes) or not isinstance(body, bytes):
        return None
    if zlib.crc32(body, zlib.crc32(meta)) != checksum:
        return None
    fields = orjson.loads(meta)
    return Publication(
        exchange=fields["exchange"],
        routing_key=fields["key"],
        kind=KINDS.get(fields["kind"]) or Kind(fields["kind"], Delivery.LOSSLESS, keyed=False),
        body=body,
        message_id=fields["id"],
        headers=fields["headers"],
        timestamp_ms=fields["timestamp"],
        rows=fields["rows"],
        content_encoding=fields["encoding"],
        mandatory=fields["mandatory"],
        kept_as=row_id,
        kept_size=len(meta) + len(body) + _ROW_BYTES,
    )


def _counted(row: Row) -> tuple[str, int, int]:
    """What `_totals` counted a row as."""
    size = sum(len(part) for part in (row[3], row[4]) if isinstance(part, bytes | str))
    return str(row[1]), _number(row[2]), size + _ROW_BYTES


def _number(value: object) -> int:
    return value if isinstance(value, int) else 1
