"""The slow publisher: aio-pika's public interface, one task a message.

Used where aiormq has changed under `shared.frames`, and as its oracle in the contract suite.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractExchange
from aio_pika.exceptions import DeliveryError
from aiormq.abc import DeliveredMessage

from shared.backlog import Backlog, Queued
from shared.broker import Broker
from shared.clock import Clock
from shared.publisher import ENCODE_ERRORS, Bounds, Publication, Settled
from shared.tasks import ended

#: More tasks at a time make aio-pika no faster (measured 16 … 1024).
_WINDOW = 256


class PlainPublisher(Queued):
    """See `shared.publisher.Publisher`."""

    def __init__(
        self, broker: Broker, purpose: str, bounds: Bounds, settled: Settled, clock: Clock
    ) -> None:
        super().__init__(Backlog(bounds, settled, clock))
        self._broker = broker
        self._purpose = purpose
        self._unconfirmed: dict[asyncio.Task[None], Publication] = {}
        self._exchanges: dict[str, AbstractExchange] = {}

    def messages(self) -> Iterator[Publication]:
        yield from self._backlog.messages()
        yield from self._unconfirmed.values()

    @property
    def room(self) -> bool:
        return self.connected and self._window_open(self._backlog.waiting)

    async def run(self) -> None:
        await self._broker.keep(self._purpose, self._serve)

    async def _serve(self, connection: AbstractConnection) -> None:
        await self._declare_again(self._broker)
        channel = await connection.channel(publisher_confirms=True)
        channel.close_callbacks.add(lambda *_: self._backlog.work.set())
        self._exchanges.clear()
        self.connected = True
        self._backlog.work.set()
        below = connection.transport.connection  # type: ignore[union-attr]
        watching = asyncio.create_task(self._backlog.watch(below, self._oldest))
        try:
            while not channel.is_closed and not watching.done():
                await self._backlog.work.wait()
                self._backlog.work.clear()
                while self._backlog and self._window_open():
                    await self._send(channel)
        finally:
            self.connected = False
            await ended(watching)
            await self._requeue()

    def _oldest(self) -> Publication | None:
        return next(iter(self._unconfirmed.values()), None)

    async def _send(self, channel: aio_pika.abc.AbstractChannel) -> None:
        message = self._backlog.take()
        message.sent_at = self._backlog.clock.monotonic()
        if message.exchange not in self._exchanges:
            self._exchanges[message.exchange] = await channel.get_exchange(
                message.exchange, ensure=False
            )
        task = asyncio.create_task(self._publish(self._exchanges[message.exchange], message))
        self._unconfirmed[task] = message
        task.add_done_callback(self._on_done)

    async def _publish(self, exchange: AbstractExchange, message: Publication) -> None:
        properties = aio_pika.Message(
            message.body,
            content_type="application/json",
            content_encoding=message.content_encoding or "utf-8",
            delivery_mode=2 if message.kind.lossless else 1,
            message_id=message.message_id,
            type=message.kind.name,
            app_id="futures-fleet",
            timestamp=datetime.fromtimestamp(message.timestamp_ms // 1000, UTC),
            headers=message.headers,
        )
        mandatory = message.mandatory
        confirmation = await exchange.publish(properties, message.routing_key, mandatory=mandatory)
        # A message without a queue comes back, and that is what its publisher is given.
        message.returned = isinstance(confirmation, DeliveredMessage)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        message = self._unconfirmed.get(task)
        if message is None or task.cancelled():
            return  # requeued by `_requeue`
        error = task.exception()
        if error is not None and not isinstance(error, (DeliveryError, *ENCODE_ERRORS)):
            return  # the connection is gone, `_requeue` follows
        del self._unconfirmed[task]
        if error is None:
            self._backlog.confirmed(message)
        elif isinstance(error, DeliveryError):
            self._backlog.nacked(message)
        else:
            self._backlog.unencodable(message)
        self._backlog.work.set()

    async def _requeue(self) -> None:
        """End what is on its way; it goes back in front and out again, with the same ids."""
        tasks = list(self._unconfirmed)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._backlog.put_back(list(self._unconfirmed.values()))
        self._unconfirmed.clear()

    def _window_open(self, before: int = 0) -> bool:
        on_its_way = len(self._unconfirmed) + before
        free = on_its_way < min(self._backlog.bounds.unconfirmed, _WINDOW)
        return free and not self._backlog.stalled
