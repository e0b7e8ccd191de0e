"""Nothing of a lossless kind is lost between `put` and the broker's confirm, whatever it does.

Loss is counted by ids: put against what a reader's queue holds in the end.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aio_pika
import psutil
import pytest

from cli.broker_node import Node
from shared.broker import Broker
from shared.outbox import Outbox
from shared.topology import topology
from tests.brokers import memory_alarm
from tests.custodian import outbox_of, put_all, put_until, trade
from tests.waiting import eventually

DATA = "futures_data"
RATE = 1000.0
IN_FLIGHT = 2000
#: Nothing more comes from a queue that was silent for so long.
_QUIET_S = 0.5


async def declared(url: str) -> Broker:
    """A broker that knows its topology, with a queue `kept` on all trades."""
    broker = Broker(url, "test-custody", topology(DATA), declares=True)
    async with await broker.connect("test") as connection:
        channel = await connection.channel()
        await broker.declare(channel)
        await (await channel.declare_queue("kept", durable=True)).bind(DATA, "trades.#")
    return broker


async def ids_in(url: str, queue: str = "kept") -> list[str]:
    ids: list[str] = []
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        kept = await channel.declare_queue(queue, passive=True)
        count = kept.declaration_result.message_count or 0
        messages = kept.iterator(no_ack=True)
        with suppress(TimeoutError):
            while True:  # what comes late as well: a duplicate
                quiet_s = None if len(ids) < count else _QUIET_S
                got = await asyncio.wait_for(anext(messages), quiet_s)
                ids.append((got.message_id or "").rpartition(":")[2])
    return ids


@asynccontextmanager
async def running(outbox: Outbox) -> AsyncIterator[None]:
    task = asyncio.create_task(outbox.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ledger(outbox: Outbox) -> dict[str, Any]:
    return outbox.ledger.as_dict().get("trades", {})


async def all_confirmed(outbox: Outbox, count: int, timeout_s: float = 30) -> None:
    await eventually(
        lambda: ledger(outbox).get("confirmed") == count,
        timeout_s,
        message=f"not all confirmed: {ledger(outbox)}",
    )


def check(ids: list[str], count: int, duplicates: int = IN_FLIGHT) -> None:
    lost = {str(n) for n in range(count)} - set(ids)
    assert not lost, f"{len(lost)} of {count} lost, the first {sorted(lost, key=int)[:5]}"
    assert len(ids) - len(set(ids)) <= duplicates


@pytest.mark.deadline(120)
async def test_a_broker_that_is_killed_and_comes_back(broker_node: Node, tmp_path: Path) -> None:
    broker = await declared(broker_node.amqp_url)
    await asyncio.to_thread(broker_node.keep_definitions)
    outbox = outbox_of(broker, tmp_path, "w-0")
    count = 5000
    async with running(outbox):
        putting = asyncio.create_task(put_all(outbox, 0, count, RATE))
        await eventually(lambda: ledger(outbox).get("confirmed", 0) > 500)
        await asyncio.to_thread(broker_node.kill)
        await eventually(lambda: ledger(outbox).get("spooled", 0) > 500)
        assert not outbox.ledger.unbalanced()
        await asyncio.to_thread(broker_node.start)
        await putting
        await all_confirmed(outbox, count)
        assert not outbox.ledger.unbalanced()
    check(await ids_in(broker_node.amqp_url), count)


@pytest.mark.deadline(400)
@pytest.mark.parametrize("seconds", [6, pytest.param(120, marks=pytest.mark.long)])
async def test_an_alarm_sends_everything_to_the_disk_at_once(
    broker_node: Node, tmp_path: Path, seconds: int
) -> None:
    broker = await declared(broker_node.amqp_url)
    outbox = outbox_of(broker, tmp_path, "w-0", limit_mb=1024)
    connections = []
    async with running(outbox):
        enough = asyncio.Event()
        putting = asyncio.create_task(put_until(outbox, enough, 3000))
        await eventually(lambda: ledger(outbox).get("confirmed", 0) > 500)
        connections.append(outbox._lossless._channel)  # type: ignore[attr-defined]
        async with memory_alarm(broker_node):
            before = psutil.Process().memory_info().rss
            await eventually(lambda: ledger(outbox).get("spooled", 0) > 0, 5)
            await asyncio.sleep(seconds)
            enough.set()
            count = await putting
            grown = psutil.Process().memory_info().rss - before
        await all_confirmed(outbox, count, 120)
        connections.append(outbox._lossless._channel)  # type: ignore[attr-defined]
        assert not outbox.ledger.unbalanced()
        assert outbox.republished == 0
    assert grown < 50_000_000
    assert connections[0] is connections[1]
    check(await ids_in(broker_node.amqp_url), count, duplicates=0)


@pytest.mark.deadline(120)
async def test_a_frozen_broker(broker_node: Node, tmp_path: Path) -> None:
    broker = await declared(broker_node.amqp_url)
    outbox = outbox_of(broker, tmp_path, "w-0")
    count = 8000
    async with running(outbox):
        putting = asyncio.create_task(put_all(outbox, 0, count, RATE))
        await eventually(lambda: ledger(outbox).get("confirmed", 0) > 500)
        broker_node.freeze()
        await eventually(lambda: ledger(outbox).get("spooled", 0) > 0, 5)
        assert not outbox.ledger.unbalanced()
        await putting
        broker_node.thaw()
        await all_confirmed(outbox, count, 60)
        assert not outbox.ledger.unbalanced()
    check(await ids_in(broker_node.amqp_url), count)


async def test_a_reader_who_refuses_costs_the_others_nothing(
    broker_url: str, tmp_path: Path
) -> None:
    broker = await declared(broker_url)
    outbox = outbox_of(broker, tmp_path, "w-0")
    count = 500
    async with await broker.connect("careless") as connection, running(outbox):
        channel = await connection.channel()
        arguments: Any = {"x-max-length": 100, "x-overflow": "reject-publish"}
        full = await channel.declare_queue(exclusive=True, arguments=arguments)
        await full.bind(DATA, "trades.#")
        await put_all(outbox, 0, count, RATE)
        told = await eventually(lambda: ledger(outbox) if not outbox.pending else None, 20)
    assert told["confirmed"] + told["dropped"]["refused"] == count
    assert told["dropped"]["refused"] >= 300
    assert outbox.republished == 3 * told["dropped"]["refused"]
    assert not outbox.ledger.unbalanced()
    check(await ids_in(broker_url), count, duplicates=outbox.republished)


async def test_an_exchange_that_is_deleted_and_declared_again(
    broker_url: str, tmp_path: Path
) -> None:
    broker = await declared(broker_url)
    outbox = outbox_of(broker, tmp_path, "w-0")
    count = 4000
    async with await broker.connect("vandal") as connection, running(outbox):
        channel = await connection.channel()
        putting = asyncio.create_task(put_all(outbox, 0, count, RATE))
        await eventually(lambda: ledger(outbox).get("confirmed", 0) > 500)
        await channel.exchange_delete(DATA)
        await eventually(lambda: ledger(outbox).get("confirmed", 0) > 1500, 20)
        await putting
        await all_confirmed(outbox, count)
        assert not outbox.ledger.unbalanced()


class Custodian:
    """The process of `tests.custodian`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.safe = 0

    @classmethod
    async def start(cls, *arguments: str) -> "Custodian":
        command = (sys.executable, "-m", "tests.custodian", *arguments)
        return cls(await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE))

    async def told(self, safe: int) -> None:
        """Until so many facts are safe."""
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while self.safe < safe:
                self._heard(await self.process.stdout.readline())

    async def kill(self) -> None:
        """And take all that was said before: what is said to be safe has to be."""
        self.process.kill()
        assert self.process.stdout is not None
        for line in (await self.process.stdout.read()).splitlines():
            self._heard(line)
        await self.process.wait()

    def _heard(self, line: bytes) -> None:
        assert line, "it ended"
        if line.startswith(b"safe "):
            self.safe = int(line.split()[1])


