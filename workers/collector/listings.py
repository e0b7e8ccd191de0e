"""What the venue lists: learned at the start, again every few minutes, and soon when in doubt."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import CircuitBreakerOpenError, ExchangeError
from shared.heap import settle
from workers.collector.client import VenueClient
from workers.collector.market_file import MarketFile
from workers.collector.unified import Market

REFRESH_S = 300.0
#: However many doubts there are: the list may lag behind the market, and is the largest of answers.
_AGAIN_S = 5.0
#: How soon it is noticed that the venue may be asked again.
_BREAKER_S = 0.5


class Listings:
    """Keeps `client.markets` up to date."""

    def __init__(
        self, client: VenueClient, file: MarketFile, clock: Clock, log: logging.Logger
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.unlisted: list[str] = []  # symbols that are asked for and not listed
        self._client, self._clock, self._log = client, clock, log
        self._file = file
        self._kept: dict[str, Market] = {}  # what the file has
        self._age_s = 0.0  # of the list, at our start
        self._doubted = asyncio.Event()

    async def load(self) -> None:
        """Until it works: a venue that is down at our start is no reason to end. Nor is it asked
        for what we knew a moment ago."""
        if not self._recall():
            await self._learn()
        self._log.info("%d contracts are listed", len(self._client.markets))
        settle()

    def _recall(self) -> bool:
        """Take the list of our last run, where it is not due anyway."""
        found = self._file.load(REFRESH_S)
        if found is None:
            return False
        self._age_s, rows = found
        try:
            self._client.recall_markets(rows, self._age_s)
        except ExchangeError as error:
            self._log.warning("The list of markets on disk is of no use: %s", error)
            return False
        self._kept = self._client.markets
        self._log.info("The markets are those of %.0f s ago", self._age_s)
        return True

    async def _learn(self) -> None:
        backoff = Backoff(1.0, 30.0)
        while True:
            try:
                await self._load()
                return
            except CircuitBreakerOpenError:  # which was told when it opened
                await self._clock.sleep(_BREAKER_S)
            except ExchangeError as error:
                self._log.error("Failed to load markets: %s", error)
                await self._clock.sleep(backoff.next_s())

    async def _load(self) -> None:
        await self._client.load_markets()
        if self._client.markets == self._kept:
            self._file.confirm()
            return
        self._kept = self._client.markets
        await asyncio.to_thread(self._file.save, self._client.market_rows())

    async def run(self) -> None:
        """Keep up, for ever."""
        heed_from, pauses = self._clock.monotonic(), Backoff(_AGAIN_S, REFRESH_S)
        due_s = REFRESH_S - self._age_s
        while True:
            if not await self._doubted_after(heed_from, due_s):
                pauses.reset()
            due_s = REFRESH_S
            heed_from = self._clock.monotonic() + pauses.next_s()
            await self._refresh()

    def listed(self, wanted: Iterable[str]) -> list[str]:
        """Those of the symbols that are listed; one that was not asked for before may be new."""
        known, wanted = set(self.unlisted), list(wanted)
        self.unlisted = [symbol for symbol in wanted if symbol not in self._client.markets]
        for symbol in self.unlisted:
            self._log.debug("Symbol %s not available on exchange", symbol)
        if set(self.unlisted) - known:
            self._doubted.set()
        return [symbol for symbol in wanted if symbol in self._client.markets]

    def doubt(self, symbol: str) -> None:
        """The venue denies that it has this symbol, or says nothing of it any more."""
        if symbol in self._client.markets:
            self._doubted.set()

    async def _doubted_after(self, moment: float, due_s: float) -> bool:
        """Wait for a doubt, which is heeded from `moment` on; False where there is none in time."""
        try:
            async with asyncio.timeout(due_s):
                await self._doubted.wait()
                await self._clock.sleep(max(0.0, moment - self._clock.monotonic()))
        except TimeoutError:
            return False
        return True

    async def _refresh(self) -> None:
        self._doubted.clear()
        known = set(self._client.markets)
        try:
            await self._load()
        except ExchangeError as error:
            self._log.warning("Failed to refresh the markets: %s", error)
            return
        for symbol in sorted(known - set(self._client.markets)):
            self._log.warning("Symbol %s is not listed any more", symbol)
        for symbol in sorted(set(self.unlisted) & set(self._client.markets)):
            self._log.info("Symbol %s is listed now", symbol)
        if known != set(self._client.markets):
            self.on_change()
