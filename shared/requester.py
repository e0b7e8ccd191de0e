"""The asking side of `futures_requests`: a connection that is kept, a future for each request."""

import asyncio
import itertools
import secrets
from collections.abc import Mapping
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import DeliveryError
from aiormq.abc import DeliveredMessage

from shared.broker import Broker, is_connection_error, own_queue
from shared.errors import BrokerError, DataProcessingError
from shared.requests import Reply
from shared.tasks import ended
from shared.topology import REPLIES, REQUESTS, request_queue

#: How long a connection may take to come, at most; then the request fails.
_OPEN_S = 10.0


class UnservedError(BrokerError):
    """Raised when no queue takes a request."""


class Requester:
    """Sends requests, and gives each its reply. `role` is what its queue may be named after."""

    def __init__(self, broker: Broker, role: str = "client") -> None:
        self._broker = broker
        self._role = role
        self._line: _Line | None = None
        self._there = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._numbers = itertools.count()
        self._run = secrets.token_hex(4)
        self._asked: dict[str, asyncio.Future[Reply]] = {}

    async def ask(self, exchange: str, request: Mapping[str, Any], timeout_s: float) -> Reply:
        """The reply to one request, without an id; it gets one. Raises BrokerError where the
        broker is away or nobody serves the venue, and TimeoutError."""
        id_ = f"{self._run}-{next(self._numbers)}"
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked[id_] = reply
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                line = await self._open()
                left_s = (deadline.when() or 0.0) - asyncio.get_running_loop().time()
                body = {"id": id_, "timeout_ms": max(1, round(1000 * left_s)), **request}
                await line.send(exchange, id_, body)
                return await reply
        finally:
            del self._asked[id_]

    async def close(self) -> None:
        if self._work is not None:
            await ended(self._work)
            self._work = None

    async def _open(self) -> "_Line":
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._broker.keep("requests", self._session))
        if self._line is None:
            try:
                async with asyncio.timeout(_OPEN_S):
                    await self._there.wait()
            except TimeoutError:
                raise BrokerError(f"no connection to {self._broker.address}") from None
        if self._line is None:
            raise BrokerError(f"the connection to {self._broker.address} was lost")
        return self._line

    async def _session(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        queue = await own_queue(channel, self._role, self._broker.name, [])
        await queue.bind(REPLIES, queue.name)
        underlay = await channel.get_underlay_channel()
        await underlay.basic_consume(queue.name, self._on_reply, no_ack=True)
        exchange = await channel.get_exchange(REQUESTS, ensure=False)
        self._line = _Line(channel, exchange, queue.name)
        self._there.set()
        try:
            await asyncio.shield(underlay.closing)
        finally:
            self._line = None
            self._there.clear()
            for reply in self._asked.values():
                if not reply.done():
                    reply.set_exception(BrokerError("the connection was lost"))

    async def _on_reply(self, message: DeliveredMessage) -> None:
        try:
            reply = Reply.decoded(message.body)
        except DataProcessingError:
            return
        asked = self._asked.get(reply.id)
        if asked is not None and not asked.done():
            asked.set_result(reply)


class _Line:
    """A channel to the venues' queues, and the name of the queue that replies come to."""

    def __init__(self, channel: AbstractChannel, exchange: AbstractExchange, queue: str) -> None:
        self._channel = channel
        self._exchange = exchange
        self._queue = queue

    async def send(self, exchange: str, id_: str, body: dict[str, Any]) -> None:
        """Raises BrokerError where no queue takes it."""
        message = aio_pika.Message(
            orjson.dumps(body),
            content_type="application/json",
            correlation_id=id_,
            reply_to=self._queue,
            expiration=body["timeout_ms"] / 1000,
        )
        [(_, key)] = request_queue(exchange).bindings
        try:
            await self._exchange.publish(message, key, mandatory=True)
        except DeliveryError as error:
            raise UnservedError(f"nobody serves {exchange}, or too many wait for it") from error
        except Exception as error:
            if not is_connection_error(error):
                raise
            raise BrokerError(str(error) or "the connection was lost") from error
