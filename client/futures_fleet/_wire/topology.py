# Copied from shared/topology.py by scripts/wire.py: change that one.
"""Every name on the broker, as data; the one place where a routing key is made.

`shared.broker.declare` walks a Topology; nothing else in the project declares an exchange or a
durable queue.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from futures_fleet._wire.kinds import Kind
from futures_fleet._wire.symbols import encode_word, symbol_key

MIB = 1024 * 1024
DAY_MS = 24 * 60 * 60 * 1000

BATCHES = "futures_batches"
COMMANDS = "futures_commands"
RESPONSES = "futures_collector_responses"
SYMBOLS = "futures_symbols"
REGISTRY_EXCHANGE = "futures_registry"
STATUS = "futures_status"
MAILBOX = "futures_mailbox"
REQUESTS = "futures_requests"
REPLIES = "futures_replies"
DEAD = "futures_dead"

CONTROL_QUEUE = "futures_collector_control"
REGISTRY_STREAM = "futures_collector_registry"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable AMQP exchange."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue, bounded in bytes, and its bindings as (exchange, routing key)."""

    name: str
    arguments: dict[str, Any]
    bindings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Topology:
    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...] = field(default=())

    def with_requests(self, exchanges: Sequence[str]) -> "Topology":
        """Also the queues of requests to these venues, by their names on the wire."""
        return replace(self, queues=(*self.queues, *map(request_queue, exchanges)))


def topology(data_exchange: str) -> Topology:
    """The whole topology; `data_exchange` is the one name that users choose."""
    return Topology(
        exchanges=(
            Exchange(data_exchange, "topic"),
            Exchange(BATCHES, "topic"),
            Exchange(COMMANDS, "direct"),
            Exchange(RESPONSES, "topic"),
            Exchange(SYMBOLS, "fanout"),
            Exchange(REGISTRY_EXCHANGE, "direct"),
            Exchange(STATUS, "topic"),
            Exchange(MAILBOX, "direct"),
            Exchange(REQUESTS, "direct"),
            Exchange(REPLIES, "direct"),
            Exchange(DEAD, "fanout"),
        ),
        queues=(
            Queue(
                CONTROL_QUEUE,
                {
                    "x-queue-type": "quorum",
                    "x-single-active-consumer": True,
                    "x-delivery-limit": 5,
                    "x-dead-letter-exchange": DEAD,
                    "x-max-length-bytes": 64 * MIB,
                    "x-overflow": "reject-publish",
                },
                ((COMMANDS, CONTROL_QUEUE),),
            ),
            Queue(
                REGISTRY_STREAM,
                {
                    "x-queue-type": "stream",
                    "x-max-length-bytes": 100 * MIB,
                    "x-stream-max-segment-size-bytes": MIB,
                },
                ((REGISTRY_EXCHANGE, REGISTRY_STREAM),),
            ),
            Queue(
                DEAD,
                {
                    "x-queue-type": "classic",
                    "x-max-length-bytes": 64 * MIB,
                    "x-overflow": "drop-head",
                    "x-message-ttl": 7 * DAY_MS,
                },
                ((DEAD, ""),),
            ),
        ),
    )


def request_queue(exchange: str) -> Queue:
    """Where requests to one venue wait for its collectors, which declare it. A request lives for as
    long as whoever asks waits; one that finds no room is given back to him."""
    key = encode_word(exchange)
    return Queue(
        f"{REQUESTS}.{key}",
        {
            "x-queue-type": "classic",
            "x-max-length-bytes": 16 * MIB,
            "x-overflow": "reject-publish",
        },
        ((REQUESTS, key),),
    )


def fact_key(kind: Kind, exchange: str, symbol: str, tail: str = "") -> str:
    """Where one fact goes on the data exchange: `trades.binance.BTCUSDT`,
    `ohlcv.binance.BTCUSDT.1m`, `coverage.binance.trades`."""
    words = [kind.name, encode_word(exchange)]
    if symbol:
        words.append(symbol_key(symbol))
    if tail:
        words.append(encode_word(tail))
    return ".".join(words)


def batch_key(kind: Kind, exchange: str) -> str:
    """Where a batch goes on `futures_batches`: `lossless.trades.binance`."""
    return f"{kind.delivery.value}.{kind.name}.{encode_word(exchange)}"


def response_key(command: str) -> str:
    return f"control.response.{command}"


def heartbeat_key(role: str, exchange: str | None, worker_id: str) -> str:
    return f"heartbeat.{role}.{encode_word(exchange or '-')}.{encode_word(worker_id)}"


def holdings_key(exchange: str, worker_id: str) -> str:
    """Where one of several workers of a venue tells the others what it has."""
    return f"holdings.collector.{encode_word(exchange)}.{encode_word(worker_id)}"


def holdings_pattern(exchange: str) -> str:
    """The binding for what all workers of a venue tell each other."""
    return f"holdings.collector.{encode_word(exchange)}.*"


def bulk_key(exchange: str, egress: str) -> str:
    """Where, on `futures_batches`, the worker that asks for all of one egress passes answers on."""
    return f"bulk.{encode_word(exchange)}.{encode_word(egress)}"


def task_key(exchange: str, symbol: str, task_id: str) -> str:
    """Where the results of a collection task go on the data exchange."""
    return f"task.{encode_word(exchange)}.{symbol_key(symbol)}.{encode_word(task_id)}"


def markets_key(exchange: str, worker_id: str) -> str:
    """Where a collector tells which symbols its venue lists."""
    return f"markets.collector.{encode_word(exchange)}.{encode_word(worker_id)}"
