"""The disk spool: what it keeps, what damage costs, who may have it."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.kinds import TRADES
from shared.publisher import Publication
from shared.spool import Spool
from shared.spool_file import Locked, SpoolFile
from shared.tasks import ended
from shared.topology import BATCHES
from tests.waiting import eventually


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

    def found(self, rows: Counter[str]) -> None:
        self.found_rows.update(rows)

    def kept(self, message: Publication) -> None:
        self.kept_ids.append(message.message_id)

    def unreadable(self, label: str, rows: int) -> None:
        self.lost[label] += rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "w.db"


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


async def test_messages_come_back_as_they_were_in_order(path: Path) -> None:
    spool, books = await opened(path)
    sent = [message(0), message(1, rows=7), message(2)]
    sent[1].content_encoding, sent[1].mandatory = "zstd", True
    for one in sent:
        spool.put(one)
    assert not spool.written
    assert await spool.flush()
    assert spool.written and books.kept_ids == ["id-0", "id-1", "id-2"]
    await spool.close()
    again, books = await opened(path)
    assert books.found_rows == {"trades": 2, "trades.batch": 7}
    got = await again.fetch(10)
    fields = ["exchange", "routing_key", "kind", "body", "message_id", "headers", "timestamp_ms"]
    fields += ["rows", "content_encoding", "mandatory"]
    for name in fields:
        assert [getattr(m, name) for m in got] == [getattr(m, name) for m in sent]
    assert await again.fetch(10) == []
    await again.close()


async def test_only_settled_messages_are_forgotten(path: Path) -> None:
    await filled(path, 10)
    spool, _ = await opened(path)
    for one in (await spool.fetch(10))[3:8]:
        spool.settled(one)
    await spool.close()
    spool, books = await opened(path)
    assert books.found_rows == {"trades": 5}
    assert [m.headers["seq"] for m in await spool.fetch(10)] == [0, 1, 2, 8, 9]
    await spool.close()


async def test_space_is_given_back(path: Path) -> None:
    spool, _ = await opened(path)
    for n in range(5000):
        spool.put(message(n, 2000))
    await spool.flush()
    assert size_of(path) > 8_000_000
    for one in await spool.fetch(5000):
        spool.settled(one)
    await spool.flush()
    assert spool.empty and spool.size == 0
    assert size_of(path) < 100_000
    assert size_of(path.with_name("w.db-wal")) < 100_000
    await spool.close(delete=True)
    assert list(path.parent.iterdir()) == []


async def test_a_full_spool_refuses(path: Path) -> None:
    spool, _ = await opened(path, limit=10_000)
    reasons = [spool.put(message(n)) for n in range(40)]
    taken = reasons.count(None)
    assert 10 <= taken < 20
    assert reasons == [None] * taken + ["spool_full"] * (40 - taken)
    await spool.flush()
    assert spool.put(message(99)) == "spool_full"
    for one in await spool.fetch(taken):
        spool.settled(one)
    assert spool.put(message(100)) is None
    await spool.close()


async def test_one_process_at_a_time(path: Path) -> None:
    spool, _ = await opened(path)
    with pytest.raises(Locked):
        SpoolFile(path)
    await spool.close()
    SpoolFile(path).close()


def size_of(path: Path) -> int:
    return path.stat().st_size


def replaced(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def damaged(path: Path, damage: Callable[[bytearray], None]) -> None:
    raw = bytearray(path.read_bytes())
    damage(raw)
    replaced(path, bytes(raw))


async def test_a_spool_that_an_heir_still_drains_is_no_reason_not_to_write(path: Path) -> None:
    heir = SpoolFile(path)
    spool = Spool(path, 2**30, RecordingBooks())
    running = asyncio.create_task(spool.run())
    spool.put(message(1))
    await eventually(lambda: spool.rows["trades"] == 1)
    assert spool.path.name == "w~2.db"
    await ended(running)
    await spool.close()
    heir.close()


def _flip(raw: bytearray) -> None:
    at = raw.index(b"000500xxx")
    raw[at + 100] ^= 0x20


def _smear_pages(raw: bytearray) -> None:
    """A whole page of the middle of the table."""
    at = raw.index(b"000500xxx") // 4096 * 4096
    raw[at : at + 4096] = b"\xff" * 4096


def _truncate(raw: bytearray) -> None:
    del raw[len(raw) * 3 // 4 // 4096 * 4096 :]


@pytest.mark.parametrize(("damage", "at_most"), [(_flip, 1), (_smear_pages, 16), (_truncate, 300)])
async def test_damage_costs_only_what_it_hit(
    path: Path, damage: Callable[[bytearray], None], at_most: int
) -> None:
    await filled(path, 1000)
    damaged(path, damage)
    spool, books = await opened(path)
    got = [m.headers["seq"] for m in await spool.fetch(1000) + await spool.fetch(1000)]
    assert got == sorted(set(got))
    assert 1000 - at_most <= len(got) < 1000
    assert books.found_rows["trades"] - books.lost["trades"] == len(got)
    assert spool.put(message(5000)) is None
    assert await spool.flush()
    await spool.close()


@pytest.mark.parametrize("content", [b"", b"nothing like a database" * 1000, b"\0" * 8192])
async def test_a_hopeless_database_is_set_aside(path: Path, content: bytes) -> None:
    replaced(path, content)
    spool, _ = await opened(path)
    spool.put(message(1))
    assert await spool.flush()
    await spool.close()
    spool, books = await opened(path)
    assert books.found_rows == {"trades": 1}
    await spool.close()


async def test_a_disk_that_refuses_costs_nothing_while_memory_lasts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, _ = await opened(path)
    append = SpoolFile.append
    monkeypatch.setattr(SpoolFile, "append", _refuse)
    for n in range(5):
        spool.put(message(n))
    assert not await spool.flush()
    assert not await spool.flush()
    assert spool.failures == 2
    big = 0
    while spool.put(message(10 + big, 1_000_000)) is None:
        big += 1
    assert big == 16  # MiB
    assert spool.put(message(9, 1_000_000)) == "spool_failed"
    monkeypatch.setattr(SpoolFile, "append", append)
    assert await spool.flush()
    assert [m.headers["seq"] for m in await spool.fetch(5)] == [0, 1, 2, 3, 4]
    await spool.close()


def _refuse(*_: Any) -> Any:
    raise sqlite3.OperationalError("database or disk is full")


async def test_what_is_confirmed_while_it_is_written_is_not_kept(path: Path) -> None:
    spool, _ = await opened(path)
    one = message(1)
    spool.put(one)
    one.ended = True
    await spool.flush()
    assert spool.empty
    await spool.close()
