"""Connections to RabbitMQ: opened with our name on them, kept for ever, the topology declared.

Publishing and consuming never share a connection: one that RabbitMQ blocks is not read either.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aiormq.abc import FieldTable
from aiormq.exceptions import AMQPError, ChannelInvalidStateError
from yarl import URL

from shared.backoff import Backoff
from shared.config import Settings
from shared.errors import BrokerError, ConfigurationError
from shared.tasks import ended
from shared.topology import Exchange, Queue, Topology, topology

#: What a lost or refused connection looks like, in both client libraries.
CONNECTION_ERRORS = (AMQPError, ChannelInvalidStateError, OSError, TimeoutError, BrokerError)
_CREDENTIAL_ERRORS = (
    aiormq.exceptions.AuthenticationError,
    aiormq.exceptions.ProbableAuthenticationError,
)
CONNECT_TIMEOUT_S = 10.0
#: A session that lives this long works.
_ALIVE_S = 1.0
PUBLISH_TIMEOUT_S = 5.0
_DECLARE_TIMEOUT_S = 30.0
#: The client library takes fewer characters in a queue's name than AMQP does.
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_.:@-]")
_OWN_QUEUE_BYTES = 64 * 1024 * 1024

log = logging.getLogger("rabbitmq")

Session = Callable[[AbstractConnection], Awaitable[None]]


class Episode:
    """A stretch of failures: told once when it begins and once when it is over, with back-off."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._backoff = Backoff(0.2, 2.0)
        self._on = False

    def failed(self, reason: str) -> None:
        if not self._on:
            log.warning("No connection to %s: %s", self._what, reason)
        self._on = True

    def over(self) -> None:
        if self._on:
            log.info("Connected to %s again", self._what)
        self._on = False
        self._backoff.reset()

    @contextmanager
    def over_after(self, seconds: float) -> Iterator[None]:
        """Over when the block has lasted that long: a connection that is refused its first
        operation each time is no success."""
        timer = asyncio.get_running_loop().call_later(seconds, self.over)
        try:
            yield
        finally:
            timer.cancel()

    def pause_s(self) -> float:
        return self._backoff.next_s()


class Broker:
    """Where the broker is and who asks; opens connections that carry the process's name."""

    def __init__(self, url: str, name: str, topology: Topology, declares: bool) -> None:
        self._url = URL(url).update_query(_with_defaults(URL(url)))
        self.name = name
        self.application: dict[str, str] = {}  # `product` and `version`, as the broker shows them
        self.topology = topology
        self.declares = declares
        self.declared = asyncio.Event()  # the topology was there at least once
        self._ever_connected = False

    @classmethod
    def of(cls, settings: Settings, name: str) -> "Broker":
        rabbitmq = settings.config.rabbitmq
        declares = rabbitmq.topology == "declare"
        broker = cls(settings.amqp_url(), name, topology(rabbitmq.exchange), declares)
        config = settings.config
        broker.application = {"product": config.app_name, "version": config.version}
        return broker

    @property
    def address(self) -> str:
        """Host and port, for log lines: without the password."""
        return f"{self._url.host}:{self._url.port or 5672}"

    @property
    def user(self) -> str | None:
        """By what name the broker knows us, as `user_id` of a message; None where a certificate
        says who we are."""
        if self._url.query.get("auth", "plain").lower() != "plain":
            return None
        return self._url.user or "guest"  # the client library's own default

    async def connect(self, purpose: str) -> AbstractConnection:
        """An aio-pika connection named `{name} {purpose}`, without its own reconnecting.

        Raises BrokerError, and ConfigurationError for credentials that never worked.
        """
        connection = aio_pika.Connection(self._url, client_properties=self._properties(purpose))
        try:
            await self._translated(connection.connect(timeout=CONNECT_TIMEOUT_S))
        except BaseException:
            # Else it closes itself when it is collected, perhaps without an event loop.
            await connection.close()
            raise
        return connection

    async def connect_raw(self, purpose: str) -> aiormq.abc.AbstractConnection:
        """The same, one layer lower, for the publisher that writes its own frames."""
        connection = aiormq.Connection(self._url)
        opening = connection.connect(client_properties=self._properties(purpose))
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await self._translated(opening)
        return connection

    async def declare(self, channel: AbstractChannel, *, queues: bool = True) -> None:
        """Declare the topology, or in `assert` mode check that it is there. Raises BrokerError.

        Who reads none of the shared queues leaves them out: the trouble of one is not his.
        """
        try:
            async with asyncio.timeout(_DECLARE_TIMEOUT_S):
                for exchange in self.topology.exchanges:
                    await self._exchange(channel, exchange)
                for queue in self.topology.queues if queues else ():
                    await self.ensure_queue(channel, queue)
            self.declared.set()
        except CONNECTION_ERRORS as error:
            raise BrokerError(f"the topology can not be declared: {_reason(error)}") from error

    async def keep(self, purpose: str, session: Session) -> None:
        """Run `session` on a connection, for ever: a new connection whenever one ends.

        One line for each time that it is lost and found. Raises ConfigurationError.
        """
        episode = Episode(f"{self.address} ({purpose})")
        while True:
            try:
                connection = await self.connect(purpose)
                with episode.over_after(_ALIVE_S):
                    await _attended(connection, session)
            except Exception as error:
                if not is_connection_error(error):
                    raise
                episode.failed(_reason(error))
            heed_cancellation()
            await asyncio.sleep(episode.pause_s())

    async def _translated(self, opening: Awaitable[Any]) -> Any:
        try:
            connection = await opening
        except _CREDENTIAL_ERRORS as error:
            if not self._ever_connected:
                raise ConfigurationError(
                    f"the broker at {self.address} refuses user {self._url.user!r}"
                ) from error
            raise BrokerError(f"credentials refused: {error}") from error
        except CONNECTION_ERRORS as error:
            raise BrokerError(_reason(error)) from error
        self._ever_connected = True
        return connection

    async def _exchange(self, channel: AbstractChannel, exchange: Exchange) -> None:
        await channel.declare_exchange(
            exchange.name, exchange.type, durable=True, passive=not self.declares
        )

    async def ensure_queue(self, channel: AbstractChannel, queue: Queue) -> None:
        """Declare a queue and its bindings, or in `assert` mode check that it is there."""
        declared = await channel.declare_queue(
            queue.name, durable=True, arguments=queue.arguments, passive=not self.declares
        )
        if self.declares:
            for exchange, key in queue.bindings:
                await declared.bind(exchange, key)

    def _properties(self, purpose: str) -> FieldTable:
        return {"connection_name": f"{self.name} {purpose}", **self.application}


