"""What a damaged file of a spool costs: what was hit, counted and told, and no more."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared import spool_file
from shared.kinds import KINDS, TRADES
from shared.topology import BATCHES
from tests.spools import (
    damaged,
    filled,
    flip_first,
    message,
    opened,
    put_and_flushed,
    refuse,
    replaced,
    rewritten,
    smashed,
    without,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "w.db"


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


async def test_a_diskwithout_room_for_a_copy_costs_nothing_but_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path, 1000)
    damaged(path, _smear_pages)
    readable = spool_file._readable
    monkeypatch.setattr(spool_file, "_readable", refuse)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError):
            await opened(path)
    monkeypatch.setattr(spool_file, "_readable", readable)
    spool, books = await opened(path)
    assert books.found_rows["trades"] >= 1000 - 16
    await smashed(spool)
    monkeypatch.setattr(spool_file, "_readable", refuse)
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


@pytest.mark.parametrize(
    "meta",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"{not json",
        without("key"),
        without("headers"),
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
    damaged(path, flip_first)
    spool, books = await opened(path)
    assert await spool.fetch(10) == []
    (told,) = books.told
    assert (told.label, told.rows, told.exchange) == ("trades.batch", 7, BATCHES)
    assert (told.routing_key, told.message_id, told.body) == ("trades.x.A", "id-0", b"")
    assert spool.empty
    await spool.close()
