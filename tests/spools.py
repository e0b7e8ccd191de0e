"""Spools with known messages in them, and what can happen to their files."""

import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from shared.kinds import TRADES
from shared.publisher import Publication
from shared.spool import Spool
from shared.topology import BATCHES


def message(number: int, size: int = 300, rows: int = 1) -> Publication:
    headers = {"seq": number, "epoch": "w/1", "prev_seq": 7}
    exchange = BATCHES if rows > 1 else "futures_data"
    body = b"%06d" % number + b"x" * size
    return Publication(
        exchange, "trades.x.A", TRADES, body, f"id-{number}", headers, 10**12 + number, rows
    )


class RecordingBooks:
    def __init__(self) -> None:
        self.found_rows: Counter[str] = Counter()
        self.kept_ids: list[str] = []
        self.lost: Counter[str] = Counter()
        self.told: list[Publication] = []

    def found(self, rows: Counter[str]) -> None:
        self.found_rows.update(rows)

    def kept(self, message: Publication) -> None:
        self.kept_ids.append(message.message_id)

    def unreadable(self, message: Publication) -> None:
        self.lost[message.label] += message.rows
        self.told.append(message)


async def opened(path: Path, limit: int = 2**30) -> tuple[Spool, RecordingBooks]:
    books = RecordingBooks()
    spool = Spool(path, limit, books)
    await spool.open()
    return spool, books


async def filled(path: Path, count: int) -> None:
    spool, _ = await opened(path)
    for n in range(count):
        assert spool.put(message(n)) is None
    assert await spool.flush()
    await spool.close()


def size_of(path: Path) -> int:
    return path.stat().st_size


def replaced(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def damaged(path: Path, damage: Callable[[bytearray], None]) -> None:
    raw = bytearray(path.read_bytes())
    damage(raw)
    replaced(path, bytes(raw))


def refuse(*_: Any) -> Any:
    raise sqlite3.OperationalError("database or disk is full")


async def smashed(spool: Spool) -> None:
    """The disk loses all that is in the file, and SQLite what it remembers of it."""
    file = spool._file
    assert file is not None

    def smash() -> None:
        file._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        file._database.close()
        damaged(file.path, smear_all)
        file._database = sqlite3.connect(file.path, isolation_level=None, check_same_thread=False)

    await spool._in_thread(smash)


def smear_all(raw: bytearray) -> None:
    raw[4096:] = b"\xff" * (len(raw) - 4096)


async def put_and_flushed(spool: Spool, numbers: range) -> None:
    for n in numbers:
        assert spool.put(message(n)) is None
    assert await spool.flush()


def rewritten(path: Path, row_id: int, meta: Any, **columns: Any) -> None:
    """Change a row behind its checksum's back: `meta` as bytes, or what to change in it."""
    with sqlite3.connect(path) as database:
        query = "SELECT meta, body FROM messages WHERE id = ?"
        old, body = database.execute(query, (row_id,)).fetchone()
        if callable(meta):
            fields = orjson.loads(old)
            meta(fields)
            meta = orjson.dumps(fields)
        columns |= {"meta": meta, "checksum": zlib.crc32(body, zlib.crc32(meta))}
        for name, value in columns.items():
            database.execute(f"UPDATE messages SET {name} = ? WHERE id = ?", (value, row_id))
    database.close()


def flip_first(raw: bytearray) -> None:
    raw[raw.index(b"000000xxx") + 100] ^= 0x20


def without(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(fields: dict[str, Any]) -> None:
        for name in names:
            del fields[name]

    return change
