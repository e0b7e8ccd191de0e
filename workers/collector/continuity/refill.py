"""Working on the gaps of trades until each is closed."""

import asyncio
import logging
from collections.abc import Callable

from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import ExchangeError
from shared.kinds import TRADES
from workers.collector.catalogue.row import TradeFeed
from workers.collector.continuity.gaps import NOWHERE, Gaps, Place
from workers.collector.continuity.pages import NamedPages, NumberedPages, Pages, TradeClient
from workers.collector.continuity.proof import NamedProof, NumberedProof, Proof, Source
from workers.collector.events import Print
from workers.collector.parts import Parts
from workers.collector.trades.flow import Flow, NamedFlow, NumberedFlow
from workers.collector.trades.trades import Trades

#: Symbols that are worked on at a time: most of that is waiting for a second look.
_SYMBOLS_AT_ONCE = 64


class Refill:
    """Works on the open gaps of `trades`, many at a time, again and again until each is closed."""

    def __init__(
        self, feed: TradeFeed, trades: Trades, gaps: Gaps, client: TradeClient, clock: Clock
    ) -> None:
        self.running: Callable[[str], bool] = lambda _symbol: True
        self.ready: Callable[[], bool] = lambda: True  # to take what is fetched
        self._source = Source(feed, trades, client, clock)
        self._trades, self._gaps = trades, gaps
        self._proofs: dict[str, Proof] = {}  # of the gaps that are worked on
        self._parts: dict[str, Parts] = {}
        self._wanted: asyncio.Queue[str] = asyncio.Queue()  # one entry a symbol at most
        self._queued: set[str] = set()
        self._working: set[str] = set()
        self._again: set[str] = set()  # wanted while they are worked on
        self._tries: dict[str, Backoff] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}  # of the next tries
        self._log = logging.getLogger("main")

    @property
    def recovered(self) -> int:
        """Trades brought back, in all."""
        return self._source.recovered

    def set_symbols(self, parts: dict[str, Parts]) -> None:
        self._parts = parts
        for symbol in self._proofs.keys() - parts.keys():
            del self._proofs[symbol]
        for symbol in self._tries.keys() - parts.keys():
            del self._tries[symbol]
        for symbol in self._timers.keys() - parts.keys():
            self._timers.pop(symbol).cancel()

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
            for _ in range(_SYMBOLS_AT_ONCE):
                tasks.create_task(self._work())

    async def look(self, symbol: str) -> list[Print]:
        """Ask for the newest trades and publish those that the stream did not bring, oldest first.

        Raises ExchangeError.
        """
        parts = self._parts.get(symbol)
        if parts is None:
            return []
        flow = self._trades.flow(symbol)
        begin, pages = flow.last, self._pages(flow)
        page = await pages.newest(symbol)
        if self._parts.get(symbol) is not parts:
            return []  # let go of meanwhile
        more_than_a_page = begin != NOWHERE and not pages.reaches(page, begin)
        new = self._source.take(page, parts, begin)
        if flow.jump or more_than_a_page:
            self._trades.on_jump(symbol, begin, flow.jump or "sequence")
            flow.jump = ""
        return new

    def _pages(self, flow: Flow) -> Pages:
        feed, client = self._source.feed, self._source.client
        if isinstance(flow, NumberedFlow):
            return NumberedPages(feed, client, flow)
        return NamedPages(feed, client)

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
        proof = self._proofs.get(symbol)
        if proof is None:
            proof = self._proofs[symbol] = self._new_proof(self._parts[symbol])
        if not self.ready():
            self._later(symbol)
            return
        try:
            verdict = await proof.verdict(begin)
        except ExchangeError as error:
            self._log.debug("The trades of %s can not be refilled yet: %s", symbol, error)
            self._later(symbol)
            return
        self._tries.pop(symbol, None)
        if symbol not in self._parts or not self.running(symbol) or symbol in self._again:
            return
        self._gaps.close(place, verdict.closing)
        verdict.settle()
        self._proofs.pop(symbol, None)

    def _new_proof(self, parts: Parts) -> Proof:
        flow = self._trades.flow(parts.symbol)
        if isinstance(flow, NumberedFlow):
            return NumberedProof(self._source, parts, flow)
        assert isinstance(flow, NamedFlow)
        return NamedProof(self._source, parts, flow)

    def _later(self, symbol: str) -> None:
        if symbol in self._timers:
            return
        backoff = self._tries.setdefault(symbol, Backoff(1.0, 60.0))
        loop = asyncio.get_running_loop()
        self._timers[symbol] = loop.call_later(backoff.next_s(), self._try_again, symbol)

    def _try_again(self, symbol: str) -> None:
        del self._timers[symbol]
        self.want(symbol)
