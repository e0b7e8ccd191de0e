"""Subscriptions: one driver a stream and symbol, started and ended as the symbol set says.

A driver's loop is what keeps a subscription alive: ccxt redials and subscribes again only when
somebody calls `watch`. It always sleeps after an error; ccxt can hand out a future that is
rejected already, and a loop without a pause would never let go of the event loop.
"""

import asyncio
import logging
from typing import Any

from shared.clock import Clock
from shared.errors import BookDesyncError, ExchangeError, NetworkError
from shared.retry import Backoff
from workers.collector.catalogue import StreamKind
from workers.collector.client import VenueClient
from workers.collector.intake import Intake
from workers.collector.parts import Book, Part

#: A subscription that the venue refuses for what it is, is tried again, but rarely.
_REFUSED_S = 60.0


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
        self._lost: dict[str, str] = {}  # symbols whose book is to be fetched anew, and why
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
        for task in self._drivers.values():
            task.cancel()
        await asyncio.gather(*self._drivers.values(), return_exceptions=True)
        self._drivers.clear()

    def lose_book(self, symbol: str, reason: str) -> None:
        """Nobody gets this book any more; its driver fetches a new one."""
        parts = self._intake.parts.get(symbol)
        if parts is not None:
            parts.book = None
        driver = self._drivers.get((StreamKind.BOOK, symbol))
        if symbol in self._lost or driver is None:
            return
        self._lost[symbol] = reason
        driver.cancel()
        self._start(StreamKind.BOOK, symbol, after=driver)

    def _start(
        self, kind: StreamKind, symbol: str, after: asyncio.Task[None] | None = None
    ) -> None:
        self._drivers[kind, symbol] = asyncio.create_task(
            self._drive(kind, symbol, after), name=f"{kind.value} {symbol}"
        )

    async def _end(self, kind: StreamKind, symbol: str) -> None:
        task = self._drivers.pop((kind, symbol))
        task.cancel()
        await asyncio.wait({task})
        self._lost.pop(symbol, None)
        try:
            await self._client.unwatch(kind, symbol)
        except ExchangeError as error:
            self._log.warning("Could not unsubscribe %s of %s: %s", kind.value, symbol, error)
        self._client.forget_book(symbol)

    async def _drive(self, kind: StreamKind, symbol: str, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait({after})
        backoff = Backoff(0.2, 10.0)
        while True:
            try:
                await self._resync_if_lost(symbol, kind)
                value = await self._client.watch(kind, symbol)
                if kind is StreamKind.BOOK:
                    self._on_book(symbol, value)
                backoff.reset()
            except BookDesyncError as error:
                self._on_desync(symbol, str(error))
                await self._clock.sleep(backoff.next_s())
            except NetworkError as error:
                self._forget(kind, symbol)
                self._log.debug("Subscription %s of %s: %s", kind.value, symbol, error)
                await self._clock.sleep(backoff.next_s())
            except ExchangeError as error:
                self._forget(kind, symbol)
                self._log.error("Failed to subscribe %s of %s: %s", kind.value, symbol, error)
                await self._clock.sleep(_REFUSED_S)

    async def _resync_if_lost(self, symbol: str, kind: StreamKind) -> None:
        if kind is not StreamKind.BOOK or symbol not in self._lost:
            return
        self._on_desync(symbol, self._lost[symbol])
        try:
            await self._client.unwatch(kind, symbol)
        finally:
            self._client.forget_book(symbol)
        del self._lost[symbol]

    def _on_desync(self, symbol: str, reason: str) -> None:
        self.resyncs += 1
        self._forget(StreamKind.BOOK, symbol)
        self._log.warning("Order book of %s lost its thread (%s): fetching it anew", symbol, reason)

    def _forget(self, kind: StreamKind, symbol: str) -> None:
        """After an error the book may have missed something: it is void until its next snapshot."""
        parts = self._intake.parts.get(symbol)
        if kind is StreamKind.BOOK and parts is not None:
            parts.book = None

    def _on_book(self, symbol: str, book: Any) -> None:
        parts = self._intake.parts.get(symbol)
        if parts is None or symbol in self._lost or not book["bids"] or not book["asks"]:
            return
        value = Book(book["bids"], book["asks"], book["timestamp"], book["nonce"])
        parts.book = Part(value, self._clock.monotonic(), "stream")
        parts.book_changed = True


def _quick_first(key: tuple[StreamKind, str]) -> tuple[bool, str]:
    """Books last: their snapshots wait for the budget, and others would wait behind them."""
    kind, symbol = key
    return kind is StreamKind.BOOK, symbol
