"""The disk spool: what it keeps, and who may have it."""

import asyncio
from pathlib import Path

import pytest

from shared.spool import Spool
from shared.spool_file import Locked, SpoolFile
from shared.tasks import ended
from tests.spools import (
    RecordingBooks,
    filled,
    message,
    opened,
    put_and_flushed,
    refuse,
    rewritten,
    size_of,
    smashed,
    without,
)
from tests.waiting import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "w.db"


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


async def test_a_disk_that_refuses_costs_nothing_while_memory_lasts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, _ = await opened(path)
    append = SpoolFile.append
    monkeypatch.setattr(SpoolFile, "append", refuse)
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


async def test_what_is_confirmed_while_it_is_written_is_not_kept(path: Path) -> None:
    spool, _ = await opened(path)
    one = message(1)
    spool.put(one)
    one.ended = True
    await spool.flush()
    assert spool.empty
    await spool.close()


# --- damage that shows while the file is in use


async def test_ids_go_on_in_a_file_that_this_run_only_read(path: Path) -> None:
    await filled(path, 20)
    spool, _ = await opened(path)
    assert len(await spool.fetch(20)) == 20
    await smashed(spool)
    await put_and_flushed(spool, range(5))
    assert len(await spool.fetch(20)) == 5
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


async def test_a_row_of_an_older_version_is_read(path: Path) -> None:
    await filled(path, 2)
    rewritten(path, 1, without("encoding", "mandatory", "rows"))
    spool, books = await opened(path)
    first, second = await spool.fetch(10)
    assert (first.content_encoding, first.mandatory, first.rows) == (None, False, 1)
    assert (first.body, first.kind) == (message(0).body, second.kind)
    assert books.lost == {}
    await spool.close()


async def test_what_nobody_took_is_fetched_again(path: Path) -> None:
    await filled(path, 10)
    spool, _ = await opened(path)
    page = await spool.fetch(6)
    spool.put_back(page[4:])
    assert [m.headers["seq"] for m in await spool.fetch(10)] == [4, 5, 6, 7, 8, 9]
    await spool.close()
