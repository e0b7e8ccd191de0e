"""All that the coordinator publishes: one connection, every message confirmed."""

import asyncio
import logging

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import DeliveryError, PublishError

from shared.broker import PUBLISH_TIMEOUT_S, Broker, is_connection_error
from shared.errors import BrokerError
from shared.orders import ORDER
from shared.topology import (
    COMMANDS,
    CONTROL_QUEUE,
    MAILBOX,
    REGISTRY_EXCHANGE,
    REGISTRY_STREAM,
    RESPONSES,
    STATUS,
    SYMBOLS,
    response_key,
)

#: The `type` of the message by which a coordinator asks whoever is active to claim the registry.
TICK = "tick"
#: And of the one that only has to arrive.
PING = "ping"

log = logging.getLogger("rabbitmq")


class Outlet:
    """Publishes, or raises BrokerError where that takes longer than PUBLISH_TIMEOUT_S."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._channel: AbstractChannel | None = None
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def connected(self) -> bool:
        return self._channel is not None

    async def run(self) -> None:
        await self._broker.keep("coordinator publishing", self._serve)

    async def record(self, body: bytes) -> None:
        """Append to the registry's log."""
        message = aio_pika.Message(
            body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await self._confirmed(REGISTRY_EXCHANGE, REGISTRY_STREAM, message, mandatory=True)

    async def answer(self, command: str, body: bytes, correlation_id: str | None) -> None:
        """Answer for all who listen; a reader's queue that refuses it is the reader's trouble."""
        try:
            message = _answer(body, correlation_id)
            await self._confirmed(RESPONSES, response_key(command), message, mandatory=False)
        except _RefusedError:
            log.warning("A queue bound to %s refused an answer", RESPONSES)

    async def reply(self, queue: str, body: bytes, correlation_id: str | None) -> bool:
        """Answer to the queue that a command named; False where nothing took it.

        The default exchange reaches any queue, so only a broker in `declare` mode is asked to
        route there. The names of the fleet's own queues are no addresses for answers.
        """
        if queue in {own.name for own in self._broker.topology.queues}:
            return False
        message = _answer(body, correlation_id)
        exchanges = (MAILBOX, "") if self._broker.declares else (MAILBOX,)
        for exchange in exchanges:
            try:
                await self._confirmed(exchange, queue, message, mandatory=True)
            except _RefusedError:
                continue
            return True
        return False

    async def tick(self) -> None:
        """Have whoever is active claim. A queue that is full has messages that do the same."""
        message = aio_pika.Message(b"", type=TICK)
        try:
            await self._confirmed(COMMANDS, CONTROL_QUEUE, message, mandatory=True)
        except _RefusedError:
            log.debug("The control queue takes no tick")

    async def ping(self, mailbox: str) -> bool:
        """Whether the broker has a queue of that name in the mailbox exchange."""
        return await self._delivered(mailbox, aio_pika.Message(b"", type=PING))

    async def errand(self, mailbox: str, body: bytes) -> bool:
        """Hand an errand to a host's agent; False where its mailbox is gone or full."""
        return await self._delivered(mailbox, aio_pika.Message(body, type="errand"))

    async def order(self, mailbox: str, body: bytes) -> bool:
        """Tell a collector to do something; False where its mailbox is gone or full."""
        return await self._delivered(mailbox, aio_pika.Message(body, type=ORDER))

    async def _delivered(self, mailbox: str, message: aio_pika.Message) -> bool:
        try:
            await self._confirmed(MAILBOX, mailbox, message, mandatory=True)
        except _RefusedError:
            return False
        return True

    async def announce(self, body: bytes) -> None:
        await self._transient(SYMBOLS, "", body)

    async def status(self, key: str, body: bytes) -> None:
        await self._transient(STATUS, key, body)

    async def _transient(self, exchange: str, key: str, body: bytes) -> None:
        message = aio_pika.Message(body, content_type="application/json")
        try:
            await self._confirmed(exchange, key, message, mandatory=False)
        except _RefusedError:
            log.debug("A queue bound to %s refused a message", exchange)

    async def _confirmed(
        self, exchange: str, key: str, message: aio_pika.Message, mandatory: bool
    ) -> None:
        """Raises _RefusedError where a queue refused it or no queue was there to take it."""
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await self._ready.wait()
                if self._channel is None:  # lost again between the event and us
                    raise BrokerError("the publishing channel ended")
                target = await self._channel.get_exchange(exchange, ensure=False)
                await target.publish(message, key, mandatory=mandatory)
        except (PublishError, DeliveryError) as error:
            raise _RefusedError(f"{exchange or 'the default exchange'}: refused") from error
        except TimeoutError as error:
            # What was written may still arrive; closing the connection is what bounds that.
            self._ended.set()
            raise BrokerError("a message was not confirmed in time") from error
        except Exception as error:
            if not is_connection_error(error):
                raise
            raise BrokerError(f"a message was not confirmed: {error!r}") from error

    async def _serve(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await self._broker.declare(channel)
        self._ended.clear()
        channel.close_callbacks.add(lambda *_: self._ended.set())
        self._channel = channel
        self._ready.set()
        try:
            await self._ended.wait()
            raise BrokerError("the publishing channel ended")
        finally:
            self._ready.clear()
            self._channel = None


class _RefusedError(BrokerError):
    """Raised when the broker answered, and did not take the message."""


def _answer(body: bytes, correlation_id: str | None) -> aio_pika.Message:
    return aio_pika.Message(
        body,
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.NOT_PERSISTENT,
        correlation_id=correlation_id,
    )
