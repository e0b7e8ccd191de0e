"""A stream of messages: a queue of its own on the broker, renewed for ever."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar, cast

from aio_pika.abc import AbstractConnection

from futures_fleet._wire.broker import Broker, own_queue
from futures_fleet._wire.clock import Clock, SystemClock
from futures_fleet._wire.errors import BrokerError, ConfigurationError
from futures_fleet._wire.tasks import ended
from futures_fleet.deliveries import consume, usable
from futures_fleet.errors import CredentialsError
from futures_fleet.inbox import Inbox
from futures_fleet.message import Message, Missed, read
from futures_fleet.sieve import Sieve

log = logging.getLogger("futures_fleet")

T = TypeVar("T", bound=Message | Missed)

_SUBSCRIBE_S = 30.0
#: Messages handed out before the event loop gets its turn, though more of them wait.
_TURN = 100


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a stream shall hold."""

    exchange: str  # the AMQP exchange
    patterns: tuple[str, ...]  # of routing keys, as AMQP topics: `*` one word, `#` any number
    role: str  # second word of the queue's name
    owner: str
    missed: bool  # hand out Missed among the messages
    on_missed: Callable[[Missed], object] | None
    grace_s: float
    buffer_bytes: int


class Stream(Generic[T]):
    """Messages in the order of arrival: each fact once, no older value behind a newer one.

    An async iterator, and an async context manager that ends the subscription with its block;
    without one it ends with its client. One task may iterate.
    """

    def __init__(
        self,
        broker: Broker,
        subscription: Subscription,
        on_close: Callable[["Stream[T]"], None],
        clock: Clock | None = None,
    ) -> None:
        self.refused = 0  # messages that lack what all of the fleet's have, or are no message of it
        self._broker = broker
        self._subscription = subscription
        self._on_close = on_close
        self._clock = clock or SystemClock()
        self._inbox = Inbox(subscription.buffer_bytes)
        self._sieve = Sieve(subscription.grace_s)
        self._ready: deque[Message | Missed] = deque()
        self._since_turn = 0
        self._bound = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def missed(self) -> int:
        """Messages that are known to be missing. Falls when one of them comes after all."""
        return self._sieve.losses.missed

    @property
    def breaks(self) -> int:
        """How often it could not be known whether something is missing: `Missed.count` None."""
        return self._sieve.losses.breaks

    @property
    def duplicates(self) -> int:
        """Messages that came before and were not handed out again."""
        return self._sieve.duplicates

    @property
    def superseded(self) -> int:
        """Latest values older than one that was handed out."""
        return self._sieve.superseded

    @property
    def dropped(self) -> int:
        """Messages that came faster than they were read and found no room; `missed` has them."""
        return self._inbox.dropped

    async def ready(self) -> None:
        """Wait until the queue is bound: what is published from then on comes.

        For as long as the broker is away. Raises CredentialsError, and RuntimeError where the
        stream is closed.
        """
        work = self._started()
        bound = asyncio.ensure_future(self._bound.wait())
        try:
            await asyncio.wait({bound, work}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await ended(bound)
        self._raise_failure()
        if self._closed:
            raise RuntimeError("the stream is closed")

    async def close(self) -> None:
        """End the subscription; what is missing by then is counted and told to `on_missed`."""
        if self._closed:
            return
        self._closed = True
        if self._work is not None:
            await ended(self._work)
        self._tell(float("inf"))
        self._inbox.wake()
        self._on_close(self)

    async def __aenter__(self) -> "Stream[T]":
        self._started()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if not self._closed:
            self._started()
        while not self._closed:
            # Before anything is taken: whoever is cancelled here has lost nothing.
            if self._since_turn >= _TURN:
                self._since_turn = 0
                await asyncio.sleep(0)
            now = self._clock.monotonic()
            following = self._next(now)
            if following is not None:
                self._since_turn += 1
                return cast(T, following)
            self._raise_failure()
            self._since_turn = 0
            await self._inbox.wait(self._sieve.losses.due_in(now))
        raise StopAsyncIteration

    def _next(self, now: float) -> Message | Missed | None:
        losses, inbox = self._sieve.losses, self._inbox
        while True:
            if losses.due_in(now) == 0.0:
                self._tell(now)
            if self._ready:
                return self._ready.popleft()
            if inbox.take_break():
                losses.broken()
            delivered = inbox.get()
            if delivered is None:
                return None
            message = read(delivered)
            if message is None:
                self.refused += 1
            elif self._sieve.passes(message, now):
                if losses.due_in(now) != 0.0:
                    return message
                self._tell(now)
                self._ready.append(message)

    def _tell(self, now: float) -> None:
        for missed in self._sieve.losses.due(now):
            if self._subscription.missed:
                self._ready.append(missed)
            if self._subscription.on_missed is None:
                continue
            try:
                self._subscription.on_missed(missed)
            except Exception:  # whatever it is: what follows is not to be lost for it
                log.exception("on_missed failed")

    def _started(self) -> asyncio.Task[None]:
        if self._closed:
            raise RuntimeError("the stream is closed")
        if self._work is None:
            self._work = asyncio.create_task(self._run())
        return self._work

    def _raise_failure(self) -> None:
        if self._work is not None and self._work.done() and not self._work.cancelled():
            self._work.result()

    async def _run(self) -> None:
        try:
            await self._broker.keep("stream", self._session)
        except ConfigurationError as error:
            raise CredentialsError(str(error)) from error
        finally:
            self._inbox.wake()

    async def _session(self, connection: AbstractConnection) -> None:
        """One subscription, until the broker ends it or the connection is lost."""
        over = asyncio.Event()
        async with asyncio.timeout(_SUBSCRIBE_S):
            # Nothing is published here.
            channel = await connection.channel(publisher_confirms=False)
            channel.close_callbacks.add(lambda *_: over.set())
            wanted = self._subscription
            bindings = [(wanted.exchange, pattern) for pattern in wanted.patterns]
            queue = await own_queue(channel, wanted.role, wanted.owner, bindings)
            # One layer below aio-pika, whose messages cost as much as all the rest.
            underlay = await channel.get_underlay_channel()
            underlay.on_consumer_cancel_callbacks.add(lambda _: over.set())
            await consume(underlay, queue.name, self._inbox.put, direct=usable())
        self._bound.set()
        try:
            await over.wait()
            raise BrokerError("the broker ended the subscription")
        finally:
            self._bound.clear()
            self._inbox.mark_break()
