"""Subscriptions: one driver a stream and symbol, started and ended as the symbol set says.

A driver's loop is what keeps a subscription alive: ccxt redials and subscribes again only when
somebody calls `watch`. It always sleeps after an error; ccxt can hand out a future that is
rejected already, and a loop without a pause would never let go of the event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import ExchangeError, NetworkError, NotSentError, RateLimitedError
from shared.tasks import ended
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.client import VenueClient

#: A stream that lasts this long works; its next trouble starts with a short pause again.
_WORKS_S = 30.0
#: About what the slowest venue takes in a second.
_UNSUBSCRIBED_AT_ONCE = 10
#: How often a frame that nobody waits for may have no turn, before the connection is to blame.
_TRIES = 5
_TURNS = (
    StreamKind.QUOTE,
    StreamKind.TRADES,
    StreamKind.BOOK,
    StreamKind.LIQUIDATIONS,
    StreamKind.CANDLES,
)


class Streams:
    """The drivers of a venue's symbols."""

    def __init__(self, client: VenueClient, clock: Clock, log: logging.Logger) -> None:
        self.resubscriptions = 0
        self.on_lost: Callable[[Subscription, str], None] = lambda _stream, _reason: None
        #: Told when a stream is left on purpose, to be subscribed anew.
        self.on_left: Callable[[Subscription], None] = lambda _stream: None
        self._client = client
        self._clock = clock
        self._log = log
        self._drivers: dict[Subscription, asyncio.Task[None]] = {}
        self._ending: dict[Subscription, asyncio.Task[None]] = {}  # unsubscribed just now
        self._unsubscribing = asyncio.Semaphore(_UNSUBSCRIBED_AT_ONCE)
        self._renewals: dict[Subscription, Backoff] = {}
        self._renewed_at: dict[Subscription, float] = {}

    def apply(self, wanted: Iterable[Subscription]) -> None:
        """Subscribe to all of `wanted` and to nothing else: begun here, in the venue's time."""
        wanted = set(wanted)
        unwanted = set(self._drivers) - wanted
        for stream in sorted(wanted - set(self._drivers), key=_turn):
            self._run(stream, self._drive(stream, self._ending.get(stream)))
        for stream in unwanted:
            end = self._end(stream, self._drivers.pop(stream))
            self._ending[stream] = asyncio.create_task(end, name=f"end of {stream}")

    async def stop(self) -> None:
        """End the drivers; the connection goes with the client, the venue need not be told."""
        drivers = [*self._drivers.values(), *self._ending.values()]
        self._drivers.clear()
        await ended(*drivers)

    def resubscribe(self, stream: Subscription, reason: str) -> None:
        """Leave this one stream and subscribe to it anew; the others go on."""
        driver = self._drivers.get(stream)
        if driver is None:
            return
        self.resubscriptions += 1
        self.on_left(stream)
        self._log.debug("Subscribing to %s anew: %s", stream, reason)
        self._run(stream, self._renew(stream, driver))

    def _run(self, stream: Subscription, work: Coroutine[Any, Any, None]) -> None:
        self._drivers[stream] = asyncio.create_task(work, name=str(stream))

    async def _end(self, stream: Subscription, driver: asyncio.Task[None]) -> None:
        """Many at a time wait here, not in ccxt's queue, where what is subscribed to waits too."""
        try:
            await ended(driver)
            self._renewals.pop(stream, None)
            self._renewed_at.pop(stream, None)
            async with self._unsubscribing:
                await self._unsubscribe(stream, _TRIES)
        finally:
            if self._ending.get(stream) is asyncio.current_task():
                del self._ending[stream]

    async def _unsubscribe(self, stream: Subscription, tries: int = 1) -> None:
        """Where the venue does not take it, new connections do: what nobody asks for ends there."""
        for left in reversed(range(tries)):
            try:
                await self._client.unwatch(stream)
                return
            except ExchangeError as error:
                if isinstance(error, NotSentError) and left:
                    continue
                self._log.warning("Could not unsubscribe %s: %s", stream, error)
                self._client.drop_connections()
                return

    async def _renew(self, stream: Subscription, former: asyncio.Task[None]) -> None:
        await ended(former)
        await self._unsubscribe(stream)
        # Its last words may have come after it was found wanting.
        self.on_lost(stream, "subscribed anew")
        await self._clock.sleep(self._renewal_s(stream))
        await self._drive(stream, None)

    async def _drive(self, stream: Subscription, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait({after})
        away, refused = Backoff(0.2, 10.0), Backoff(0.2, 60.0)
        while True:
            started = self._clock.monotonic()
            try:
                await self._client.watch(stream)
                continue
            except (NetworkError, RateLimitedError) as error:
                reason, backoff = str(error), away
                self._log.debug("Subscription %s: %s", stream, reason)
            except ExchangeError as error:
                reason, backoff = str(error), refused
                self._log.error("Failed to subscribe %s: %s", stream, reason)
            self.on_lost(stream, reason)
            if self._clock.monotonic() - started > _WORKS_S:
                backoff.reset()
            await self._clock.sleep(backoff.next_s())

    def _renewal_s(self, stream: Subscription) -> float:
        """The pause before a stream is subscribed again, longer each time while that is often."""
        now = self._clock.monotonic()
        backoff = self._renewals.setdefault(stream, Backoff(0.1, 60.0))
        if now - self._renewed_at.get(stream, now) > _WORKS_S:
            backoff.reset()
        self._renewed_at[stream] = now
        return backoff.next_s()


def _turn(stream: Subscription) -> tuple[int, str]:
    """Venues take some ten subscriptions a second: what most of the data comes from goes first."""
    return _TURNS.index(stream.kind), str(stream)
