"""Bringing back trades that the stream did not: by REST, in the same id space, with a proof.

A gap is `repaired` only when nothing can be missing. Dense ids prove it by themselves: every number
from the last one before the gap to the first one after it came, or the venue's REST lists its
neighbours and not it. Other ids: the trades of REST reach back to the last one before the gap, and
they were asked for when the stream was running again, twice, since some venues list a trade a
moment after they stream it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.clock import Clock
from shared.completeness import GapState
from shared.errors import ExchangeError, NetworkError
from shared.kinds import TRADES
from shared.retry import Backoff
from workers.collector.catalogue.row import TradeFeed
from workers.collector.continuity.gaps import NOWHERE, Closing, Gaps, Mark, Place
from workers.collector.events import Print
from workers.collector.parts import Parts
from workers.collector.trades import Flow, Trades

#: REST answers asked for at a time, of all symbols.
_AT_ONCE = 3
#: Pages a gap, at most: 50,000 trades where a page has 1000.
_MAX_PAGES = 50
_SECOND_LOOK_S = 3.0


class TradeClient(Protocol):
    """What a refill asks of a venue."""

    async def fetch_trades(self, symbol: str, older_than: Print | None = None) -> list[Print]:
        """The newest trades, or those before one; oldest first. Raises ExchangeError."""
        ...


@dataclass(frozen=True, slots=True)
class _Found:
    """What the pages of REST gave."""

    oldest: Print | None
    newest: Print | None
    reached: bool  # back to where the gap begins
    recovered: int


class Refill:
    """Works on the open gaps of `trades`, some at a time, again and again until each is closed."""

    def __init__(
        self, feed: TradeFeed, trades: Trades, gaps: Gaps, client: TradeClient, clock: Clock
    ) -> None:
        self.recovered = 0
        self.running: Callable[[str], bool] = lambda _symbol: True
        self.ready: Callable[[], bool] = lambda: True  # to take what is fetched
        self._feed, self._trades, self._gaps = feed, trades, gaps
        self._client, self._clock = client, clock
        self._parts: dict[str, Parts] = {}
        self._wanted: asyncio.Queue[str] = asyncio.Queue()  # one entry a symbol at most
        self._queued: set[str] = set()
        self._working: set[str] = set()
        self._again: set[str] = set()  # wanted while they are worked on
        self._tries: dict[str, Backoff] = {}
        self._log = logging.getLogger("main")

    def set_symbols(self, parts: dict[str, Parts]) -> None:
        self._parts = parts

    def want(self, symbol: str) -> None:
        """The stream of this symbol runs again: bring back what it missed."""
        if symbol in self._working:
            self._again.add(symbol)
        elif symbol not in self._queued:
            self._queued.add(symbol)
            self._wanted.put_nowait(symbol)

    async def run(self) -> None:
        """Refill, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(self._work())

    async def look(self, symbol: str) -> int:
        """Ask for the newest trades and publish those that the stream did not bring; how many.

        Raises ExchangeError.
        """
        parts = self._parts.get(symbol)
        if parts is None:
            return 0
        begin = self._trades.flow(symbol).last
        page = await self._client.fetch_trades(symbol)
        if begin != NOWHERE and not _reaches(page, begin):
            self._trades.on_jump(symbol, begin)  # more is missing than a page holds
        return self._taken(page, parts, begin)

    async def _work(self) -> None:
        while True:
            symbol = await self._wanted.get()
            self._queued.discard(symbol)
            if symbol in self._parts and symbol not in self._working:
                self._working.add(symbol)
                try:
                    await self._repair(symbol)
                finally:
                    self._working.discard(symbol)
                if symbol in self._again:
                    self._again.discard(symbol)
                    self.want(symbol)

    async def _repair(self, symbol: str) -> None:
        place = Place(TRADES, symbol)
        begin = self._gaps.last(place)
        if begin is None or not self.running(symbol):
            return  # closed meanwhile; or the stream is gone again and will tell when it is back
        if not self.ready():
            self._later(symbol)
            return
        try:
            closing = await self._brought_back(self._parts[symbol], begin)
        except ExchangeError as error:
            self._log.debug("The trades of %s can not be refilled yet: %s", symbol, error)
            self._later(symbol)
            return
        self._tries.pop(symbol, None)
        if symbol not in self._parts or not self.running(symbol) or symbol in self._again:
            return
        self._gaps.close(place, closing)

    def _later(self, symbol: str) -> None:
        backoff = self._tries.setdefault(symbol, Backoff(1.0, 60.0))
        asyncio.get_running_loop().call_later(backoff.next_s(), self.want, symbol)

    async def _brought_back(self, parts: Parts, begin: Mark) -> Closing:
        flow = self._trades.flow(parts.symbol)
        if self._feed.dense:
            return self._proven_by_numbers(flow, await self._paged(parts, begin))
        first = await self._paged(parts, begin)
        await self._clock.sleep(_SECOND_LOOK_S)
        recovered = first.recovered + await self._looked(parts, begin)
        if first.reached:
            return Closing("repaired", flow.last, 0, recovered)
        oldest = first.oldest
        after = Mark(oldest.id, oldest.timestamp) if oldest else flow.last
        return Closing("unrepairable", after, None, recovered)

    async def _looked(self, parts: Parts, begin: Mark) -> int:
        return self._taken(await self._client.fetch_trades(parts.symbol), parts, begin)

    def _taken(self, page: list[Print], parts: Parts, begin: Mark) -> int:
        count = self._trades.refill(_after(page, begin), parts)
        self.recovered += count
        return count

    def _proven_by_numbers(self, flow: Flow, found: _Found) -> Closing:
        """Numbers that REST does not list although it lists their neighbours do not exist; those
        below the oldest one that it has are gone."""
        absent = missing = 0
        if found.oldest is not None and found.newest is not None:
            low, high = int(found.oldest.id), int(found.newest.id)
            absent = flow.drop_holes(low, high)
            missing = flow.drop_holes(0, low - 1)
        left = sum(end - start + 1 for start, end in flow.holes)
        if left:
            raise ExchangeError(f"{left} numbers are not listed yet")
        state: GapState = "unrepairable" if missing else "repaired"
        first = flow.last
        if missing and found.oldest is not None:
            first = Mark(found.oldest.id, found.oldest.timestamp)
        return Closing(state, first, missing, found.recovered, absent)

    async def _paged(self, parts: Parts, begin: Mark) -> _Found:
        """From the newest page back to where the gap begins, or as far as the venue reaches."""
        symbol, pages = parts.symbol, [await self._client.fetch_trades(parts.symbol)]
        if not pages[0] and begin.key is not None:
            raise NetworkError("no trade is listed, though there were some")
        while not _reaches(pages[-1], begin) and self._feed.pages and len(pages) < _MAX_PAGES:
            older = await self._client.fetch_trades(symbol, pages[-1][0]) if pages[-1] else []
            older = _before(older, pages[-1])
            if not older:
                break
            pages.append(older)
        reached = _reaches(pages[-1], begin)
        trades = [trade for page in reversed(pages) for trade in page]
        recovered = self._trades.refill(_after(trades, begin), parts)
        self.recovered += recovered
        if not trades:
            return _Found(None, None, reached, recovered)
        return _Found(trades[0], trades[-1], reached, recovered)


def _reaches(page: Sequence[Print], begin: Mark) -> bool:
    """Whether a page goes back to the last thing before the gap, or beyond."""
    if not page:
        return True
    oldest, since = page[0].timestamp, begin.time
    if oldest is not None and since is not None and oldest <= since - (begin.key is not None):
        return True
    return begin.key is not None and any(trade.id == begin.key for trade in page)


def _after(trades: Sequence[Print], begin: Mark) -> list[Print]:
    """What may be missing: not older than the last thing before the gap, and not that itself.

    Trades of the same millisecond are taken whatever their place: only ids tell which came.
    """
    since = begin.time or 0
    return [t for t in trades if (t.timestamp or since) >= since and t.id != begin.key]


def _before(page: Sequence[Print], newer: Sequence[Print]) -> list[Print]:
    """Without what the newer page has, or what came after it: venues page inclusively or not, and
    one that is asked for more than it has may begin anywhere."""
    known, end = {trade.id for trade in newer}, newer[0].timestamp
    return [
        trade
        for trade in page
        if trade.id not in known and (end is None or (trade.timestamp or 0) <= end)
    ]
