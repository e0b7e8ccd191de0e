"""The registry's log: a stream that every coordinator reads to its end, and the leader writes.

AMQP 0.9.1 has no end of a stream. Who has to know that it read everything appends a record and
reads until that comes back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from coordinator.deliveries import deliveries
from coordinator.outlet import Outlet
from coordinator.records import (
    Claim,
    Fence,
    NewerRecordError,
    Record,
    Snapshot,
    decode,
    encode,
)
from coordinator.registry import Registry, Verdict
from shared.broker import Broker
from shared.clock import Clock
from shared.errors import BrokerError, DataProcessingError
from shared.tasks import ended
from shared.topology import REGISTRY_STREAM

#: Streams refuse consumers without a prefetch count.
_PREFETCH = 200
#: Who waits for a record to be read back gives up after so long without any record.
READ_DEADLINE_S = 10.0
#: Nonces of own records that never came back, kept to know them when they do.
_MISSING_KEPT = 64

log = logging.getLogger("main")

Watcher = Callable[[Record, Verdict], None]


class LeadershipLostError(BrokerError):
    """Raised when another coordinator claimed the registry: leave the command to it."""


class OutdatedError(BrokerError):
    """Raised where this coordinator does not understand the log: others have to lead."""


class RegistryLog:
    """Reads the log into `registry`, which nobody else changes, and appends to it.

    A log that was replaced gives a new `registry`: hold this object, not that one.
    """

    def __init__(self, broker: Broker, outlet: Outlet, instance: str, clock: Clock) -> None:
        self.registry = Registry()
        self.instance = instance  # this run of this coordinator; leads where its claim is the last
        self.malformed = 0
        #: Whether there are records of a later version that no snapshot has made up for: this
        #: coordinator knows less than others, and must not lead.
        self.outdated = False
        self._broker = broker
        self._outlet = outlet
        self._clock = clock
        self._watchers: list[Watcher] = []
        self._waiting: dict[str, asyncio.Future[Verdict]] = {}
        self._missing: dict[str, None] = {}
        self._read_count = 0  # of what was delivered, known or new
        self._last_nonce: str | None = None  # of the record at registry.last_offset
        self._from_start = False
        self._distrusted = asyncio.Event()
        self.in_doubt = False  # whether an own record may or may not be in the log
        self._complete_at: float | None = None

    @property
    def leading(self) -> bool:
        return self.registry.leader == self.instance

    @property
    def in_charge(self) -> bool:
        """Whether it leads, and all that it wrote is known to be there or not: only then does it
        do anything by itself."""
        return self.leading and not self.in_doubt

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` each record that was read for the first time, after it was folded."""
        self._watchers.append(watcher)

    async def run(self) -> None:
        await self._broker.keep("coordinator registry", self._tail)

    async def claim(self) -> None:
        """Lead: afterwards everything that was written before is known. Raises BrokerError."""
        await self._append(Claim(by=self.instance))
        if not self.leading:
            raise LeadershipLostError("another coordinator claimed the registry as well")
        self.in_doubt = False
        log.info("Leading the registry, epoch %d", self.registry.epoch)

    async def ensure_leading(self) -> None:
        """Claim where that is called for: another leads, or an own record is in doubt.

        A record whose confirm was lost may still arrive, but not take effect in a later epoch.
        """
        if self.outdated:
            raise OutdatedError("the registry's log holds records of a later version")
        if not self.leading or self.in_doubt:
            await self.claim()
            if self.outdated:  # which the claim has read
                raise OutdatedError("the registry's log holds records of a later version")

    async def ensure_complete(self, within_s: float) -> None:
        """Know all that was written up to `within_s` ago, and still lead. Raises BrokerError."""
        now = self._clock.monotonic()
        if self._complete_at is not None and now - self._complete_at <= within_s:
            return
        await self._append(Fence(by=self.instance))
        if not self.leading:
            raise LeadershipLostError("another coordinator claimed the registry meanwhile")

    async def append(self, record: Record) -> None:
        """Append and read back a record of the leader. Raises BrokerError, and its
        LeadershipLostError where the record had no effect for that."""
        verdict = await self._append(record)
        if verdict is Verdict.REJECTED:
            raise LeadershipLostError("another coordinator claimed the registry meanwhile")
        if verdict is Verdict.UNREADY:
            raise LeadershipLostError("the registry's log was replaced meanwhile")

    async def _append(self, record: Record) -> Verdict:
        read_back: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting[record.nonce] = read_back
        started = self._clock.monotonic()
        try:
            await self._outlet.record(encode(record))
            verdict = await self._read_back(read_back)
        except (TimeoutError, BrokerError) as error:
            self._doubt(record.nonce)
            raise BrokerError(f"the registry's log did not take a record: {error}") from error
        except asyncio.CancelledError:  # the command's connection is gone, the record under way
            self._doubt(record.nonce)
            raise
        finally:
            self._waiting.pop(record.nonce, None)
        self._complete_at = started
        return verdict

    async def _read_back(self, record: "asyncio.Future[Verdict]") -> Verdict:
        """What became of a record; for as long as the log is being read, which may be long."""
        while True:
            read = self._read_count
            await asyncio.wait({record}, timeout=READ_DEADLINE_S)
            if record.done():
                return record.result()
            if self._read_count == read:
                raise TimeoutError(f"it was not read back within {READ_DEADLINE_S:g} s")

    def _doubt(self, nonce: str) -> None:
        """A record may or may not be in the log, and the subscription may be a dead one."""
        self.in_doubt = True
        self._missing[nonce] = None
        while len(self._missing) > _MISSING_KEPT:
            self._missing.pop(next(iter(self._missing)))
        self._from_start = True
        self._distrusted.set()

    async def _tail(self, connection: AbstractConnection) -> None:
        """Read on from the last record, which is read again to see that the log is still ours."""
        channel = await connection.channel()
        await channel.set_qos(_PREFETCH)
        await self._broker.declare(channel)
        last = self.registry.last_offset
        offset = "first" if self._from_start or last < 0 else last
        self._from_start = False
        self._distrusted.clear()
        messages = deliveries(channel, REGISTRY_STREAM, {"x-stream-offset": offset})
        reading = asyncio.ensure_future(self._read(messages))
        distrusted = asyncio.ensure_future(self._distrusted.wait())
        try:
            await asyncio.wait({reading, distrusted}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                await reading
        finally:
            await ended(reading, distrusted)

    async def _read(self, messages: AsyncIterator[AbstractIncomingMessage]) -> None:
        async for message in messages:
            self._take(message)
            await message.ack()

    def _take(self, message: AbstractIncomingMessage) -> None:
        offset = message.headers.get("x-stream-offset")
        if not isinstance(offset, int):
            raise BrokerError(f"{REGISTRY_STREAM} delivers no offsets: it is not a stream")
        self._read_count += 1
        try:
            record = decode(message.body)
        except NewerRecordError:
            self._outdate(offset)
            return
        except DataProcessingError as error:
            self._skip(offset, error)
            return
        if self._replaced(offset, record.nonce):
            self._forget()
            raise BrokerError("the registry's log is another one than before")
        verdict = self.registry.fold(offset, record)
        if verdict is Verdict.SEEN:
            return
        self._last_nonce = record.nonce
        self._missing.pop(record.nonce, None)
        if self.outdated and isinstance(record, Snapshot) and verdict is Verdict.APPLIED:
            self.outdated = False
            log.warning("The registry was written down in a form that we know: taking part again")
        for watcher in self._watchers:
            watcher(record, verdict)
        waiting = self._waiting.get(record.nonce)
        if waiting is not None and not waiting.done():
            waiting.set_result(verdict)

    def _outdate(self, offset: int) -> None:
        if offset <= self.registry.last_offset:
            return
        if not self.outdated:
            log.error(
                "The registry's log holds records of a later version, at offset %d first: this "
                "coordinator does not lead until it is renewed, or `fleet registry accept`",
                offset,
            )
        self.outdated = True

    def _skip(self, offset: int, error: DataProcessingError) -> None:
        if offset <= self.registry.last_offset:
            return
        self.malformed += 1
        log.error("The registry's log holds something foreign at offset %d: %s", offset, error)

    def _replaced(self, offset: int, nonce: str) -> bool:
        """Whether a record at a known offset proves that the stream was made anew."""
        last = self.registry.last_offset
        if offset == last:
            return nonce != self._last_nonce
        return offset < last and (nonce in self._missing or nonce in self._waiting)

    def _forget(self) -> None:
        log.error("The registry's log was replaced: reading it from the start")
        self.registry = Registry()
        self.outdated = False
        self._last_nonce = None
        self.in_doubt = True