@pytest.mark.deadline(120)
async def test_a_process_killed_while_it_spools_and_another_that_adopts(
    broker_url: str, tmp_path: Path
) -> None:
    """The broker is away for the first process; two others come later, and the spool has one
    heir."""
    await declared(broker_url)
    nowhere = "amqp://guest:guest@127.0.0.1:9/"
    first = await Custodian.start(nowhere, str(tmp_path), "w-0", "0", "100000", "3000")
    await first.told(4000)
    await first.kill()
    heirs = [
        await Custodian.start(broker_url, str(tmp_path), name, "0", "0", "1")
        for name in ("w-1", "w-2")
    ]
    try:
        directory = tmp_path / "spool" / "x"
        await eventually(lambda: not (directory / "w-0.db").exists(), 30)
    finally:
        for heir in heirs:
            await heir.kill()
    check(await ids_in(broker_url), first.safe, duplicates=0)


@pytest.mark.deadline(120)
async def test_a_process_killed_while_it_drains_continues_at_its_next_start(
    broker_url: str, tmp_path: Path
) -> None:
    await declared(broker_url)
    nowhere = "amqp://guest:guest@127.0.0.1:9/"
    first = await Custodian.start(nowhere, str(tmp_path), "w-0", "0", "100000", "5000")
    await first.told(12_000)
    await first.kill()
    broker = await declared(broker_url)
    second = await Custodian.start(broker_url, str(tmp_path), "w-0", "0", "0", "1")
    async with await broker.connect("watch") as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("kept")

        async def arrived() -> bool:
            return ((await queue.declare()).message_count or 0) > 1000

        await eventually(arrived, 20, poll_s=0.005)
    await second.kill()
    outbox = outbox_of(broker, tmp_path, "w-0")
    async with running(outbox):
        await eventually(lambda: ledger(outbox).get("spooled_at_start", 0) > 0)
        assert not outbox.ledger.unbalanced()
        await eventually(lambda: "spooled" not in ledger(outbox), 30)
        assert not outbox.ledger.unbalanced()
    check(await ids_in(broker_url), first.safe)


async def test_an_ordered_end_without_a_broker_leaves_all_on_disk(
    broker_url: str, tmp_path: Path
) -> None:
    broker = await declared(broker_url)
    away = Broker("amqp://guest:guest@127.0.0.1:9/", "test", topology(DATA), declares=True)
    away.declared.set()
    outbox = outbox_of(away, tmp_path, "w-0")
    async with running(outbox):
        for number in range(100):
            outbox.put(trade(number))
        assert await outbox.drain(3)
    outbox = outbox_of(broker, tmp_path, "w-0")
    async with running(outbox):
        await all_confirmed(outbox, 100)
        assert not outbox.ledger.unbalanced()
    check(await ids_in(broker_url), 100, duplicates=0)
