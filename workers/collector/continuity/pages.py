"""Trades of a venue's REST, page by page."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from shared.errors import NetworkError
from workers.collector.catalogue.row import TradeFeed
from workers.collector.continuity.gaps import Mark
from workers.collector.events import Print
from workers.collector.trades.flow import UNSORTED_MS, NumberedFlow, number_of

#: Trades that a gap is paged back for, at most, and pages.
_MAX_TRADES = 50_000
_MAX_PAGES = 500


class TradeClient(Protocol):
    """What is asked of a venue."""

    async def fetch_trades(self, symbol: str, older_than: Print | None = None) -> list[Print]:
        """The newest trades, or those before one; oldest first. Raises ExchangeError."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """Trades that REST lists, oldest first; whether they go back to where they were looked for."""

    trades: list[Print] = field(default_factory=list)
    reached: bool = True

    def oldest(self, otherwise: Mark) -> Mark:
        return mark(self.trades[0]) if self.trades else otherwise

    def numbers(self) -> list[tuple[int, int]]:
        """First and last of each trade, where ids are numbers."""
        return [
            (number - trade.fills + 1, number)
            for trade in self.trades
            if (number := number_of(trade)) is not None
        ]


class Pages(ABC):
    """Goes from the newest page back to the last thing before a gap, or as far as REST reaches."""

    def __init__(self, feed: TradeFeed, client: TradeClient) -> None:
        self._feed, self._client = feed, client

    async def newest(self, symbol: str) -> list[Print]:
        return await self._client.fetch_trades(symbol)

    async def back_to(self, begin: Mark, symbol: str) -> Listed:
        """Raises ExchangeError."""
        page = await self._client.fetch_trades(symbol)
        if not page and begin.key is not None:
            raise NetworkError("no trade is listed, though there were some")
        pages, count = [page], len(page)
        while not self.reaches(pages[-1], begin) and self._feed.pages:
            if count >= _MAX_TRADES or len(pages) >= _MAX_PAGES:
                break
            older = await self._older(pages[-1], symbol)
            if not older:
                break
            pages.append(older)
            count += len(older)
        trades = [trade for page in reversed(pages) for trade in page]
        return Listed(trades, self.reaches(pages[-1], begin))

    async def _older(self, page: Sequence[Print], symbol: str) -> list[Print]:
        oldest, known = self.oldest(page), {trade.id for trade in page}
        rows = await self._client.fetch_trades(symbol, oldest)
        return self.before(oldest, [trade for trade in rows if trade.id not in known])

    @abstractmethod
    def reaches(self, page: Sequence[Print], begin: Mark) -> bool:
        """Whether a page goes back to the last thing before the gap, or beyond."""

    @abstractmethod
    def oldest(self, page: Sequence[Print]) -> Print: ...

    @abstractmethod
    def before(self, oldest: Print, rows: list[Print]) -> list[Print]:
        """Those of the rows that are older: venues page inclusively or not, and one that is asked
        for more than it has may begin anywhere."""


class NamedPages(Pages):
    """By time."""

    def reaches(self, page: Sequence[Print], begin: Mark) -> bool:
        return not page or reaches_time(page, begin)

    def oldest(self, page: Sequence[Print]) -> Print:
        return page[0]

    def before(self, oldest: Print, rows: list[Print]) -> list[Print]:
        end = oldest.timestamp
        if end is None:
            return rows
        if not any((trade.timestamp or 0) <= end for trade in rows):
            return []
        return [trade for trade in rows if (trade.timestamp or 0) <= end + UNSORTED_MS]


class NumberedPages(Pages):
    """By number, where the begin of a gap has one."""

    def __init__(self, feed: TradeFeed, client: TradeClient, flow: NumberedFlow) -> None:
        super().__init__(feed, client)
        self._flow = flow

    def reaches(self, page: Sequence[Print], begin: Mark) -> bool:
        if not page:
            return True
        if self._flow.contrary is not None:
            return reaches_time(page, begin)
        oldest = self.oldest(page)
        number = number_of(oldest)
        if number is None:
            return False
        low, line = number - oldest.fills + 1, self._flow.line
        if line.holes and line.holes.stretches[0][0] < low:
            return False
        if begin.key is None or not begin.key.isdecimal():
            return reaches_time(page, begin)
        return low <= line.unknown_from(int(begin.key) + 1)

    def oldest(self, page: Sequence[Print]) -> Print:
        return min(page, key=lambda one: inf if (number := number_of(one)) is None else number)

    def before(self, oldest: Print, rows: list[Print]) -> list[Print]:
        end = number_of(oldest) or 0
        return [trade for trade in rows if (number_of(trade) or 0) < end]


def reaches_time(page: Sequence[Print], begin: Mark) -> bool:
    """The trade that a gap begins with is among these; or, since times are not in order to the
    millisecond, one that is well before it."""
    oldest, since = page[0].timestamp, begin.time
    if begin.key is not None and any(trade.id == begin.key for trade in page):
        return True
    slack_ms = UNSORTED_MS if begin.key is not None else 0  # else it is not about a trade
    return oldest is not None and since is not None and oldest <= since - slack_ms


def mark(trade: Print) -> Mark:
    return Mark(trade.id, trade.timestamp)
