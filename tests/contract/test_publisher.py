"""What every publisher promises, against a real broker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from cli.broker_node import Node
from shared.broker import Broker
from shared.clock import SystemClock
from shared.errors import ConfigurationError
from shared.frames import FramePublisher, usable
from shared.kinds import TICKER, TRADES, Kind
from shared.plain import PlainPublisher
from shared.publisher import Bounds, Outcome, Publication, Publisher
from shared.topology import topology
from tests.brokers import memory_alarm
from tests.waiting import eventually

DATA = "futures_data"
MakePublisher = Callable[..., Publisher]


@pytest.fixture(params=[FramePublisher, PlainPublisher])
def make(request: pytest.FixtureRequest) -> MakePublisher:
    kind: MakePublisher = request.param
    return lambda *arguments: kind(*arguments, SystemClock())


@dataclass
class Settlements:
    """What the publisher said of each message."""

    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)

    def __call__(self, message: Publication, outcome: Outcome) -> None:
        self.outcomes.setdefault(message.message_id, []).append(outcome)

    def ids(self, outcome: Outcome) -> set[str]:
        return {name for name, said in self.outcomes.items() if said == [outcome]}


def message(
    number: int, kind: Kind = TRADES, key: str = "trades.x.A", size: int = 300
) -> Publication:
    headers = {"seq": number, "epoch": "e", "schema": 1}
    body = (b'{"n":%d,"pad":"' % number).ljust(size, b"x") + b'"}'
    return Publication(DATA, key, kind, body, f"id-{number}", headers, 1_800_000_000_000 + number)


@asynccontextmanager
async def broker_with_topology(url: str) -> AsyncIterator[tuple[Broker, AbstractChannel]]:
    broker = Broker(url, "test-publisher", topology(DATA), declares=True)
    connection = await broker.connect("test")
    async with connection:
        channel = await connection.channel()
        await broker.declare(channel)
        yield broker, channel


@asynccontextmanager
async def running(publisher: Publisher) -> AsyncIterator[None]:
    task = asyncio.create_task(publisher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def reader(channel: AbstractChannel, name: str = "", arguments: Any = None) -> Any:
    """A queue on everything; durable where it has a name."""
    queue = await channel.declare_queue(
        name or None, exclusive=not name, durable=bool(name), arguments=arguments
    )
    await queue.bind(DATA, "#")
    return queue


async def drained(queue: Any) -> list[AbstractIncomingMessage]:
    messages = []
    while (got := await queue.get(no_ack=True, fail=False)) is not None:
        messages.append(got)
    return messages


async def test_every_message_arrives_once_in_order_and_is_confirmed(
    make: MakePublisher, broker_url: str
) -> None:
    settled = Settlements()
    async with broker_with_topology(broker_url) as (broker, channel):
        queue = await reader(channel)
        publisher = make(broker, "test", Bounds(unconfirmed=100), settled)
        assert all(publisher.offer(message(n)) for n in range(1000))
        async with running(publisher):
            assert await publisher.drain(20)
        got = await drained(queue)
    assert [m.headers["seq"] for m in got] == list(range(1000))
    assert settled.ids(Outcome.CONFIRMED) == {f"id-{n}" for n in range(1000)}
    assert publisher.pending == 0


async def test_properties_and_bodies_are_as_given(make: MakePublisher, broker_url: str) -> None:
    sent = [message(1), message(2, TICKER, "ticker.x.币安人生USDT"), message(3, size=300_000)]
    async with broker_with_topology(broker_url) as (broker, channel):
        queue = await reader(channel)
        publisher = make(broker, "test", Bounds(), Settlements())
        for one in sent:
            publisher.offer(one)
        async with running(publisher):
            assert await publisher.drain(10)
        got = await drained(queue)
    assert [m.body for m in got] == [m.body for m in sent]
    assert [m.routing_key for m in got] == [m.routing_key for m in sent]
    assert [m.type for m in got] == ["trades", "ticker", "trades"]
    assert [m.delivery_mode for m in got] == [2, 1, 2]
    first = got[0]
    assert (first.message_id, first.content_type, first.app_id) == (
        "id-1",
        "application/json",
        "futures-fleet",
    )
    assert first.headers == {"seq": 1, "epoch": "e", "schema": 1}
    assert first.timestamp is not None
    assert first.timestamp.timestamp() == 1_800_000_000


async def test_single_acks_out_of_order_settle_their_own_tag_only(
    make: MakePublisher, broker_url: str
) -> None:
    """Half the messages go to a queue that nacks them: its neighbours' acks must not cover them."""
    settled = Settlements()
    async with broker_with_topology(broker_url) as (broker, channel):
        full = await channel.declare_queue(
            exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
        await full.bind(DATA, "trades.x.FULL")
        free = await channel.declare_queue(
            "free", durable=True, arguments={"x-queue-type": "quorum"}
        )
        await free.bind(DATA, "trades.x.FREE")
        publisher = make(broker, "test", Bounds(nack_retries=0), settled)
        async with running(publisher):
            publisher.offer(message(-1, key="trades.x.FULL"))
            assert await publisher.drain(10)
            for n in range(2000):
                publisher.offer(message(n, key=f"trades.x.{('FREE', 'FULL')[n % 2]}"))
            assert await publisher.drain(30)
    refused = {f"id-{n}" for n in range(1, 2000, 2)}
    assert settled.ids(Outcome.REFUSED) == refused
    assert settled.ids(Outcome.CONFIRMED) == {f"id-{n}" for n in range(0, 2000, 2)} | {"id--1"}


async def test_a_nacked_message_is_tried_three_times_more(
    make: MakePublisher, broker_url: str
) -> None:
    settled = Settlements()
    async with broker_with_topology(broker_url) as (broker, channel):
        queue = await reader(channel, "", {"x-max-length": 1, "x-overflow": "reject-publish"})
        publisher = make(broker, "test", Bounds(), settled)
        async with running(publisher):
            publisher.offer(message(1))
            assert await publisher.drain(10)
            refused = message(2)
            publisher.offer(refused)
            assert await publisher.drain(10)
        assert len(await drained(queue)) == 1
    assert refused.nacks == 4
    assert settled.outcomes == {"id-1": [Outcome.CONFIRMED], "id-2": [Outcome.REFUSED]}


async def test_a_message_that_amqp_can_not_carry_holds_up_nothing(
    make: MakePublisher, broker_url: str
) -> None:
    settled = Settlements()
    async with broker_with_topology(broker_url) as (broker, channel):
        queue = await reader(channel)
        publisher = make(broker, "test", Bounds(), settled)
        async with running(publisher):
            publisher.offer(message(1, key="k" * 300))
            publisher.offer(message(2))
            assert await publisher.drain(10)
        assert [m.message_id for m in await drained(queue)] == ["id-2"]
    assert settled.outcomes == {"id-1": [Outcome.UNENCODABLE], "id-2": [Outcome.CONFIRMED]}


async def test_a_full_queue_refuses_and_changes_nothing(
    make: MakePublisher, broker_url: str
) -> None:
    broker = Broker(broker_url, "test-publisher", topology(DATA), declares=True)
    publisher = make(broker, "test", Bounds(queued_bytes=3 * message(0).size), Settlements())
    assert [publisher.offer(message(n)) for n in range(5)] == [True, True, True, False, False]
    assert publisher.pending == 3
    assert not publisher.room


async def test_a_message_without_a_reader_is_confirmed(
    make: MakePublisher, broker_url: str
) -> None:
    settled = Settlements()
    async with broker_with_topology(broker_url) as (broker, _):
        publisher = make(broker, "test", Bounds(), settled)
        async with running(publisher):
            publisher.offer(message(1))
            assert await publisher.drain(10)
    assert settled.ids(Outcome.CONFIRMED) == {"id-1"}


async def test_an_exchange_that_comes_later_loses_nothing(
    make: MakePublisher, broker_url: str
) -> None:
    """The broker closes the channel for it; the message stays and goes out when it can."""
    settled = Settlements()
    broker = Broker(broker_url, "test-publisher", topology(DATA), declares=False)
    publisher = make(broker, "test", Bounds(), settled)
    publisher.offer(message(1))
    async with running(publisher):
        assert not await publisher.drain(1)
        async with broker_with_topology(broker_url):
            assert await publisher.drain(10)
    assert settled.ids(Outcome.CONFIRMED) == {"id-1"}


async def test_what_comes_back_for_want_of_a_queue_is_tried_again(
    make: MakePublisher, broker_url: str
) -> None:
    settled = Settlements()
    async with broker_with_topology(broker_url) as (broker, channel):
        publisher = make(broker, "test", Bounds(nack_retries=2), settled)
        async with running(publisher):
            for n in range(2):
                one = message(n, key=f"trades.x.{n}")
                one.mandatory = True
                publisher.offer(one)
            publisher.offer(message(2))
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(DATA, "trades.x.1")
            assert await publisher.drain(10)
        assert [m.message_id for m in await drained(queue)] == ["id-1"]
    assert settled.ids(Outcome.RETURNED) == {"id-0"}
    assert settled.ids(Outcome.CONFIRMED) == {"id-1", "id-2"}


async def test_what_a_spool_gives_back_goes_behind_live_messages(
    make: MakePublisher, broker_url: str
) -> None:
    settled = Settlements()
    async with broker_with_topology(broker_url) as (broker, channel):
        queue = await reader(channel)
        publisher = make(broker, "test", Bounds(unconfirmed=20, behind=50), settled)
        assert [publisher.offer_behind(message(n)) for n in range(60)].count(True) == 50
        assert publisher.room_behind == 0
        assert all(publisher.offer(message(100 + n)) for n in range(50))
        async with running(publisher):
            assert await publisher.drain(10)
        got = [m.headers["seq"] for m in await drained(queue)]
    assert got == [*range(100, 150), *range(50)]
    assert len(settled.ids(Outcome.CONFIRMED)) == 100


async def test_what_waits_can_be_withdrawn_in_order(make: MakePublisher, broker_url: str) -> None:
    broker = Broker(broker_url, "test-publisher", topology(DATA), declares=True)
    publisher = make(broker, "test", Bounds(), Settlements())
    for n in range(5):
        publisher.offer(message(n))
    publisher.offer_behind(message(9))
    assert [m.headers["seq"] for m in publisher.withdraw()] == list(range(5))
    assert publisher.pending == 1
    assert [m.headers["seq"] for m in publisher.messages()] == [9]


@pytest.mark.deadline(120)
async def test_a_hanging_broker_is_a_stall_and_gets_nothing_more(
    make: MakePublisher, broker_node: Node
) -> None:
    settled = Settlements()
    async with broker_with_topology(broker_node.amqp_url) as (broker, _):
        publisher = make(broker, "test", Bounds(), settled)
        async with running(publisher):
            publisher.offer(message(0))
            assert await publisher.drain(10)
            broker_node.freeze()
            publisher.offer(message(1))
            await eventually(lambda: publisher.stalled, 5)
            assert publisher.connected
            assert not publisher.room
            publisher.offer(message(2))
            await asyncio.sleep(0.2)
            assert [m.headers["seq"] for m in publisher.withdraw()] == [2]
            broker_node.thaw()
            assert await publisher.drain(30)
            await eventually(lambda: not publisher.stalled and publisher.room)
    assert settled.ids(Outcome.CONFIRMED) == {"id-0", "id-1"}


@pytest.mark.deadline(120)
async def test_an_alarm_is_a_stall_as_soon_as_the_broker_tells(
    make: MakePublisher, broker_node: Node
) -> None:
    settled = Settlements()
    async with broker_with_topology(broker_node.amqp_url) as (broker, _):
        publisher = make(broker, "test", Bounds(), settled)
        async with running(publisher):
            publisher.offer(message(0))
            assert await publisher.drain(10)
            async with memory_alarm(broker_node):
                publisher.offer(message(1))
                await eventually(lambda: publisher.stalled, 2)
            assert await publisher.drain(10)
    assert settled.ids(Outcome.CONFIRMED) == {"id-0", "id-1"}
    assert publisher.republished == 0


async def test_a_perishable_message_ends_with_its_connection(
    make: MakePublisher, broker_url: str
) -> None:
    settled = Settlements()
    async with broker_with_topology(broker_url) as (broker, channel):
        queue = await reader(channel)
        publisher = make(broker, "test", Bounds(), settled)
        async with running(publisher):
            await eventually(lambda: publisher.connected)
            for n in range(3):
                one = message(n, TICKER)
                one.perishable = n == 1
                # The broker closes the channel for the first of them.
                one.exchange = "nowhere" if n == 0 else DATA
                publisher.offer(one)
            await eventually(lambda: settled.ids(Outcome.EXPIRED) == {"id-1"}, 10)
        assert [m for m in await drained(queue) if m.message_id == "id-1"] == []


@pytest.mark.parametrize("password", ["wrong"])
async def test_credentials_that_never_worked_are_an_error_of_configuration(
    make: MakePublisher, broker_url: str, password: str
) -> None:
    url = broker_url.replace("guest:guest@", f"guest:{password}@")
    broker = Broker(url, "test-publisher", topology(DATA), declares=True)
    publisher = make(broker, "test", Bounds(), Settlements())
    with pytest.raises(ConfigurationError, match="guest"):
        await asyncio.wait_for(publisher.run(), 10)


@pytest.mark.deadline(120)
async def test_a_killed_broker_loses_nothing_and_repeats_only_what_was_in_flight(
    make: MakePublisher, broker_node: Node
) -> None:
    settled = Settlements()
    async with broker_with_topology(broker_node.amqp_url) as (broker, channel):
        await reader(channel, "kept")
    await asyncio.to_thread(broker_node.keep_definitions)
    publisher = make(broker, "test", Bounds(unconfirmed=200), settled)
    offered = 0

    async def offer_for(seconds: float) -> None:
        nonlocal offered
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            assert publisher.offer(message(offered))
            offered += 1
            await asyncio.sleep(0.001)

    async with running(publisher):
        await eventually(lambda: publisher.connected)
        await offer_for(1)
        await asyncio.to_thread(broker_node.kill)
        await offer_for(1)
        await asyncio.to_thread(broker_node.start)
        await offer_for(1)
        assert await publisher.drain(30)
    connection = await aio_pika.connect(broker_node.amqp_url)
    async with connection:
        queue = await (await connection.channel()).get_queue("kept")
        got = [m.message_id for m in await drained(queue)]
    assert set(got) == {f"id-{n}" for n in range(offered)}
    assert len(got) - len(set(got)) <= 200
    assert settled.ids(Outcome.CONFIRMED) == set(got)


def test_this_aiormq_has_what_the_fast_publisher_needs() -> None:
    assert usable()
