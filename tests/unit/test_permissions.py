import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.roles import files
from shared.broker import _NOT_IN_NAMES
from shared.definitions import password_hash, policies, shared_names
from shared.kinds import CANDLE, COVERAGE, KINDS, TRADES
from shared.permissions import ANY, Role, roles
from shared.topology import (
    BATCHES,
    CONTROL_QUEUE,
    DEAD,
    MAILBOX,
    REGISTRY_STREAM,
    STATUS,
    batch_key,
    bulk_key,
    fact_key,
    heartbeat_key,
    holdings_key,
    markets_key,
    task_key,
    topology,
)
from shared.venues import ALIASES, VENUES

DATA = "futures_data"
TOPOLOGY = topology(DATA)
WIRE_NAMES = (*VENUES, *ALIASES)
ROLES = {role.name: role for role in roles(TOPOLOGY, WIRE_NAMES)}
COLLECTORS = [f"collector-{name}" for name in WIRE_NAMES]
SHARED = sorted(
    {exchange.name for exchange in TOPOLOGY.exchanges} | {queue.name for queue in TOPOLOGY.queues}
)
BTC = "BTC/USDT:USDT"
EVERY_ROLE = pytest.mark.parametrize("role", ROLES.values(), ids=lambda role: role.name)
WORDS = st.text(min_size=1, max_size=40)


def keys_of(exchange: str, worker: str, task: str) -> dict[str, list[str]]:
    """Every sort of key that a collector makes, by the exchange it goes to."""
    facts = [fact_key(kind, exchange, BTC) for kind in KINDS.values()]
    candle, coverage = fact_key(CANDLE, exchange, BTC, "1m"), fact_key(COVERAGE, exchange, "", "x")
    return {
        DATA: [*facts, candle, coverage, task_key(exchange, BTC, task)],
        BATCHES: [
            *(batch_key(kind, exchange) for kind in KINDS.values()),
            bulk_key(exchange, worker),
        ],
        STATUS: [
            heartbeat_key("collector", exchange, worker),
            markets_key(exchange, worker),
            holdings_key(exchange, worker),
        ],
    }


def publishes(role: Role, exchange: str, key: str) -> bool:
    """As RabbitMQ asks: `re:run`, which searches."""
    keys = next((topic.write for topic in role.topics if topic.exchange == exchange), ANY)
    return bool(re.search(role.write, exchange) and re.search(keys, key))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_what_is_generated_is_up_to_date(path: Path) -> None:
    """`python scripts/roles.py` writes it."""
    assert path.read_bytes() == files()[path]


@EVERY_ROLE
def test_no_role_reaches_queues_past_the_exchanges(role: Role) -> None:
    """The default exchange routes to any queue; nothing tells one key from another there."""
    for name in ("amq.default", "", "amq.direct", "amq.topic", "amq.fanout"):
        assert not re.search(role.write, name) and not re.search(role.configure, name)


@EVERY_ROLE
def test_no_role_configures_what_is_shared(role: Role) -> None:
    assert not [name for name in (*SHARED, "amq.gen-x") if re.search(role.configure, name)]


@EVERY_ROLE
def test_nobody_binds_a_shared_queue_or_publishes_dead_letters(role: Role) -> None:
    names = (CONTROL_QUEUE, REGISTRY_STREAM, DEAD)
    assert not [name for name in names if re.search(role.write, name)]


@EVERY_ROLE
def test_each_topic_exchange_of_a_role_says_which_keys(role: Role) -> None:
    """Where RabbitMQ finds no entry it allows every key."""
    topics = {exchange.name for exchange in TOPOLOGY.exchanges if exchange.type == "topic"}
    allowed = {n for n in topics if re.search(role.write, n) or re.search(role.read, n)}
    assert {topic.exchange for topic in role.topics} == allowed
    for topic in role.topics:
        assert (topic.write == "^$") == (not re.search(role.write, topic.exchange))
        assert (topic.read == "^$") == (not re.search(role.read, topic.exchange))


