"""Subscriptions: one driver a stream and symbol, started and ended as the symbol set says.

A driver's loop is what keeps a subscription alive: ccxt redials and subscribes again only when
somebody calls `watch`. It always sleeps after an error; ccxt can hand out a future that is
rejected already, and a loop without a pause would never let go of the event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from shared.clock import Clock
from shared.errors import ExchangeError, NetworkError, RateLimitedError
from shared.retry import Backoff
from shared.tasks import ended
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.client import VenueClient

#: A stream that lasts this long works; its next trouble starts with a short pause again.
_WORKS_S = 30.0
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
        self._renewals: dict[Subscription, Backoff] = {}
        self._renewed_at: dict[Subscription, float] = {}

    async def apply(self, wanted: Iterable[Subscription]) -> None:
        """Subscribe to all of `wanted` and to nothing else."""
        wanted = set(wanted)
        unwanted = set(self._drivers) - wanted
        for stream in sorted(wanted - set(self._drivers), key=_turn):
            self._start(stream)
        await asyncio.gather(*(self._end(stream) for stream in unwanted))

    async def stop(self) -> None:
        """End the drivers; the connection goes with the client, the venue need not be told."""
        drivers = list(self._drivers.values())
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
        self._start(stream, instead_of=driver)

    def _start(self, stream: Subscription, instead_of: asyncio.Task[None] | None = None) -> None:
        self._drivers[stream] = asyncio.create_task(
            self._drive(stream, instead_of), name=str(stream)
        )

    async def _end(self, stream: Subscription) -> None:
        await ended(self._drivers.pop(stream))
        self._renewals.pop(stream, None)
        self._renewed_at.pop(stream, None)
        await self._unsubscribe(stream)

    async def _unsubscribe(self, stream: Subscription) -> None:
        """Where the venue does not take it, new connections do: what nobody asks for ends there."""
        try:
            await self._client.unwatch(stream)
        except ExchangeError as error:
            self._log.warning("Could not unsubscribe %s: %s", stream, error)
            self._client.drop_connections()

    async def _drive(self, stream: Subscription, instead_of: asyncio.Task[None] | None) -> None:
        if instead_of is not None:
            await ended(instead_of)
            await self._unsubscribe(stream)
            # Its last words may have come after it was found wanting.
            self.on_lost(stream, "subscribed anew")
            await self._clock.sleep(self._renewal_s(stream))
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
