"""Every role × (configure, write, read) × every object, on a real broker. What is expected stands
here in words of its own, not as the expressions that are tested."""

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiormq
import pytest
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed

from cli.broker_node import Node
from shared.broker import Broker
from shared.kinds import CANDLE, COVERAGE, KINDS
from shared.topology import (
    BATCHES,
    COMMANDS,
    CONTROL_QUEUE,
    DEAD,
    MAILBOX,
    REGISTRY_EXCHANGE,
    REGISTRY_STREAM,
    REPLIES,
    REQUESTS,
    RESPONSES,
    STATUS,
    SYMBOLS,
    batch_key,
    bulk_key,
    fact_key,
    heartbeat_key,
    holdings_key,
    markets_key,
    request_queue,
    task_key,
    topology,
)
from tests.brokers import Vhosts
from tests.logins import Login, import_logins

DATA = "futures_data"
ONE, OTHER = "binance", "gateio"  # on the wire
TOPOLOGY = topology(DATA).with_requests((ONE, OTHER))
BTC = "BTC/USDT:USDT"
WORKER = "host.a"
#: Words of own queues, those of roles to come among them.
WORDS = ("agent", "client", "collector", "coordinator", "gateway", "monitor", "reader", "store")
PREDEFINED = ("", "amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.topic")

Keys = set[tuple[str, str]]  # exchange and routing key


@dataclass(frozen=True, slots=True)
class Expected:
    """What a role is for: all else is refused."""

    own: tuple[str, ...]
    publishes: Keys
    binds: Keys
    consumes: tuple[str, ...] = ()


def facts(exchange: str) -> Keys:
    kinds = [fact_key(kind, exchange, BTC) for kind in KINDS.values()]
    others = (
        fact_key(CANDLE, exchange, BTC, "1m"),
        fact_key(COVERAGE, exchange, "", "trades"),
        task_key(exchange, BTC, "t.1"),
    )
    return {(DATA, key) for key in (*kinds, *others)}


def rows(exchange: str) -> Keys:
    return {(BATCHES, batch_key(kind, exchange)) for kind in KINDS.values()}


def bulk(exchange: str) -> Keys:
    return {(BATCHES, bulk_key(exchange, WORKER)), (BATCHES, f"bulk.{exchange}.#")}


def holdings(exchange: str) -> Keys:
    return {
        (STATUS, holdings_key(exchange, WORKER)),
        (STATUS, f"holdings.collector.{exchange}.#"),
    }


def told(exchange: str) -> Keys:
    worker = f"{exchange}-0@{WORKER}"
    beat = heartbeat_key("collector", exchange, worker)
    return {(STATUS, beat), (STATUS, markets_key(exchange, worker))} | holdings(exchange)


