"""The disk spool: what it keeps, what damage costs, who may have it."""

import asyncio
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared import spool_file
from shared.kinds import KINDS, TRADES
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
        self.told: list[Publication] = []

    def found(self, rows: Counter[str]) -> None:
        self.found_rows.update(rows)

    def kept(self, message: Publication) -> None:
        self.kept_ids.append(message.message_id)

    def unreadable(self, message: Publication) -> None:
        self.lost[message.label] += message.rows
        self.told.append(message)


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


# --- damage that shows while the file is in use


async def smashed(spool: Spool) -> None:
    """The disk loses all that is in the file, and SQLite what it remembers of it."""
    file = spool._file
    assert file is not None

    def smash() -> None:
        file._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        file._database.close()
        damaged(file.path, _smear_all)
        file._database = sqlite3.connect(file.path, isolation_level=None, check_same_thread=False)

    await spool._in_thread(smash)


def _smear_all(raw: bytearray) -> None:
    raw[4096:] = b"\xff" * (len(raw) - 4096)


async def put_and_flushed(spool: Spool, numbers: range) -> None:
    for n in numbers:
        assert spool.put(message(n)) is None
    assert await spool.flush()


async def test_what_is_written_after_mending_goes_out_and_outlives_old_confirms(
    path: Path,
) -> None:
    spool, _ = await opened(path)
    await put_and_flushed(spool, range(1000))
    old = await spool.fetch(1000)
    for one in old[:10]:
        spool.settled(one)  # not forgotten on disk yet
    await smashed(spool)
    await put_and_flushed(spool, range(5000, 5010))
    again = await spool.fetch(100)
    assert [m.headers["seq"] for m in again] == list(range(5000, 5010))
    for one in old[10:]:
        if one.keeper is not None:
            spool.settled(one)
    await spool.close(delete=True)
    spool, books = await opened(path)
    assert books.found_rows == {"trades": 10}
    await spool.close()


async def test_ids_go_on_in_a_file_that_this_run_only_read(path: Path) -> None:
    await filled(path, 20)
    spool, _ = await opened(path)
    assert len(await spool.fetch(20)) == 20
    await smashed(spool)
    await put_and_flushed(spool, range(5))
    assert len(await spool.fetch(20)) == 5
    await spool.close()


async def test_what_is_on_its_way_is_not_lost_with_the_file_and_the_rest_is_told(
    path: Path,
) -> None:
    spool, books = await opened(path)
    await put_and_flushed(spool, range(1000))
    on_the_way = await spool.fetch(250)
    spool.settled(on_the_way[0])
    on_the_way[0].ended = True
    await smashed(spool)
    await put_and_flushed(spool, range(5000, 5010))
    assert books.lost == {"trades": 750}
    assert spool.rows == {"trades": 10}
    assert 10 * 300 < spool.size < 10 * 1000
    assert [one.keeper for one in on_the_way[1:]] == [None] * 249
    assert [(m.kind, m.rows, m.body) for m in books.told] == [(TRADES, 750, b"")]
    for one in await spool.fetch(100):
        spool.settled(one)
    assert spool.empty
    await spool.close()


async def test_rows_that_mending_kept_stay_with_the_spool(path: Path) -> None:
    spool, books = await opened(path)
    await put_and_flushed(spool, range(1000))
    on_the_way = await spool.fetch(100)
    file = spool._file
    assert file is not None
    with pytest.raises(spool_file.Mended):
        file._whole(_prove_damaged)
    await put_and_flushed(spool, range(1000, 1001))
    assert books.lost == {}
    assert {one.keeper for one in on_the_way} == {spool}
    assert len(await spool.fetch(2000)) == 901
    await spool.close()


def _prove_damaged() -> None:
    raise sqlite3.DatabaseError("database disk image is malformed")


async def test_a_disk_without_room_for_a_copy_costs_nothing_but_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path, 1000)
    damaged(path, _smear_pages)
    readable = spool_file._readable
    monkeypatch.setattr(spool_file, "_readable", _refuse)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError):
            await opened(path)
    monkeypatch.setattr(spool_file, "_readable", readable)
    spool, books = await opened(path)
    assert books.found_rows["trades"] >= 1000 - 16
    await smashed(spool)
    monkeypatch.setattr(spool_file, "_readable", _refuse)
    spool.put(message(1000))
    assert not await spool.flush()
    assert not await spool.flush()
    monkeypatch.setattr(spool_file, "_readable", readable)
    assert await spool.flush()
    assert [m.headers["seq"] for m in await spool.fetch(10)] == [1000]
    await spool.close()


