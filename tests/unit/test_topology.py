import pytest

from shared.kinds import CANDLE, COVERAGE, FUTURES, KINDS, LATEST_TASK, TASK, TRADES
from shared.topology import (
    CONTROL_QUEUE,
    Queue,
    batch_key,
    fact_key,
    heartbeat_key,
    task_key,
    topology,
)

TOPOLOGY = topology("futures_data")


@pytest.mark.parametrize("queue", TOPOLOGY.queues, ids=lambda queue: queue.name)
def test_every_queue_has_a_bound_and_says_what_happens_at_it(queue: Queue) -> None:
    assert queue.arguments["x-max-length-bytes"] > 0
    assert queue.arguments["x-queue-type"] == "stream" or queue.arguments["x-overflow"]


def test_every_binding_is_to_an_exchange_of_the_topology() -> None:
    names = {exchange.name for exchange in TOPOLOGY.exchanges}
    assert {exchange for queue in TOPOLOGY.queues for exchange, _ in queue.bindings} <= names
    dead = {queue.arguments.get("x-dead-letter-exchange") for queue in TOPOLOGY.queues}
    assert dead - {None} <= names


def test_one_coordinator_at_a_time_gets_commands_and_poison_ends_somewhere() -> None:
    control = next(queue for queue in TOPOLOGY.queues if queue.name == CONTROL_QUEUE)
    assert control.arguments["x-single-active-consumer"]
    assert control.arguments["x-delivery-limit"] == 5


def test_keys_are_what_readers_bind_to() -> None:
    assert fact_key(FUTURES, "binance", "BTC/USDT:USDT") == "futures.binance.BTCUSDT"
    assert batch_key(TRADES, "gateio") == "lossless.trades.gateio"
    assert (
        heartbeat_key("collector", "gate", "gate-0@a.b") == "heartbeat.collector.gate.gate-0@a%2Eb"
    )
    assert heartbeat_key("coordinator", None, "c@h") == "heartbeat.coordinator.-.c@h"


def test_the_table_of_kinds() -> None:
    lossless = {label for label, kind in KINDS.items() if kind.lossless}
    facts = {"trades", "liquidation", "ohlcv", "funding", "gap", "coverage"}
    assert lossless == facts | {"task"}
    assert {label for label, kind in KINDS.items() if kind.keyed} == facts | {"futures"}
    assert {label for label, kind in KINDS.items() if not kind.batched} == {"task", "task.latest"}


def test_keys_with_a_last_word_of_their_own() -> None:
    key = fact_key(CANDLE, "binance", "BTC/USDT:USDT", "1m")
    assert key == "ohlcv.binance.BTCUSDT.1m"
    assert fact_key(COVERAGE, "gate.io", "", "trades") == "coverage.gate%2Eio.trades"
    for kind in (TASK, LATEST_TASK):
        key = fact_key(kind, "gate.io", "BTC/USDT:USDT", "a.task:1")
        assert key == task_key("gate.io", "BTC/USDT:USDT", "a.task:1")
