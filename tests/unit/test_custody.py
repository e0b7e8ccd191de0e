"""Custody of lossless messages: what it tells of those that end without a confirm, and how it
hands on what is on disk."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.backlog import Backlog, Queued
from shared.custody import Custody, SpoolPlace
from shared.ledger import Ledger
from shared.publisher import MIB, Bounds, Outcome, Publication
from shared.spool import Spool
from shared.spool_file import SpoolFile
from shared.tasks import ended
from tests.fakes import FakeClock
from tests.spools import damaged, filled, flip_first, message, refuse, rewritten
from tests.waiting import eventually

Told = list[tuple[str, str]]


class Line(Queued):
    """The front of a publisher, whose connection is the test."""

    def __init__(self, queued_bytes: int = MIB) -> None:
        self.custody: Custody
        bounds = Bounds(queued_bytes=queued_bytes)
        self.backlog = Backlog(bounds, self._settled, FakeClock())
        super().__init__(self.backlog)
        self.connected = True
        self.wire: list[Publication] = []

    def _settled(self, message: Publication, outcome: Outcome) -> None:
        self.custody.settled(message, outcome)

    def messages(self) -> Iterator[Publication]:
        yield from self.backlog.messages()
        yield from self.wire

    @property
    def room(self) -> bool:
        return True

    async def run(self) -> None: ...

    def send(self) -> None:
        """All that may be on the wire at a time."""
        while self.backlog and len(self.wire) < self.backlog.bounds.unconfirmed // 2:
            self.wire.append(self.backlog.take())

    def confirm(self) -> None:
        wire, self.wire = self.wire, []
        for one in wire:
            self.backlog.confirmed(one)

    def cut(self) -> None:
        wire, self.wire = self.wire, []
        self.backlog.put_back(wire)


def custody_of(line: Line, place: SpoolPlace | None = None) -> tuple[Custody, Told]:
    line.custody = custody = Custody(line, place, Ledger(), FakeClock())
    told: Told = []
    custody.on_dropped = lambda message, reason: told.append((message.label, reason))
    return custody, told


def spool_of(custody: Custody) -> Spool:
    (spool,) = custody.spools
    return spool


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.RETURNED, Outcome.UNENCODABLE])
def test_what_a_broker_does_not_take_is_told_once_before_it_is_safe(
    outcome: Outcome, rows: int
) -> None:
    line = Line()
    custody, told = custody_of(line)
    one = message(1, rows=rows)
    assert custody.put(one)
    mark = custody.mark()
    safe_when_told: list[bool] = []

    def dropped(message: Publication, reason: str) -> None:
        told.append((message.label, reason))
        safe_when_told.append(custody.settled_up_to(mark))

    custody.on_dropped = dropped
    assert custody.settled(one, outcome)
    assert told == [(one.label, outcome.value)]
    assert safe_when_told == [False]
    assert custody.settled_up_to(mark)


def test_what_is_confirmed_is_not_told() -> None:
    custody, told = custody_of(Line())
    one = message(1)
    custody.put(one)
    custody.settled(one, Outcome.CONFIRMED)
    assert told == []


def test_what_finds_no_room_is_told() -> None:
    custody, told = custody_of(Line(queued_bytes=1000))
    for n in range(3):
        custody.put(message(n))
    assert told == [("trades", "overflow")] * 2


async def test_what_finds_no_room_on_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    custody, told = custody_of(Line(), SpoolPlace(tmp_path / "w.db", 1))
    custody.suspended = True
    for n in range(3):
        custody.put(message(n, 400_000))
    assert told == [("trades", "spool_full")]
    custody, told = custody_of(Line(), SpoolPlace(tmp_path / "v.db", 100))
    monkeypatch.setattr(SpoolFile, "append", refuse)
    custody.suspended = True
    for n in range(18):
        custody.put(message(n, 1_000_000))
    assert told == [("trades", "spool_failed")] * 2


async def test_what_a_broker_refuses_out_of_a_spool_is_told_and_off_the_disk(
    tmp_path: Path,
) -> None:
    line = Line()
    custody, told = custody_of(line, SpoolPlace(tmp_path / "w.db"))
    spool = spool_of(custody)
    await spool.open()
    spool.put(message(1))
    await spool.flush()
    (one,) = await spool.fetch(10)
    custody.settled(one, Outcome.REFUSED)
    assert told == [("trades", "refused")]
    assert custody.empty
    await spool.close()


async def test_what_a_disk_made_unreadable_is_counted_and_told(tmp_path: Path) -> None:
    place = SpoolPlace(tmp_path / "w.db")
    custody, _ = custody_of(Line(), place)
    custody.suspended = True
    custody.put(message(0, rows=7))
    await spool_of(custody).open()
    await spool_of(custody).close()
    damaged(place.path, flip_first)
    custody, told = custody_of(Line(), place)
    await spool_of(custody).open()
    await custody._drain(spool_of(custody))
    assert told == [("trades.batch", "spool_unreadable")]
    counts = custody._ledger["trades.batch"]
    assert (counts.dropped, counts.spooled_at_start) == ({"spool_unreadable": 7}, 7)
    assert not custody._ledger.unbalanced()
    await spool_of(custody).close()


async def test_a_connection_that_ends_while_a_page_is_read_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line()
    custody, _ = custody_of(line, SpoolPlace(tmp_path / "w.db"))
    spool = spool_of(custody)
    await spool.open()
    for n in range(2500):
        spool.put(message(n))
    await spool.flush()
    for _ in range(7):
        await custody._drain(spool)
        line.send()
    fetch = spool.fetch

    async def fetch_and_lose(limit: int) -> list[Publication]:
        page = await fetch(limit)
        line.cut()
        return page

    monkeypatch.setattr(spool, "fetch", fetch_and_lose)
    await custody._drain(spool)
    monkeypatch.setattr(spool, "fetch", fetch)
    for _ in range(10):
        line.send()
        line.confirm()
        await custody._drain(spool)
    assert spool.empty
    await spool.close()


async def test_a_row_that_nobody_can_read_does_not_end_the_process(tmp_path: Path) -> None:
    place = SpoolPlace(tmp_path / "w.db")
    await filled(place.path, 3)
    rewritten(place.path, 2, b"{}")
    line = Line()
    custody, told = custody_of(line, place)
    running = asyncio.create_task(custody.run())
    await eventually(lambda: told or running.done())
    assert told == [("trades", "spool_unreadable")]
    assert not running.done()
    line.send()
    assert [one.headers["seq"] for one in line.wire] == [0, 2]
    await ended(running)
