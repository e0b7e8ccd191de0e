"""The private node: what it is configured with, and that kill and restart keep what is durable."""

import asyncio
from pathlib import Path

import aio_pika

from cli.broker_node import Node, speaks_amqp
from cli.ports import is_free
from cli.private_broker import QUEUE_BYTES, RAFT_WAL_BYTES
from cli.processes import runs
from shared.broker import Broker
from shared.topology import topology
from tests.brokers import private_node


async def test_durable_queues_and_persistent_messages_survive_a_kill(broker_node: Node) -> None:
    await _declare(broker_node.amqp_url)
    await asyncio.to_thread(broker_node.keep_definitions)
    await _publish(broker_node.amqp_url, b"kept")
    await asyncio.to_thread(broker_node.kill)
    assert not speaks_amqp(broker_node.broker.ports.amqp)
    await asyncio.to_thread(broker_node.start)
    assert await _bodies(broker_node.amqp_url) == [b"kept"]


async def test_each_test_has_a_vhost_of_its_own(broker_node: Node) -> None:
    assert await _bodies(broker_node.amqp_url) == []


async def test_a_frozen_node_answers_nothing_until_it_thaws(broker_node: Node) -> None:
    broker_node.freeze()
    assert not await asyncio.to_thread(speaks_amqp, broker_node.broker.ports.amqp, timeout_s=0.3)
    broker_node.thaw()
    assert await asyncio.to_thread(speaks_amqp, broker_node.broker.ports.amqp)


async def test_the_whole_topology_can_be_declared_under_the_queue_policy(broker_url: str) -> None:
    broker = Broker(broker_url, "test-private-broker", topology("futures_data"), declares=True)
    connection = await broker.connect("declare")
    async with connection:
        channel = await connection.channel()
        await broker.declare(channel)
        await broker.declare(channel)


def test_configuration_reaches_the_node(broker_node: Node) -> None:
    policies = broker_node.ctl("list_policies", "--no-table-headers")
    assert str(QUEUE_BYTES) in policies
    wal = "application:get_env(ra, wal_max_size_bytes)."
    assert str(RAFT_WAL_BYTES) in broker_node.ctl("eval", wal)
    listeners = broker_node.ctl("eval", "rabbit_networking:active_listeners().")
    assert "{127,0,0,1}" in listeners and "{0,0,0,0}" not in listeners


def test_nothing_is_left_of_a_closed_node(tmp_path: Path) -> None:
    with private_node(tmp_path) as node:
        pids, ports = node.pids, node.broker.ports
        assert len(pids) == 3
    assert not any(runs(pid) for pid in pids)
    assert all(is_free(port) for port in (ports.amqp, ports.distribution, ports.epmd))


async def _declare(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kept", durable=True)


async def _publish(url: str, body: bytes) -> None:
    """Returns when the broker has confirmed it."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, "kept")


async def _bodies(url: str) -> list[bytes]:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("kept", durable=True)
        bodies = []
        while (message := await queue.get(fail=False)) is not None:
            bodies.append(message.body)
        return bodies