def _half_mended(path: Path) -> None:
    path.rename(path.with_suffix(".mending"))


async def test_a_run_that_ends_between_the_two_steps_of_mending(path: Path) -> None:
    await filled(path, 10)
    _half_mended(path)
    spool, books = await opened(path)
    assert books.found_rows == {"trades": 10}
    await spool.close()


async def test_a_spool_that_was_damaged_when_it_was_opened_says_so_of_every_kind(
    path: Path,
) -> None:
    await filled(path, 1000)
    damaged(path, _truncate)
    spool, books = await opened(path)
    lossless = {kind for kind in KINDS.values() if kind.lossless}
    assert {(m.kind, m.rows) for m in books.told} == {(kind, 0) for kind in lossless}
    await spool.close()


@pytest.mark.deadline(20)
async def test_a_wrong_count_of_ids_does_not_keep_the_file_from_being_mended(path: Path) -> None:
    await filled(path, 1000)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE sqlite_sequence SET seq = ?", (2**50,))
    database.close()
    damaged(path, _smear_pages)
    spool, books = await opened(path)
    assert books.found_rows["trades"] >= 1000 - 16
    await spool.close()


def test_a_file_that_holds_a_message_is_not_deleted(path: Path) -> None:
    file = SpoolFile(path)
    (row_id,) = file.append([message(1)])
    file.close(delete=True)
    file = SpoolFile(path)
    assert file.totals.rows == {"trades": 1}
    file.remove([row_id])
    file.close(delete=True)
    assert not path.exists()


# --- rows that are whole, and not as this version writes them


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


def _without(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(fields: dict[str, Any]) -> None:
        for name in names:
            del fields[name]

    return change


async def test_a_row_of_an_older_version_is_read(path: Path) -> None:
    await filled(path, 2)
    rewritten(path, 1, _without("encoding", "mandatory", "rows"))
    spool, books = await opened(path)
    first, second = await spool.fetch(10)
    assert (first.content_encoding, first.mandatory, first.rows) == (None, False, 1)
    assert (first.body, first.kind) == (message(0).body, second.kind)
    assert books.lost == {}
    await spool.close()


@pytest.mark.parametrize(
    "meta",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"{not json",
        _without("key"),
        _without("headers"),
        lambda fields: fields.update(kind=[]),
        lambda fields: fields.update(headers=None),
        lambda fields: fields.update(timestamp="soon"),
        lambda fields: fields.update(rows="many"),
        lambda fields: fields.update(encoding=7),
        lambda fields: fields.update(rows=2),  # the column says 1
    ],
)
async def test_a_row_that_nobody_can_read_is_counted_and_told_and_costs_no_other(
    path: Path, meta: Any
) -> None:
    await filled(path, 3)
    rewritten(path, 2, meta)
    spool, books = await opened(path)
    assert [m.headers["seq"] for m in await spool.fetch(10)] == [0, 2]
    assert books.lost == {"trades": 1}
    (told,) = books.told
    assert (told.kind, told.rows, told.body) == (TRADES, 1, b"")
    assert spool.rows == {"trades": 2}
    await spool.close()
    spool, books = await opened(path)
    assert books.found_rows == {"trades": 2}
    await spool.close()


async def test_what_is_known_of_an_unreadable_message_is_told(path: Path) -> None:
    spool, _ = await opened(path)
    spool.put(message(0, rows=7))
    await spool.close()
    damaged(path, _flip_first)
    spool, books = await opened(path)
    assert await spool.fetch(10) == []
    (told,) = books.told
    assert (told.label, told.rows, told.exchange) == ("trades.batch", 7, BATCHES)
    assert (told.routing_key, told.message_id, told.body) == ("trades.x.A", "id-0", b"")
    assert spool.empty
    await spool.close()


def _flip_first(raw: bytearray) -> None:
    raw[raw.index(b"000000xxx") + 100] ^= 0x20


async def test_what_nobody_took_is_fetched_again(path: Path) -> None:
    await filled(path, 10)
    spool, _ = await opened(path)
    page = await spool.fetch(6)
    spool.put_back(page[4:])
    assert [m.headers["seq"] for m in await spool.fetch(10)] == [4, 5, 6, 7, 8, 9]
    await spool.close()