@given(worker=WORDS, task=WORDS)
def test_a_collector_publishes_all_its_keys_and_no_others(worker: str, task: str) -> None:
    for name, exchange in zip(COLLECTORS, WIRE_NAMES, strict=True):
        for target, keys in keys_of(exchange, worker, task).items():
            for key in keys:
                allowed = [other for other in COLLECTORS if publishes(ROLES[other], target, key)]
                assert allowed == [name]


@pytest.mark.parametrize("name", COLLECTORS)
@pytest.mark.parametrize(
    ("exchange", "key"),
    [
        (STATUS, heartbeat_key("coordinator", None, "c@h")),
        (STATUS, heartbeat_key("agent", None, "a@h")),
        (STATUS, "#"),
        (DATA, "#"),
        (DATA, ""),
        (MAILBOX, "futures_agent.a"),
        ("futures_commands", CONTROL_QUEUE),
        ("futures_registry", REGISTRY_STREAM),
        ("futures_symbols", ""),
        ("futures_collector_responses", "control.response.add_symbol"),
    ],
)
def test_a_collector_speaks_for_nobody_else(name: str, exchange: str, key: str) -> None:
    assert not publishes(ROLES[name], exchange, key)


@given(owner=st.text(max_size=60))
def test_a_role_may_name_its_own_queues_as_the_fleet_does(owner: str) -> None:
    for word, name in {
        "collector": "collector-gate",
        "coordinator": "coordinator",
        "agent": "agent",
        "client": "operator",
        "reader": "reader",
    }.items():
        queue = f"futures_{word}.{_NOT_IN_NAMES.sub('_', owner)}.0123abcd"
        role = ROLES[name]
        assert all(re.search(e, queue) for e in (role.configure, role.write, role.read))


def test_own_names_are_of_one_role_alone() -> None:
    """But for collectors, and for what reads as a client does."""
    for word in ("coordinator", "agent", "reader", "monitor"):
        mine = [n for n in ROLES if re.search(ROLES[n].configure, f"futures_{word}.a.0")]
        assert mine == [word]
    for name in ("xfutures_agent.a", "futures_agent", "futures_agent.", "futures_agent.a\nb"):
        assert not [role for role in ROLES.values() if re.search(role.configure, name)]


def test_the_data_exchange_may_have_any_name() -> None:
    reader = {role.name: role for role in roles(topology("my.data"), ["gateio"])}["reader"]
    assert re.search(reader.read, "my.data") and not re.search(reader.read, "my-data")
    assert {topic.exchange for topic in reader.topics} == {"my.data", BATCHES}


def test_a_password_is_hashed_as_rabbitmq_documents_it() -> None:
    expected = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    assert password_hash("test12", bytes.fromhex("908DC60A")) == expected


def test_every_queue_has_a_policy_and_a_readers_queue_its_own() -> None:
    def policy_of(queue: str) -> str:
        matching = [p for p in policies() if re.search(p["pattern"], queue)]
        return str(max(matching, key=lambda policy: policy["priority"])["name"])

    assert policy_of("futures_reader.a.0") == "readers"
    assert policy_of("futures_readers") == policy_of("anything") == "bounded"
    for policy in policies():
        assert policy["definition"]["max-length-bytes"] > 0


def test_definitions_hold_the_whole_topology() -> None:
    names = shared_names(TOPOLOGY, "v")
    assert [e["name"] for e in names["exchanges"]] == [e.name for e in TOPOLOGY.exchanges]
    assert {q["name"]: q["arguments"] for q in names["queues"]} == {
        queue.name: queue.arguments for queue in TOPOLOGY.queues
    }
    assert len(names["bindings"]) == sum(len(queue.bindings) for queue in TOPOLOGY.queues)
    parts = ("exchanges", "queues", "bindings", "policies")
    assert {row["vhost"] for part in parts for row in names[part]} == {"v"}


def test_trades_may_not_go_out_as_a_class_that_they_are_not() -> None:
    assert publishes(ROLES["collector-gate"], BATCHES, batch_key(TRADES, "gate"))
    assert not publishes(ROLES["collector-gate"], BATCHES, "latest.trades.gate")
