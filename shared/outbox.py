"""The way out of a worker: one fact in, its single message and its row in a batch out.

Lossless facts go out in order, each of them. Latest facts wait in one slot a routing key, so that
a slow broker gets the newest value and not a queue of old ones.
"""

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from typing import Any

from shared import frames
from shared.batch import MAX_AGE_S, Batch, encode_row
from shared.broker import Broker
from shared.clock import Clock
from shared.fact import Fact
from shared.frames import FramePublisher
from shared.kinds import FUTURES
from shared.ledger import Ledger
from shared.messages import SCHEMA
from shared.plain import PlainPublisher
from shared.publisher import Bounds, Outcome, Publication, Publisher, Settled
from shared.sequence import Sequences
from shared.topology import BATCHES, batch_key, fact_key

#: How long a latest value may wait for a newer one; what goes out of a slot is the newest.
FLUSH_S = 0.005
_BATCH = "batch"
_MAX_ID_BYTES = 255

log = logging.getLogger("rabbitmq")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who publishes: the venue's wire name, the worker's stable id and its run."""

    exchange: str
    worker: str
    epoch: str


class Outbox:
    """Owns two publishers, one for lossless and one for latest kinds, and the batches of both."""

    def __init__(
        self,
        broker: Broker,
        origin: Origin,
        sequences: Sequences,
        clock: Clock,
        *,
        batches: bool = True,
    ) -> None:
        self.ledger = Ledger()
        self._broker = broker
        self._data_exchange = broker.topology.exchanges[0].name
        self._origin = origin
        self._sequences = sequences
        self._clock = clock
        self._batching = batches
        self._batches: dict[str, Batch] = {}
        self._slots: dict[str, Fact] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._filled = asyncio.Event()  # some slot may hold a fact
        self._overflowing: set[bool] = set()  # by `lossless`: which publisher is full
        self._lossless = _make_publisher(broker, "lossless", self._on_settled)
        self._latest = _make_publisher(broker, "latest", self._on_settled)

    @property
    def connected(self) -> bool:
        return self._lossless.connected and self._latest.connected

    @property
    def pending(self) -> int:
        return self._lossless.pending + self._latest.pending + len(self._slots)

    def put(self, fact: Fact) -> None:
        """Hand over a fact. Never waits, never raises; what can not go out is counted."""
        counts = self.ledger[fact.kind.name]
        counts.received += 1
        if fact.kind.lossless:
            self._send(self._lossless, fact)
        elif fact.kind is FUTURES and not self._latest.connected:
            counts.dropped["no_broker"] += 1
        else:
            key = self._routing_key(fact)
            if key in self._slots:
                counts.conflated += 1
            self._slots[key] = fact
            self._filled.set()

    async def run(self) -> None:
        """Publish, for ever, once somebody has declared the topology on this Broker.

        Raises ConfigurationError for refused credentials.
        """
        # Publishing to an exchange that is not there yet would cost the connection.
        await self._broker.declared.wait()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._lossless.run())
            tasks.create_task(self._latest.run())
            tasks.create_task(self._flush_slots_forever())
            if self._batching:
                tasks.create_task(self._flush_batches_forever())

    async def drain(self, deadline_s: float) -> bool:
        """Send what is left and wait for the confirms; False where the deadline passed first."""
        end = self._clock.monotonic() + deadline_s
        self._flush_slots()
        self._flush_batches()
        drained = True
        for publisher in (self._lossless, self._latest):
            left = max(0.0, end - self._clock.monotonic())
            drained = await publisher.drain(left) and drained
        return drained and not self._slots

    async def _flush_slots_forever(self) -> None:
        while True:
            await self._filled.wait()
            self._flush_slots()
            if not self._slots:
                self._filled.clear()
            await asyncio.sleep(FLUSH_S)

    def _flush_slots(self) -> None:
        if self._slots and self._latest.room:
            slots, self._slots = self._slots, {}
            for fact in slots.values():
                self._send(self._latest, fact)

    async def _flush_batches_forever(self) -> None:
        while True:
            await asyncio.sleep(MAX_AGE_S)
            self._flush_batches()

    def _flush_batches(self) -> None:
        for key in list(self._batches):
            self._send_batch(key)

    def _send(self, publisher: Publisher, fact: Fact) -> None:
        key = self._routing_key(fact)
        headers = self._headers(self._sequences.next_headers(key), fact.received_at)
        message = Publication(
            exchange=self._data_exchange,
            routing_key=key,
            kind=fact.kind,
            body=fact.body,
            message_id=self._message_id(fact, key, headers["seq"]),
            headers=headers,
            timestamp_ms=fact.received_at,
        )
        accepted = self._offer(publisher, message)
        if accepted and self._batching:
            self._add_row(fact, headers)

    def _add_row(self, fact: Fact, headers: dict[str, Any]) -> None:
        key = batch_key(fact.kind, self._origin.exchange)
        batch = self._batches.setdefault(key, Batch(fact.kind))
        batch.add(encode_row(fact, headers))
        if batch.full:
            self._send_batch(key)

    def _send_batch(self, key: str) -> None:
        batch = self._batches.pop(key)
        origin, now = self._origin, self._clock.now_ms()
        headers = self._headers(self._sequences.next_headers(key), now)
        message = Publication(
            exchange=BATCHES,
            routing_key=key,
            kind=batch.kind,
            body=batch.encode(origin.exchange, origin.worker, origin.epoch),
            message_id=_bounded_id(f"{origin.worker}:{origin.epoch}:{key}:{headers['seq']}"),
            headers=headers,
            timestamp_ms=now,
            rows=len(batch.rows),
        )
        self.ledger[_counted_as(message)].received += message.rows
        self._offer(self._lossless if batch.kind.lossless else self._latest, message)

    def _offer(self, publisher: Publisher, message: Publication) -> bool:
        accepted = publisher.offer(message)
        if not accepted:
            self.ledger[_counted_as(message)].dropped["overflow"] += message.rows
        lossless = message.kind.lossless
        if not accepted and lossless not in self._overflowing:
            self._overflowing.add(lossless)
            log.error("The queue to the broker is full: facts are dropped and counted")
        elif accepted:
            self._overflowing.discard(lossless)
        return accepted

    def _on_settled(self, message: Publication, outcome: Outcome) -> None:
        counts = self.ledger[_counted_as(message)]
        if outcome is Outcome.CONFIRMED:
            counts.confirmed += message.rows
            if message.kind is FUTURES and message.exchange != BATCHES:
                log.info("Published to %s", message.routing_key)
        else:
            counts.dropped[outcome.value] += message.rows

    def _headers(self, sequence: dict[str, Any], received_at: int) -> dict[str, Any]:
        return sequence | {
            "schema": SCHEMA,
            "worker": self._origin.worker,
            "epoch": self._origin.epoch,
            "received_at": received_at,
        }

    def _message_id(self, fact: Fact, routing_key: str, seq: int) -> str:
        origin = self._origin
        if fact.kind.keyed:
            return _bounded_id(f"{origin.exchange}:{fact.symbol}:{fact.kind.name}:{fact.key}")
        return _bounded_id(f"{origin.worker}:{origin.epoch}:{routing_key}:{seq}")

    def _routing_key(self, fact: Fact) -> str:
        cached = self._keys.get((fact.kind.name, fact.symbol))
        if cached is None:
            cached = fact_key(fact.kind, self._origin.exchange, fact.symbol)
            self._keys[fact.kind.name, fact.symbol] = cached
        return cached


def _make_publisher(broker: Broker, purpose: str, settled: Settled) -> Publisher:
    if frames.usable():
        return FramePublisher(broker, purpose, Bounds(), settled)
    log.warning("This aiormq is not known to the fast publisher; publishing the slow way")
    return PlainPublisher(broker, purpose, Bounds(), settled)


def _counted_as(message: Publication) -> str:
    """Batches are counted apart: their rows are facts that were counted once already."""
    return f"{message.kind.name}.{_BATCH}" if message.exchange == BATCHES else message.kind.name


def _bounded_id(text: str) -> str:
    """AMQP's short strings end at 255 bytes; beyond that a digest stands for the text."""
    encoded = text.encode()
    if len(encoded) <= _MAX_ID_BYTES:
        return text
    return hashlib.blake2b(encoded, digest_size=32).hexdigest()