async def own_queue(
    channel: AbstractChannel, role: str, owner: str, bindings: Sequence[tuple[str, str]]
) -> AbstractQueue:
    """A queue of this connection alone, gone with it: `futures_{role}.{owner}.{random}`.

    The random part is new each time: after a network cut the broker may hold the old queue for two
    heartbeats, and its name with it.
    """
    queue = await channel.declare_queue(
        f"futures_{role}.{_NOT_IN_NAMES.sub('_', owner)}.{secrets.token_hex(4)}",
        exclusive=True,
        auto_delete=True,
        arguments={"x-max-length-bytes": _OWN_QUEUE_BYTES, "x-overflow": "drop-head"},
    )
    for exchange, key in bindings:
        await queue.bind(exchange, key)
    return queue


async def publish(channel: AbstractChannel, exchange: str, key: str, body: bytes) -> None:
    """Publish a transient message of the control plane and wait for its confirm."""
    target = await channel.get_exchange(exchange, ensure=False)
    message = aio_pika.Message(body, content_type="application/json")
    await target.publish(message, key, mandatory=False, timeout=PUBLISH_TIMEOUT_S)


def is_connection_error(error: BaseException) -> bool:
    """Whether a connection or channel was lost or refused. aiormq also ends what waits on a dying
    connection with a bare `Exception`, and task groups wrap what their children raise."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_connection_error(cause) for cause in error.exceptions)
    return isinstance(error, CONNECTION_ERRORS) or type(error) is Exception


def heed_cancellation() -> None:
    """End this task if that was asked of it: `asyncio.wait_for`, ours and the client library's,
    swallows a cancellation which comes as its work ends (fixed in Python 3.12)."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _attended(connection: AbstractConnection, session: Session) -> None:
    """The session until it ends or its connection does; both are gone afterwards."""
    closing = connection.transport.connection.closing  # type: ignore[union-attr]
    work = asyncio.ensure_future(session(connection))
    try:
        heed_cancellation()
        await asyncio.wait({work, closing}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done() or work.cancelled():
            raise BrokerError("the connection was lost")
        await work
    finally:
        await ended(work)
        await _closed(connection)


async def _closed(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(2):
            await connection.close()
    except CONNECTION_ERRORS:
        log.debug("A connection was gone before it could be closed")


def _with_defaults(url: URL) -> dict[str, str]:
    """Heartbeat of 5 s unless given: the client library's own 60 s finds a dead peer in minutes."""
    return {"heartbeat": "5"} | dict(url.query)


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return (str(error) or type(error).__name__).splitlines()[0]
