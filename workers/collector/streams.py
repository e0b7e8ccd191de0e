"""Subscriptions: one driver a stream and symbol, started and ended as the symbol set says.

A driver's loop is what keeps a subscription alive: ccxt redials and subscribes again only when
somebody calls `watch`. It always sleeps after an error; ccxt can hand out a future that is
rejected already, and a loop without a pause would never let go of the event loop.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

from shared.clock import Clock
from shared.errors import BookDesyncError, ExchangeError, NetworkError, RateLimitedError
from shared.retry import Backoff
from shared.tasks import ended
from workers.collector.catalogue import StreamKind
from workers.collector.client import VenueClient
from workers.collector.intake import Intake
from workers.collector.parts import Book, Part

#: A book that stays valid this long has recovered; the next loss starts with a short pause again.
_RECOVERED_S = 30.0


@dataclass(slots=True)
class _Trouble:
    """Of one symbol's book: why it is to be fetched anew, and the pauses before that."""

    backoff: Backoff = field(default_factory=lambda: Backoff(0.2, 60.0))
    lost: str | None = None
    lost_at: float = 0.0


class Streams:
    """The drivers of a venue's symbols."""

    def __init__(
        self, client: VenueClient, intake: Intake, clock: Clock, log: logging.Logger
    ) -> None:
        self.resyncs = 0
        self._client = client
        self._intake = intake
        self._clock = clock
        self._log = log
        self._drivers: dict[tuple[StreamKind, str], asyncio.Task[None]] = {}
        self._troubles: dict[str, _Trouble] = {}  # by symbol
        intake.on_book_lost = self.lose_book

    async def apply(self, symbols: list[str]) -> None:
        """Subscribe to all streams of `symbols` and to nothing else."""
        wanted = {(kind, symbol) for symbol in symbols for kind in StreamKind}
        unwanted = set(self._drivers) - wanted
        for kind, symbol in sorted(wanted - set(self._drivers), key=_quick_first):
            self._start(kind, symbol)
        await asyncio.gather(*(self._end(*key) for key in unwanted))

    async def stop(self) -> None:
        """End the drivers; the connection goes with the client, the venue need not be told."""
        drivers = list(self._drivers.values())
        self._drivers.clear()
        await ended(*drivers)

    def lose_book(self, symbol: str, reason: str) -> None:
        """Nobody gets this book any more; its driver fetches a new one."""
        driver = self._drivers.get((StreamKind.BOOK, symbol))
        trouble = self._troubles.setdefault(symbol, _Trouble())
        if trouble.lost is not None or driver is None:
            return
        self._on_desync(symbol, reason)
        trouble.lost = reason
        self._start(StreamKind.BOOK, symbol, after=driver)

    def _start(
        self, kind: StreamKind, symbol: str, after: asyncio.Task[None] | None = None
    ) -> None:
        self._drivers[kind, symbol] = asyncio.create_task(
            self._drive(kind, symbol, after), name=f"{kind.value} {symbol}"
        )

    async def _end(self, kind: StreamKind, symbol: str) -> None:
        await ended(self._drivers.pop((kind, symbol)))
        if kind is StreamKind.BOOK:
            self._troubles.pop(symbol, None)
        await self._unsubscribe(kind, symbol)

    async def _unsubscribe(self, kind: StreamKind, symbol: str) -> None:
        """Where the venue does not take it, new connections do: what nobody asks for ends there."""
        try:
            await self._client.unwatch(kind, symbol)
        except ExchangeError as error:
            self._log.warning("Could not unsubscribe %s of %s: %s", kind.value, symbol, error)
            self._client.drop_connections()
        if kind is StreamKind.BOOK:
            self._client.forget_book(symbol)

    async def _drive(self, kind: StreamKind, symbol: str, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await ended(after)
        away, refused, fresh = Backoff(0.2, 10.0), Backoff(0.2, 60.0), True
        while True:
            try:
                if kind is StreamKind.BOOK and fresh:
                    await self._prepare_book(symbol)
                value = await self._client.watch(kind, symbol)
                if kind is StreamKind.BOOK:
                    self._on_book(symbol, value)
                fresh = False
                away.reset()
                refused.reset()
                continue
            except BookDesyncError as error:
                self._on_desync(symbol, str(error))
                pause_s = self._troubles.setdefault(symbol, _Trouble()).backoff.next_s()
            except (NetworkError, RateLimitedError) as error:
                self._log.debug("Subscription %s of %s: %s", kind.value, symbol, error)
                pause_s = away.next_s()
            except ExchangeError as error:
                self._log.error("Failed to subscribe %s of %s: %s", kind.value, symbol, error)
                pause_s = refused.next_s()
            fresh = True
            self._forget(kind, symbol)
            await self._clock.sleep(pause_s)

    async def _prepare_book(self, symbol: str) -> None:
        """Before a book is subscribed: end what is left of a lost one, pay for the snapshot."""
        trouble = self._troubles.get(symbol)
        if trouble is not None and trouble.lost is not None:
            await self._unsubscribe(StreamKind.BOOK, symbol)
            await self._clock.sleep(trouble.backoff.next_s())
            trouble.lost = None
        await self._client.prepay_snapshot()

    def _on_desync(self, symbol: str, reason: str) -> None:
        self.resyncs += 1
        self._forget(StreamKind.BOOK, symbol)
        trouble = self._troubles.setdefault(symbol, _Trouble())
        now = self._clock.monotonic()
        again = now - trouble.lost_at < _RECOVERED_S
        trouble.lost_at = now
        if again:
            self._log.debug("Order book of %s lost its thread again (%s)", symbol, reason)
            return
        trouble.backoff.reset()
        self._log.warning("Order book of %s lost its thread (%s): fetching it anew", symbol, reason)

    def _forget(self, kind: StreamKind, symbol: str) -> None:
        """After an error the book may have missed something: it is void until its next snapshot."""
        parts = self._intake.parts.get(symbol)
        if kind is StreamKind.BOOK and parts is not None:
            parts.book = None

    def _on_book(self, symbol: str, book: Any) -> None:
        parts, trouble = self._intake.parts.get(symbol), self._troubles.get(symbol)
        lost = trouble is not None and trouble.lost is not None
        if parts is None or lost or not book["bids"] or not book["asks"]:
            return
        value = Book(book["bids"], book["asks"], book["timestamp"], book["nonce"])
        parts.book = Part(value, self._clock.monotonic(), "stream")
        parts.book_changed = True


def _quick_first(key: tuple[StreamKind, str]) -> tuple[bool, str]:
    """Books last: their snapshots wait for the budget, and others would wait behind them."""
    kind, symbol = key
    return kind is StreamKind.BOOK, symbol