ANSWERS: Keys = {(RESPONSES, f"control.response.{name}") for name in ("add_symbol", "invalid")}
COMMAND = (COMMANDS, CONTROL_QUEUE)
RECORD = (REGISTRY_EXCHANGE, REGISTRY_STREAM)
ANNOUNCEMENT = (SYMBOLS, "")
MAIL = (MAILBOX, "futures_agent.a.01234567")
COORDINATORS_BEAT = (STATUS, heartbeat_key("coordinator", None, "c@h"))
AGENTS_BEAT = (STATUS, heartbeat_key("agent", None, "a@h"))
#: Keys that nobody has a reason to publish; some are patterns that readers bind.
STRANGE: Keys = {
    *((DATA, key) for key in ("", "#", "*.*.*", "trades.#", "trades", f"trades.{ONE}")),
    *((DATA, key) for key in (f"trades.{ONE}.A.B.C", f"quality.{ONE}.A", f"TRADES.{ONE}.A")),
    *((DATA, key) for key in (f"trades.{ONE}x.A", f"xtrades.{ONE}.A")),
    *((DATA, key) for key in ("trades.gate.A", f"trades.#.{ONE}.A")),
    *((BATCHES, key) for key in ("#", "lossless.#", f"latest.trades.{ONE}", f"bulk.{ONE}")),
    *((BATCHES, key) for key in (f"lossless.trades.{ONE}.x", "bulk.#", f"bulk.{ONE}.a.b")),
    *((STATUS, key) for key in ("#", "heartbeat.#", "heartbeat.collector.#", "markets.#")),
    *((STATUS, key) for key in ("heartbeat.collector.-.w", f"heartbeat.collector.{ONE}.a.b")),
    *((RESPONSES, key) for key in ("#", "control.#", "control.response.*", "control.response.")),
    *((RESPONSES, key) for key in ("control.response.A", "control.x")),
    (MAILBOX, "x"),
    (COMMANDS, "x"),
    *((REQUESTS, name) for name in (ONE, OTHER, "x")),
    (REPLIES, "futures_client.a.01234567"),
    (DEAD, ""),
    *((name, key) for name in PREDEFINED for key in (CONTROL_QUEUE, REGISTRY_STREAM)),
}
UNIVERSE: Keys = {
    *(key for of in (facts, rows, bulk, told) for name in (ONE, OTHER) for key in of(name)),
    *ANSWERS,
    *(COMMAND, RECORD, ANNOUNCEMENT, MAIL, COORDINATORS_BEAT, AGENTS_BEAT),
    *STRANGE,
}


def on(*exchanges: str) -> Keys:
    """Whatever the key is."""
    return {pair for pair in UNIVERSE if pair[0] in exchanges}


def collector(exchange: str) -> Expected:
    return Expected(
        own=("collector",),
        publishes=(
            facts(exchange) | rows(exchange) | bulk(exchange) | told(exchange) | on(REPLIES)
        ),
        binds=holdings(exchange) | bulk(exchange) | on(SYMBOLS, MAILBOX),
        consumes=(request_queue(exchange).name,),
    )


EXPECTED = {
    "coordinator": Expected(
        own=("coordinator",),
        publishes=ANSWERS | {COORDINATORS_BEAT} | on(SYMBOLS, REGISTRY_EXCHANGE, MAILBOX, COMMANDS),
        binds=on(STATUS, MAILBOX),
        consumes=(CONTROL_QUEUE, REGISTRY_STREAM),
    ),
    f"collector-{ONE}": collector(ONE),
    f"collector-{OTHER}": collector(OTHER),
    "agent": Expected(own=("agent",), publishes={AGENTS_BEAT}, binds=on(MAILBOX)),
    "operator": Expected(
        own=("client",),
        publishes=on(COMMANDS, REQUESTS),
        binds=on(DATA, RESPONSES, STATUS, MAILBOX, REPLIES),
    ),
    "reader": Expected(own=("reader",), publishes=set(), binds=on(DATA, BATCHES)),
    "monitor": Expected(own=("monitor", "client"), publishes=set(), binds=on(STATUS)),
}


