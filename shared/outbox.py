"""The way out of a worker: one fact in, its single message and its row in a batch out.

Lossless facts go out in order, each of them, in the custody of `shared.custody`. Latest facts go
out at once where there is room; else they wait in one slot a routing key, so that a slow broker
gets the newest value and not a queue of old ones.
"""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from shared import frames
from shared.batch import MAX_AGE_S, Batch, encode_row
from shared.broker import Broker
from shared.clock import Clock
from shared.custody import Custody, OnDropped, SpoolPlace
from shared.fact import Fact
from shared.frames import FramePublisher
from shared.kinds import FUTURES, Kind
from shared.ledger import Census, Ledger
from shared.messages import SCHEMA
from shared.plain import PlainPublisher
from shared.publisher import MIB, Bounds, Outcome, Publication, Publisher, Settled
from shared.repeats import Repeats
from shared.sequence import Sequences
from shared.slots import Slots
from shared.topology import BATCHES, batch_key, fact_key

#: How often slots are looked at while one holds a fact.
FLUSH_S = 0.005
_REPEAT_LOOK_S = 1.0
#: What lossless messages may take of memory while they wait, where a disk is next.
_BEFORE_DISK = Bounds(queued_bytes=8 * MIB)
#: Latest values are conflated as soon as this much is unconfirmed. RabbitMQ 3.10 confirms late, by
#: more than half a second, while a slow reader's queue pages to disk.
_BEFORE_CONFLATION = Bounds(unconfirmed=10_000, unconfirmed_bytes=16 * MIB)
_MAX_ID_BYTES = 255

