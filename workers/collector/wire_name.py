"""What the registry calls a venue, for a collector whose configuration does not say."""

import asyncio
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from pydantic import ValidationError

from shared.broker import Broker, own_queue, publish
from shared.clock import Clock
from shared.config import Settings
from shared.errors import BrokerError
from shared.status import Heartbeat
from shared.symbolset import SymbolSet
from shared.tasks import ended
from shared.topology import STATUS, SYMBOLS, heartbeat_key
from shared.venues import ALIASES

#: The coordinator tells of each venue that the registry knows every 30 s: after a longer time of
#: hearing of others only, the venue is one that nobody has named yet.
_UNNAMED_S = 35.0


class WireName:
    """Listens to `futures_symbols`, and to nothing else."""

    def __init__(self, settings: Settings, venue: str, worker: str, clock: Clock) -> None:
        self._broker = Broker.of(settings, worker)
        self._venue = venue
        self._worker = worker
        self._epoch = f"{worker}/{clock.now_ms()}"
        self._clock = clock
        self._patience_ends: float | None = None

    async def announced(self) -> str:
        """Raises ConfigurationError for a broker that refuses its user."""
        found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def session(connection: AbstractConnection) -> None:
            channel = await connection.channel()
            await self._broker.declare(channel, queues=False)
            queue = await own_queue(channel, "collector", self._worker, [(SYMBOLS, "")])
            await self._ask(channel)
            name = await self._heard(queue)
            if not found.done():
                found.set_result(name)
            await asyncio.Event().wait()  # until we are cancelled, which closes the connection

        listening = asyncio.ensure_future(self._broker.keep("name", session))
        try:
            both: set[asyncio.Future[Any]] = {listening, found}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not found.done():
                await listening  # it ends by what it raises
            return found.result()
        finally:
            await ended(listening)

    async def _heard(self, queue: AbstractQueue) -> str:
        async with queue.iterator(no_ack=True) as messages:
            async for message in messages:
                name = self._name_in(message.body)
                if name is not None:
                    return name
        raise BrokerError("the subscription ended")

    def _name_in(self, body: bytes) -> str | None:
        """The venue's name, where an announcement tells it, or has not for long enough."""
        try:
            announced = SymbolSet.model_validate_json(body)
        except ValidationError:
            return None
        if announced.venue == self._venue:
            return announced.exchange
        now = self._clock.monotonic()
        self._patience_ends = self._patience_ends or now + _UNNAMED_S
        return self._venue if now >= self._patience_ends else None

    async def _ask(self, channel: AbstractChannel) -> None:
        """A coordinator that hears of a worker for the first time tells of its venue at once.

        Not of one that users know by two names: the wrong one would stand in the statistics.
        """
        if self._venue in ALIASES.values():
            return
        beat = Heartbeat(
            role="collector",
            exchange=self._venue,
            worker=self._worker,
            epoch=self._epoch,
            state="waiting",
            sent_at=self._clock.now_ms(),
            revision=None,
        )
        key = heartbeat_key(beat.role, beat.exchange, beat.worker)
        await publish(channel, STATUS, key, beat.model_dump_json().encode())