class Attempts:
    """Tries things on channels of one connection, and keeps what did not go as expected."""

    def __init__(self, connection: aiormq.abc.AbstractConnection) -> None:
        self.surprises: list[str] = []
        self.counted: Counter[str] = Counter()
        self._connection = connection
        self._channel: aiormq.abc.AbstractChannel | None = None

    async def channel(self) -> aiormq.abc.AbstractChannel:
        """A refusal costs the channel: then the next one."""
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._connection.channel(publisher_confirms=True)
            await self._channel.basic_qos(prefetch_count=1)  # streams ask for it
        return self._channel

    async def expect(self, allowed: bool, verb: str, *what: Any) -> None:
        channel = await self.channel()
        try:
            await getattr(self, f"_{verb}")(channel, *what)
            done = True
        except ChannelAccessRefused:
            done = False
            self._channel = None
        self.counted["allowed" if done else "refused"] += 1
        if done != allowed:
            self.surprises.append(f"{verb} {what}: {'allowed' if done else 'refused'}")

    @staticmethod
    async def _declare_queue(
        channel: aiormq.abc.AbstractChannel, name: str, arguments: Any = None
    ) -> None:
        await channel.queue_declare(name, exclusive=True, arguments=arguments)

    @staticmethod
    async def _declare_shared_queue(channel: aiormq.abc.AbstractChannel, place: int) -> None:
        queue = TOPOLOGY.queues[place]
        await channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)

    @staticmethod
    async def _look_for_queue(channel: aiormq.abc.AbstractChannel, name: str) -> None:
        await channel.queue_declare(name, passive=True)

    @staticmethod
    async def _declare_exchange(channel: aiormq.abc.AbstractChannel, name: str, type_: str) -> None:
        await channel.exchange_declare(name, exchange_type=type_, durable=True)

    @staticmethod
    async def _look_for_exchange(channel: aiormq.abc.AbstractChannel, name: str) -> None:
        await channel.exchange_declare(name, passive=True)

    @staticmethod
    async def _delete_exchange(channel: aiormq.abc.AbstractChannel, name: str) -> None:
        await channel.exchange_delete(name)

    @staticmethod
    async def _delete_queue(channel: aiormq.abc.AbstractChannel, name: str) -> None:
        await channel.queue_delete(name)

    @staticmethod
    async def _purge(channel: aiormq.abc.AbstractChannel, name: str) -> None:
        await channel.queue_purge(name)

    @staticmethod
    async def _publish(channel: aiormq.abc.AbstractChannel, exchange: str, key: str) -> None:
        await channel.basic_publish(b"{}", exchange=exchange, routing_key=key, timeout=10)

    @staticmethod
    async def _bind(
        channel: aiormq.abc.AbstractChannel, queue: str, exchange: str, key: str
    ) -> None:
        await channel.queue_bind(queue, exchange, key)

    @staticmethod
    async def _consume(channel: aiormq.abc.AbstractChannel, queue: str) -> None:
        async def take(_message: DeliveredMessage) -> None:
            """Unacknowledged, it goes back."""

        done = await channel.basic_consume(queue, take, no_ack=False)
        await channel.basic_cancel(done.consumer_tag or "")


@pytest.fixture(scope="module")
def logins(
    spare_node: tuple[Node, Vhosts], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Login]]:
    node, vhosts = spare_node
    vhost = vhosts.take()
    yield import_logins(node, vhost, TOPOLOGY, (ONE, OTHER), tmp_path_factory.mktemp("logins"))
    vhosts.give_back(vhost)


def broker_of(login: Login) -> Broker:
    return Broker(login.url, "matrix", TOPOLOGY, declares=False)


def test_each_role_is_expected_something(logins: dict[str, Login]) -> None:
    assert logins.keys() == EXPECTED.keys()


@pytest.mark.parametrize("role", EXPECTED)
async def test_a_role_may_do_what_it_is_for_and_nothing_else(
    logins: dict[str, Login], role: str
) -> None:
    expected = EXPECTED[role]
    connection = await broker_of(logins[role]).connect_raw("matrix")
    try:
        attempts = Attempts(connection)
        own = f"futures_{expected.own[0]}.matrix.01234567"
        await (await attempts.channel()).queue_declare(own, exclusive=True)
        await _configures(attempts, expected)
        await _writes(attempts, expected)
        await _reads(attempts, expected, own)
    finally:
        await connection.close()
    assert not attempts.surprises
    assert attempts.counted["allowed"] > 10 and attempts.counted["refused"] > 100


