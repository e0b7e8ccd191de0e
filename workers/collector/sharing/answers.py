"""Answers about all symbols of a venue, asked by one worker for all behind one address.

A request that tells of every symbol costs the venue's limit the same whoever asks. So of the
workers with one egress the first member asks, and passes the answers on over `futures_batches`;
the others ask only while none comes.
"""

import logging
from collections.abc import Callable

import orjson
import zstandard
from aio_pika.abc import AbstractConnection
from pydantic import TypeAdapter, ValidationError

from shared.broker import Broker, publish
from shared.clock import Clock
from shared.errors import DataProcessingError
from shared.status import HEARTBEAT_S
from shared.symbolset import Notice
from shared.topology import BATCHES, bulk_key
from workers.collector.desired import DesiredSymbols
from workers.collector.events import RestUpdate

#: An answer that does not come for so many of its intervals is asked for by whoever needs it.
_MISSED = 2.5
#: Of an answer, unpacked: a thousand symbols are 300 kB.
_MAX_BYTES = 8 * 1024 * 1024
_WAIT_S = 0.05

_compressor = zstandard.ZstdCompressor(level=1)
_updates = TypeAdapter(list[RestUpdate])

log = logging.getLogger("main")

Take = Callable[[str, float, list[RestUpdate]], None]
"""Takes a call's name, when it was asked (monotonic seconds), and what the answer says."""


class Passed(Notice):
    """One answer, on its way to the other workers."""

    worker: str
    call: str
    age_ms: int  # since it was asked for
    updates: list[RestUpdate]


class Answers:
    """Says whether to ask, passes on what was told, and takes what others pass on."""

    def __init__(
        self, worker: str, exchange: str, egress: str, desired: DesiredSymbols, clock: Clock
    ) -> None:
        self.malformed = 0
        self.take: Take = lambda _call, _asked_at, _updates: None
        self._worker, self._desired, self._clock = worker, desired, clock
        self._egress, self._key = egress, bulk_key(exchange, egress)
        self._heard_at: dict[str, float] = {}  # by call
        self._due: dict[str, tuple[float, list[RestUpdate]]] = {}  # the latest of each call
        desired.on_answer = self.hear

    @property
    def asker(self) -> str | None:
        """Who asks for all behind our address; None where that is left to each."""
        told = self._desired.told
        same = [peer.worker for peer in told.workers if peer.egress == self._egress] if told else []
        return same[0] if same and same != [self._worker] else None

    def asks(self, call: str, interval_s: float) -> bool:
        """Whether this worker has to ask by itself now."""
        asker = self.asker
        if asker is None or asker == self._worker:
            return True
        heard_at = self._heard_at.setdefault(call, self._clock.monotonic())
        return self._clock.monotonic() - heard_at > _MISSED * max(interval_s, HEARTBEAT_S)

    def told(self, call: str, asked_at: float, updates: list[RestUpdate]) -> None:
        """An answer to us, which others may wait for."""
        if self.asker == self._worker:
            self._due[call] = asked_at, updates

    def hear(self, body: bytes) -> None:
        """An answer that another worker passed on."""
        try:
            passed = Passed.model_validate_json(_unpacked(body))
        except (ValidationError, DataProcessingError) as error:
            self.malformed += 1
            log.debug("An answer that was passed on is not sound: %s", error)
            return
        if passed.worker == self._worker:
            return
        now = self._clock.monotonic()
        self._heard_at[passed.call] = now
        self.take(passed.call, now - max(0, passed.age_ms) / 1000, passed.updates)

    async def run(self, broker: Broker) -> None:
        """Pass on what was told, for ever; what the broker does not take is not owed."""

        async def session(connection: AbstractConnection) -> None:
            channel = await connection.channel()
            await broker.declare(channel, queues=False)
            self._due.clear()
            while True:
                while self._due:
                    call, (asked_at, updates) = self._due.popitem()
                    await publish(
                        channel, BATCHES, self._key, self._packed(call, asked_at, updates)
                    )
                await self._clock.sleep(_WAIT_S)

        await broker.keep("answers", session)

    def _packed(self, call: str, asked_at: float, updates: list[RestUpdate]) -> bytes:
        age_ms = round(1000 * (self._clock.monotonic() - asked_at))
        content = {"worker": self._worker, "call": call, "age_ms": age_ms, "updates": updates}
        return _compressor.compress(orjson.dumps(content, default=tuple))


def _unpacked(body: bytes) -> bytes:
    try:
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=_MAX_BYTES)
    except zstandard.ZstdError as error:
        raise DataProcessingError(str(error)) from None
