"""The slow publisher: aio-pika's public interface, one task a message.

Used where aiormq has changed under `shared.frames`, and as its oracle in the contract suite.
"""

import asyncio
from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractExchange
from aio_pika.exceptions import DeliveryError

from shared.broker import Broker
from shared.publisher import ENCODE_ERRORS, Backlog, Bounds, Publication, Settled

#: More tasks at a time make aio-pika no faster (measured 16 … 1024).
_WINDOW = 256


class PlainPublisher:
    """See `shared.publisher.Publisher`."""

    def __init__(self, broker: Broker, purpose: str, bounds: Bounds, settled: Settled) -> None:
        self.connected = False
        self._broker = broker
        self._purpose = purpose
        self._backlog = Backlog(bounds, settled)
        self._unconfirmed: dict[asyncio.Task[None], Publication] = {}
        self._exchanges: dict[str, AbstractExchange] = {}

    def offer(self, message: Publication) -> bool:
        return self._backlog.offer(message)

    @property
    def pending(self) -> int:
        return self._backlog.unsettled

    @property
    def room(self) -> bool:
        return self.connected and not self._backlog and self._window_open()

    async def run(self) -> None:
        await self._broker.keep(self._purpose, self._serve)

    async def drain(self, deadline_s: float) -> bool:
        return await self._backlog.settled(deadline_s)

    async def _serve(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=True)
        channel.close_callbacks.add(lambda *_: self._backlog.work.set())
        self._exchanges.clear()
        self.connected = True
        self._backlog.work.set()
        try:
            while not channel.is_closed:
                await self._backlog.work.wait()
                self._backlog.work.clear()
                while self._backlog and self._window_open():
                    await self._send(channel)
        finally:
            self.connected = False
            await self._requeue()

    async def _send(self, channel: aio_pika.abc.AbstractChannel) -> None:
        message = self._backlog.take()
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
        await exchange.publish(properties, message.routing_key, mandatory=False)

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

    def _window_open(self) -> bool:
        return len(self._unconfirmed) < min(self._backlog.bounds.unconfirmed, _WINDOW)
