"""The agent's queue: errands come in, are kept on disk, and only then acknowledged."""

import asyncio
import logging
from contextlib import suppress

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from shared.broker import CONNECTION_ERRORS, Broker, own_queue
from shared.errands import Errand
from shared.errors import BrokerError
from shared.topology import MAILBOX
from workers.agent.errand_book import ErrandBook

_PREFETCH = 10
#: The `type` of a message that only has to arrive.
_PING = "ping"
#: An errand has some 200 bytes.
_MAX_BODY_BYTES = 16 * 1024

log = logging.getLogger("main")


class Mailbox:
    """`name` is the queue's, while there is one."""

    def __init__(self, broker: Broker, worker: str, book: ErrandBook) -> None:
        self.name: str | None = None
        self._broker = broker
        self._worker = worker
        self._book = book

    async def run(self) -> None:
        await self._broker.keep("agent mailbox", self._session)

    def take(self, body: bytes) -> None:
        """What came is an errand, or counted and dropped."""
        try:
            if len(body) > _MAX_BODY_BYTES:
                raise ValueError
            errand = Errand.model_validate_json(body)
        except ValueError:  # pydantic's is one
            self._book.refuse_malformed()
            log.warning("What came to the mailbox is no errand: dropped")
            return
        self._book.take(errand)

    async def _session(self, connection: AbstractConnection) -> None:
        channel = await connection.channel()
        await channel.set_qos(_PREFETCH)
        await self._broker.declare(channel, queues=False)
        queue = await own_queue(channel, "agent", self._worker, [])
        await queue.bind(MAILBOX, queue.name)
        gone = asyncio.Event()

        async def end(*_: object) -> None:
            gone.set()

        # A queue that somebody deletes ends neither the channel nor the connection.
        channel.close_callbacks.add(end)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(end)
        await queue.consume(self._on_message)
        self.name = queue.name
        try:
            await gone.wait()
            raise BrokerError("the mailbox is gone")
        finally:
            self.name = None

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        if message.type != _PING:
            self.take(message.body)
        with suppress(*CONNECTION_ERRORS):
            await message.ack()
