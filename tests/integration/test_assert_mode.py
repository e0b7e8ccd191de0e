"""A fleet whose users may configure nothing, on a broker that was set up by definitions alone."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage
from aiormq.exceptions import ChannelAccessRefused

from cli.broker_node import Node
from coordinator.coordinator import Coordinator
from shared.broker import Broker, own_queue
from shared.clock import SystemClock
from shared.config import Settings, load_settings, read_environment
from shared.control import request
from shared.service import Stop
from shared.topology import BATCHES, COMMANDS, CONTROL_QUEUE, MAILBOX, bulk_key, topology
from tests.coordinators import BTC, ETH, SOL
from tests.logins import Login, import_logins
from tests.venues import Simulator, simulated_venues
from tests.waiting import eventually
from workers.collector.collector import Collector

VENUE = "binance"
DATA = "futures_data"
TOPOLOGY = topology(DATA)


def settings_of(login: Login, simulator: Simulator, home: Path) -> Settings:
    home.mkdir()
    path = home / "config.json"
    config = simulator.config((VENUE,), rabbitmq={"topology": "assert"}, symbols=[BTC, ETH])
    path.write_text(json.dumps(config))
    environment = {"FLEET_CONFIG": str(path), "FLEET_HOME": str(home), "FLEET_HOST_ID": "host.a"}
    return load_settings(read_environment(environment | {"AMQP_URL": login.url}))


@asynccontextmanager
async def running(process: Coordinator | Collector) -> AsyncIterator[None]:
    stop = Stop()
    work = asyncio.create_task(process.run(stop))
    try:
        yield
    finally:
        stop.request()
        await asyncio.wait_for(work, 15)


@asynccontextmanager
async def reading(login: Login) -> AsyncIterator[dict[str, set[str]]]:
    """Routing keys, by exchange, as a reader may have them."""
    keys: dict[str, set[str]] = {DATA: set(), BATCHES: set()}

    async def take(message: AbstractIncomingMessage) -> None:
        keys[message.exchange or ""].add(message.routing_key or "")

    async with await client(login).connect("read") as connection:
        channel = await connection.channel()
        queue = await own_queue(channel, "reader", "test", [(DATA, "#"), (BATCHES, "#")])
        await queue.consume(take, no_ack=True)
        yield keys


def client(login: Login) -> Broker:
    return Broker(login.url, "a client", TOPOLOGY, declares=False)


def held(collector: Collector) -> set[str]:
    return set(collector.sharing.holdings(collector.state).collected)


def denials(node: Node, vhost: str) -> list[str]:
    """What the broker has refused in this vhost, as its log tells."""
    log = (node.broker.directory / "out.log").read_text(errors="replace")
    lines = log.splitlines()
    return [
        f"{line} {after}"
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if f"vhost: '{vhost}'" in line and "access_refused" in after
    ]


@pytest.mark.deadline(180)
async def test_nothing_is_denied(broker_node: Node, tmp_path: Path) -> None:
    logins = import_logins(broker_node, broker_node.vhost, TOPOLOGY, (VENUE,), tmp_path)
    clock = SystemClock()
    async with simulated_venues(tmp_path) as simulator:
        chief = Coordinator(settings_of(logins["coordinator"], simulator, tmp_path / "c"), clock)
        settings = settings_of(logins[f"collector-{VENUE}"], simulator, tmp_path / "w")
        first, second = (Collector(settings, VENUE, VENUE, clock, index) for index in (0, 1))
        async with reading(logins["reader"]) as keys, running(chief), running(first):
            await eventually(lambda: chief.log.registry.seeded, 20)
            await eventually(lambda: first.desired.revision is not None, 20)
            await eventually(lambda: f"trades.{VENUE}.BTCUSDT" in keys[DATA], 20)
            await eventually(lambda: f"lossless.trades.{VENUE}" in keys[BATCHES], 20)
            await _commands(chief, logins["operator"])
            await eventually(lambda: f"trades.{VENUE}.SOLUSDT" in keys[DATA], 20)
            async with running(second):
                await eventually(lambda: held(second), 30)
                # One of the two asks the venue for both.
                passed_on = bulk_key(VENUE, first.egress)
                await eventually(lambda: passed_on in keys[BATCHES], 20)
                # The first lets go when it hears that the second has them.
                await eventually(lambda: not held(first) & held(second), 30)
    assert denials(broker_node, broker_node.vhost) == []
    await _denied(logins["monitor"])
    await eventually(lambda: denials(broker_node, broker_node.vhost))  # it can be seen


async def _commands(chief: Coordinator, login: Login) -> None:
    """Answers on the exchange, and at an address; who asked is known for certain."""
    command = {"command": "add_symbol", "symbol": SOL, "correlation_id": "c"}
    assert (await request(client(login), command, 20))["success"]
    applied = chief.log.registry.applied
    assert applied.get((login.user, "c")) and not applied.get((None, "c"))
    async with await client(login).connect("ask") as connection:
        channel = await connection.channel()
        replies = await own_queue(channel, "client", "replies", [])
        await replies.bind(MAILBOX, replies.name)
        exchange = await channel.get_exchange(COMMANDS, ensure=False)
        body = orjson.dumps({"command": "get_symbols"})
        await exchange.publish(aio_pika.Message(body, reply_to=replies.name), CONTROL_QUEUE)
        reply = await eventually(lambda: replies.get(no_ack=True, fail=False), 20)
        assert orjson.loads(reply.body)["data"]["symbols"] == [BTC, ETH, SOL]


async def _denied(login: Login) -> None:
    async with await client(login).connect("deny") as connection:
        channel = await connection.channel()
        with pytest.raises(ChannelAccessRefused):
            await own_queue(channel, "monitor", "test", [(DATA, "#")])


async def test_a_command_says_who_sends_it(broker_url: str) -> None:
    broker = Broker(broker_url, "a client", TOPOLOGY, declares=True)
    async with await broker.connect("listen") as connection:
        channel = await connection.channel()
        await broker.declare(channel)
        assert (await request(broker, {"command": "get_symbols"}, 1))["error"] == "timeout"
        queue = await channel.get_queue(CONTROL_QUEUE)
        senders: list[str | None] = []

        async def take(message: AbstractIncomingMessage) -> None:
            senders.append(message.user_id)

        await queue.consume(take, no_ack=True)  # it has one active consumer: no basic.get
        await eventually(lambda: senders == [broker.user] == ["guest"])