log = logging.getLogger("rabbitmq")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who publishes: the venue's wire name, the worker's stable id and its run."""

    exchange: str
    worker: str
    epoch: str


class Outbox:
    """Owns two publishers, one for lossless and one for latest kinds, and the batches of both.

    Without a `spool` lossless facts wait in memory alone, and what is beyond its bound is dropped.
    """

    def __init__(
        self,
        broker: Broker,
        origin: Origin,
        sequences: Sequences,
        clock: Clock,
        *,
        batches: bool = True,
        spool: SpoolPlace | None = None,
    ) -> None:
        self.ledger = Ledger()
        self.ledger.take_census = self._census
        self._broker = broker
        self._data_exchange = broker.topology.exchanges[0].name
        self._origin = origin
        self._constant = {"schema": SCHEMA, "worker": origin.worker, "epoch": origin.epoch}
        self._sequences = sequences
        self._clock = clock
        self._batching = batches
        self._batches: dict[str, Batch] = {}
        self._repeats = Repeats()
        self._slots = Slots()
        self._keys: dict[tuple[str, str, str], str] = {}
        self._filled = asyncio.Event()  # some slot may hold a fact
        self._overflowing = False
        bounds = _BEFORE_DISK if spool else Bounds()
        self._lossless = _make_publisher(broker, "lossless", bounds, self._on_settled, clock)
        self._latest = _make_publisher(
            broker, "latest", _BEFORE_CONFLATION, self._on_settled, clock
        )
        self._custody = Custody(self._lossless, spool, self.ledger, clock)

    @property
    def connected(self) -> bool:
        return self._lossless.connected and self._latest.connected

    @property
    def pending(self) -> int:
        """Facts that are neither settled nor on disk."""
        return self.ledger.open - self._custody.spooled().total()

    @property
    def republished(self) -> int:
        """How often a message was put on the wire again."""
        return self._lossless.republished + self._latest.republished

    def on_dropped(self, listener: OnDropped) -> None:
        """Have `listener` hear of each lossless message that ends without a confirm, and why: see
        `shared.custody.OnDropped`."""
        self._custody.on_dropped = listener

    def mark(self) -> int:
        """This moment, for `settled_up_to`."""
        return self._custody.mark()

    def settled_up_to(self, mark: int) -> bool:
        """Whether all lossless facts put before `mark`, and their rows in batches, are confirmed,
        on disk, or counted as dropped. Cheap enough to ask many times a second."""
        return self._custody.settled_up_to(mark)

    def put(self, fact: Fact) -> None:
        """Hand over a fact. Never waits, never raises; what can not go out is counted."""
        kind = fact.kind
        counts = self.ledger[kind.label]
        counts.received += 1
        if kind.lossless:
            self._send(fact, self._routing_key(fact))
        elif kind is FUTURES and not self._latest.connected:
            counts.dropped[Outcome.EXPIRED] += 1
        else:
            self._put_latest(fact)

    def _put_latest(self, fact: Fact) -> None:
        key = self._routing_key(fact)
        free = self._latest.room and key not in self._slots
        if free and self._slots.due(key, fact, self._clock.monotonic()):
            self._send(fact, key)
            return
        if self._slots.put(key, fact):
            self.ledger[fact.kind.label].conflated += 1
        self._filled.set()

    async def run(self) -> None:
        """Publish, for ever, once somebody has declared the topology on this Broker.

        Raises ConfigurationError for refused credentials.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._custody.run())
            tasks.create_task(self._flush_slots_forever())
            if self._batching:
                tasks.create_task(self._flush_batches_forever())
                tasks.create_task(self._repeat_forever())
            # Publishing to an exchange that is not there yet would cost the connection.
            await self._broker.declared.wait()
            tasks.create_task(self._lossless.run())
            tasks.create_task(self._latest.run())

    async def drain(self, deadline_s: float) -> bool:
        """Send what is left and wait for the confirms; lossless facts that get none go to disk.

        False where something is neither confirmed nor on disk at the deadline.
        """
        end = self._clock.monotonic() + deadline_s
        self._flush_slots()
        self._flush_batches()
        drained = await self._custody.drain(deadline_s)
        left = max(0.0, end - self._clock.monotonic())
        return await self._latest.drain(left) and drained and not self._slots

    async def _flush_slots_forever(self) -> None:
        while True:
            await self._filled.wait()
            self._flush_slots()
            if not self._slots:
                self._filled.clear()
            await asyncio.sleep(FLUSH_S)

    def _flush_slots(self) -> None:
        if not self._latest.connected:
            if expired := self._slots.expire():
                self.ledger[FUTURES.label].dropped[Outcome.EXPIRED] += expired
        elif self._slots and self._latest.room:
            for fact in self._slots.take(self._clock.monotonic()):
                self._send(fact, self._routing_key(fact))

    async def _flush_batches_forever(self) -> None:
        while True:
            await asyncio.sleep(MAX_AGE_S)
            self._flush_batches()

    def _flush_batches(self) -> None:
        for key in list(self._batches):
            self._send_batch(key)

    async def _repeat_forever(self) -> None:
        while True:
            await self._clock.sleep(_REPEAT_LOOK_S)
            self._repeat()

    def _repeat(self) -> None:
        for kind, row in self._repeats.due(self._clock.monotonic()):
            self._add_row(kind, row)

    def _send(self, fact: Fact, key: str) -> None:
        sequence = self._sequences.next_headers(key)
        message = Publication(
            self._data_exchange,
            key,
            fact.kind,
            fact.body,
            self._message_id(fact, key, sequence["seq"]),
            {**sequence, **self._constant, "received_at": fact.received_at},
            fact.received_at,
            perishable=fact.kind is FUTURES,
        )
        if self._offer(message) and self._batching and fact.kind.batched:
            row = encode_row(fact, sequence["seq"])
            self._add_row(fact.kind, row)
            if fact.kind.repeated:
                self._repeats.remember(key, fact.kind, row, self._clock.monotonic())

    def _add_row(self, kind: Kind, row: bytes) -> None:
        key = batch_key(kind, self._origin.exchange)
        batch = self._batches.get(key)
        if batch is None:
            order = self._custody.reserve() if kind.lossless else 0
            batch = self._batches[key] = Batch(kind, order)
        batch.add(row)
        if batch.full:
            self._send_batch(key)

    def _send_batch(self, key: str) -> None:
        batch = self._batches.pop(key)
        origin, now = self._origin, self._clock.now_ms()
        sequence = self._sequences.next_headers(key)
        body, encoding = batch.encode(origin.exchange, origin.worker, origin.epoch)
        message = Publication(
            BATCHES,
            key,
            batch.kind,
            body,
            _bounded_id(f"{origin.worker}:{origin.epoch}:{key}:{sequence['seq']}"),
            {**sequence, **self._constant, "received_at": now},
            now,
            rows=len(batch.rows),
            content_encoding=encoding,
            order=batch.order,
        )
        self.ledger[message.label].received += message.rows
        self._offer(message)

    def _offer(self, message: Publication) -> bool:
        if message.kind.lossless:
            return self._custody.put(message)
        accepted = self._latest.offer(message)
        if not accepted:
            self.ledger[message.label].dropped["overflow"] += message.rows
        if not accepted and not self._overflowing:
            log.error("The queue to the broker is full: facts are dropped and counted")
        self._overflowing = not accepted
        return accepted

    def _on_settled(self, message: Publication, outcome: Outcome) -> None:
        if message.kind.lossless and not self._custody.settled(message, outcome):
            return
        counts = self.ledger[message.label]
        if outcome is Outcome.CONFIRMED:
            counts.confirmed += message.rows
            if message.perishable:
                log.info("Published to %s", message.routing_key)
        else:
            counts.dropped[outcome.value] += message.rows

    def _census(self) -> Census:
        return Census(self._in_flight(), self._custody.spooled())

    def _in_flight(self) -> Counter[str]:
        """Facts in memory, by label, counted where they are."""
        counted = Counter(fact.kind.label for fact in self._slots.facts())
        for message in {id(message): message for message in self._messages()}.values():
            if message.keeper is None and not message.ended:
                counted[message.label] += message.rows
        return counted

    def _messages(self) -> Iterator[Publication]:
        yield from self._lossless.messages()
        yield from self._latest.messages()
        yield from self._custody.messages()

    def _message_id(self, fact: Fact, routing_key: str, seq: int) -> str:
        origin = self._origin
        if fact.kind.keyed:
            return _bounded_id(f"{origin.exchange}:{fact.symbol}:{fact.kind.name}:{fact.key}")
        return _bounded_id(f"{origin.worker}:{origin.epoch}:{routing_key}:{seq}")

    def _routing_key(self, fact: Fact) -> str:
        named = (fact.kind.name, fact.symbol, fact.tail)
        cached = self._keys.get(named)
        if cached is None:
            cached = fact_key(fact.kind, self._origin.exchange, fact.symbol, fact.tail)
            self._keys[named] = cached
        return cached


def _make_publisher(
    broker: Broker, purpose: str, bounds: Bounds, settled: Settled, clock: Clock
) -> Publisher:
    if frames.usable():
        return FramePublisher(broker, purpose, bounds, settled, clock)
    log.warning("This aiormq is not known to the fast publisher; publishing the slow way")
    return PlainPublisher(broker, purpose, bounds, settled, clock)


def _bounded_id(text: str) -> str:
    """AMQP's short strings end at 255 bytes; beyond that a digest stands for the text."""
    encoded = text.encode()
    if len(encoded) <= _MAX_ID_BYTES:
        return text
    return hashlib.blake2b(encoded, digest_size=32).hexdigest()