async def _configures(attempts: Attempts, expected: Expected) -> None:
    """Own queues alone. What is there may be looked at by all: `assert` mode lives by it."""
    for word in WORDS:
        await attempts.expect(word in expected.own, "declare_queue", f"futures_{word}.x.0")
        dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": CONTROL_QUEUE}
        await attempts.expect(False, "declare_queue", f"futures_{word}.dead.0", dead)
    mine = expected.own[0]
    for name in ("", "mine", f"futures_{mine}", f"futures_{mine}.", f"xfutures_{mine}.x.0"):
        await attempts.expect(False, "declare_queue", name)
    for exchange in TOPOLOGY.exchanges:
        await attempts.expect(False, "declare_exchange", exchange.name, exchange.type)
        await attempts.expect(False, "delete_exchange", exchange.name)
        await attempts.expect(True, "look_for_exchange", exchange.name)
    await attempts.expect(False, "declare_exchange", "mine", "topic")
    for place, queue in enumerate(TOPOLOGY.queues):
        await attempts.expect(False, "declare_shared_queue", place)
        await attempts.expect(False, "delete_queue", queue.name)
        await attempts.expect(True, "look_for_queue", queue.name)


async def _writes(attempts: Attempts, expected: Expected) -> None:
    """Keys that it is for, also by way of dead letters; no shared queue is bound anew."""
    for exchange, key in sorted(UNIVERSE):
        allowed = (exchange, key) in expected.publishes
        await attempts.expect(allowed, "publish", exchange, key)
    writable = {exchange for exchange, _ in expected.publishes}
    for place, target in enumerate(TOPOLOGY.exchanges):
        name = f"futures_{expected.own[0]}.letters.{place}"
        dead = {"x-dead-letter-exchange": target.name}
        await attempts.expect(target.name in writable, "declare_queue", name, dead)
    readable = sorted(expected.binds)
    for queue in TOPOLOGY.queues:
        await attempts.expect(False, "bind", queue.name, *readable[0])


async def _reads(attempts: Attempts, expected: Expected, own: str) -> None:
    for exchange, key in sorted(UNIVERSE):
        await attempts.expect((exchange, key) in expected.binds, "bind", own, exchange, key)
    await attempts.expect(True, "consume", own)
    for queue in TOPOLOGY.queues:
        allowed = queue.name in expected.consumes
        await attempts.expect(allowed, "consume", queue.name)
        if not allowed:
            await attempts.expect(False, "purge", queue.name)


@pytest.mark.parametrize(("role", "taken"), [("operator", True), ("coordinator", False)])
async def test_nobody_sends_in_the_name_of_another(
    logins: dict[str, Login], role: str, taken: bool
) -> None:
    """What `user_id` says, the broker has checked."""
    connection = await broker_of(logins["operator"]).connect_raw("matrix")
    try:
        channel = await connection.channel(publisher_confirms=True)
        properties = aiormq.spec.Basic.Properties(user_id=logins[role].user)
        with nullcontext() if taken else pytest.raises(ChannelPreconditionFailed):
            await channel.basic_publish(
                b"{}", exchange=COMMANDS, routing_key=CONTROL_QUEUE, properties=properties
            )
    finally:
        await connection.close()


async def test_the_topology_may_be_declared_over_what_definitions_made(
    broker_node: Node, tmp_path: Path
) -> None:
    """Arguments that differed would be refused: a broker may be used in both modes."""
    import_logins(broker_node, broker_node.vhost, TOPOLOGY, (ONE,), tmp_path)
    broker = Broker(broker_node.amqp_url, "administrator", TOPOLOGY, declares=True)
    async with await broker.connect("declare") as connection:
        await broker.declare(await connection.channel())


async def test_a_readers_queue_is_bounded_though_it_says_nothing_of_it(
    broker_node: Node, tmp_path: Path
) -> None:
    login = import_logins(broker_node, broker_node.vhost, TOPOLOGY, (ONE,), tmp_path)["reader"]
    async with await broker_of(login).connect("read") as connection:
        channel = await connection.channel()
        await channel.declare_queue("futures_reader.careless.0", durable=True)
        listed = broker_node.ctl("list_queues", "-p", broker_node.vhost, "name", "policy")
    policies = dict(line.split("\t") for line in listed.splitlines())
    assert policies["futures_reader.careless.0"] == "readers"
    assert policies[DEAD] == "bounded"
