"""Bringing back trades that the stream did not: by REST, in the same id space, with a proof.

A gap is `repaired` only when nothing can be missing.

Dense ids prove it by themselves: every number from the last one before the gap to the first one
after it came, or the venue's REST lists its neighbours and not it, and still so some seconds later,
since some venues list a trade a moment after the next one.

Other ids: the trades of REST reach back to the last one before the gap, and they were asked for
when the stream was running again, twice, with an answer that lists what the stream brought since.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.clock import Clock
from shared.completeness import GapState
from shared.errors import ExchangeError, NetworkError
from workers.collector.catalogue.row import TradeFeed
from workers.collector.continuity.gaps import Closing, Mark
from workers.collector.events import Print
from workers.collector.parts import Parts
from workers.collector.trades.flow import Flow, number_of
from workers.collector.trades.numbers import NumberLine
from workers.collector.trades.trades import Trades

#: Trades that a gap is paged back for, at most, and pages.
_MAX_TRADES = 50_000
_MAX_PAGES = 500
_SECOND_LOOK_S = 3.0


class TradeClient(Protocol):
    """What a proof asks of a venue."""

    async def fetch_trades(self, symbol: str, older_than: Print | None = None) -> list[Print]:
        """The newest trades, or those before one; oldest first. Raises ExchangeError."""
        ...


@dataclass(slots=True)
class _Found:
    """What the pages of REST gave."""

    trades: list[Print] = field(default_factory=list)
    reached: bool = True  # back to where the gap begins
    recovered: int = 0

    @property
    def numbers(self) -> list[tuple[int, int]]:
        """First and last of each trade, where ids are numbers."""
        return [
            (number - trade.fills + 1, number)
            for trade in self.trades
            if (number := number_of(trade)) is not None
        ]

    def oldest(self, otherwise: Mark) -> Mark:
        return _mark(self.trades[0]) if self.trades else otherwise


class Proof:
    """Asks a venue for trades until it is known what a gap cost."""

    def __init__(self, feed: TradeFeed, trades: Trades, client: TradeClient, clock: Clock) -> None:
        self.recovered = 0
        self._feed, self._trades = feed, trades
        self._client, self._clock = client, clock

    async def look(self, parts: Parts, begin: Mark) -> tuple[int, bool]:
        """Publish those of the newest trades that the stream did not bring: how many, and whether
        they reach back to `begin`. Raises ExchangeError."""
        page = await self._client.fetch_trades(parts.symbol)
        reached = self._reaches(self._trades.flow(parts.symbol), page, begin)
        return self._taken(page, parts, begin), reached

    async def close(self, parts: Parts, begin: Mark) -> Closing:
        """Bring back what a gap from `begin` until now lacks. Raises ExchangeError while nothing
        is proven."""
        flow = self._trades.flow(parts.symbol)
        found = await self._paged(parts, begin)
        if flow.numbers is None:
            return await self._by_ids(flow, found, parts, begin)
        if _is_numbered_anew(flow, found.trades):
            return self._numbered_anew(flow, found, parts)
        return await self._by_numbers(flow.numbers, found, parts, begin)

    async def _by_ids(self, flow: Flow, found: _Found, parts: Parts, begin: Mark) -> Closing:
        await self._clock.sleep(_SECOND_LOOK_S)
        page = await self._client.fetch_trades(parts.symbol)
        _check_fresh(flow, page)
        recovered = found.recovered + self._taken(page, parts, begin)
        gone = len(flow.unsent)
        flow.unsent.clear()
        if not found.reached:
            return Closing("unrepairable", found.oldest(flow.last), None, recovered)
        return Closing("unrepairable" if gone else "repaired", flow.last, gone, recovered)

    async def _by_numbers(
        self, numbers: NumberLine, found: _Found, parts: Parts, begin: Mark
    ) -> Closing:
        flow, recovered = self._trades.flow(parts.symbol), found.recovered
        if numbers.holes and _may_be_listed_yet(flow, numbers, found):
            await self._clock.sleep(_SECOND_LOOK_S)
            found = await self._paged(parts, begin)
            recovered += found.recovered
        unfit, absent, beyond = _given_up(numbers, found.numbers)
        if numbers.holes and _passed_top(flow, found):
            numbers.end_with(max(found.numbers)[1])
        if numbers.holes:
            raise ExchangeError(f"{len(numbers.holes)} numbers are not listed yet")
        unknown = not found.reached and begin.key is None
        gone = unfit + beyond
        state: GapState = "unrepairable" if gone or unknown else "repaired"
        first = found.oldest(flow.last) if beyond or unknown else flow.last
        return Closing(state, first, None if unknown else gone, recovered, absent)

    def _numbered_anew(self, flow: Flow, found: _Found, parts: Parts) -> Closing:
        """Nothing proves what lies between the old numbers and the new ones."""
        newer = [t for t in found.trades if t.timestamp is not None and t.timestamp > flow.peak]
        flow.number_anew()
        recovered = self._trades.refill(newer, parts)
        self.recovered += recovered
        return Closing("unrepairable", _mark(newer[0]), None, found.recovered + recovered)

    async def _paged(self, parts: Parts, begin: Mark) -> _Found:
        """From the newest page back to where the gap begins, or as far as the venue reaches."""
        flow = self._trades.flow(parts.symbol)
        page = await self._client.fetch_trades(parts.symbol)
        if not page and begin.key is not None:
            raise NetworkError("no trade is listed, though there were some")
        pages, count = [page], len(page)
        while not self._reaches(flow, pages[-1], begin) and self._feed.pages:
            if count >= _MAX_TRADES or len(pages) >= _MAX_PAGES:
                break
            older = await self._older(parts.symbol, pages[-1])
            if not older:
                break
            pages.append(older)
            count += len(older)
        reached = self._reaches(flow, pages[-1], begin)
        trades = [trade for page in reversed(pages) for trade in page]
        return _Found(trades, reached, self._taken(trades, parts, begin))

    async def _older(self, symbol: str, page: Sequence[Print]) -> list[Print]:
        """Without what the newer page has, or what came after it: venues page inclusively or not,
        and one that is asked for more than it has may begin anywhere."""
        oldest = _lowest(page) if self._feed.dense else page[0]
        known, end = {trade.id for trade in page}, oldest.timestamp
        return [
            trade
            for trade in await self._client.fetch_trades(symbol, oldest)
            if trade.id not in known and (end is None or (trade.timestamp or 0) <= end)
        ]

    def _taken(self, trades: Iterable[Print], parts: Parts, begin: Mark) -> int:
        flow = self._trades.flow(parts.symbol)
        count = self._trades.refill([t for t in trades if flow.may_lack(t, begin)], parts)
        self.recovered += count
        return count

    def _reaches(self, flow: Flow, page: Sequence[Print], begin: Mark) -> bool:
        """Whether a page goes back to the last thing before the gap, or beyond."""
        if not page:
            return True
        numbers = flow.numbers
        if numbers is None or flow.contrary is not None:
            return _reaches_time(page, begin)
        oldest = _lowest(page)
        low = (number_of(oldest) or 0) - oldest.fills + 1
        if numbers.holes and numbers.holes.stretches[0][0] < low:
            return False
        if begin.key is None:
            return _reaches_time(page, begin)
        return not begin.key.isdecimal() or low <= int(begin.key) + 1


def _reaches_time(page: Sequence[Print], begin: Mark) -> bool:
    oldest, since = page[0].timestamp, begin.time
    if oldest is not None and since is not None and oldest <= since - (begin.key is not None):
        return True
    return begin.key is not None and any(trade.id == begin.key for trade in page)


def _lowest(page: Sequence[Print]) -> Print:
    return min(page, key=lambda trade: number_of(trade) or 0)


def _mark(trade: Print) -> Mark:
    return Mark(trade.id, trade.timestamp)


def _check_fresh(flow: Flow, page: Sequence[Print]) -> None:
    """Raises NetworkError for an answer from before what the stream told since it was cut, as one
    out of a cache."""
    witnesses = {trade.id for trade in flow.witnesses}
    if not witnesses or any(trade.id in witnesses for trade in page):
        return
    oldest, told = (page[0].timestamp if page else None), flow.witnesses[0].timestamp
    if oldest is None or told is None or oldest <= told:
        raise NetworkError("nothing of what the stream told is listed yet")


def _may_be_listed_yet(flow: Flow, numbers: NumberLine, found: _Found) -> bool:
    """Whether something is missing between trades that are listed, or that came."""
    listed = found.numbers
    if not listed:
        return False
    low, high = min(listed)[0], max(listed)[1]
    between = any(low <= last and first <= high for first, last in numbers.holes.stretches)
    return between or _passed_top(flow, found)


def _passed_top(flow: Flow, found: _Found) -> bool:
    """Whether newer trades are listed than the one with the highest number, and it is not: a slip,
    which the next numbers do not go on from."""
    highest, listed = flow.numbers.last if flow.numbers else None, found.numbers
    if highest is None or not listed or max(listed)[1] >= highest:
        return False
    return max(trade.timestamp or 0 for trade in found.trades) > flow.top > 0


def _given_up(numbers: NumberLine, listed: Sequence[tuple[int, int]]) -> tuple[int, int, int]:
    """How many of the missing numbers are unfit to be published, though they are listed; how many
    do not exist, since others around them are listed; and how many lie beyond what is listed."""
    if not listed or not numbers.holes:
        return 0, 0, 0
    unfit = sum(numbers.give_up(*one) for one in listed)
    low, high = min(listed)[0], max(listed)[1]
    return unfit, numbers.give_up(low, high), numbers.give_up(0, low - 1)


def _is_numbered_anew(flow: Flow, trades: Sequence[Print]) -> bool:
    """Whether REST lists the trade whose number was taken. Raises NetworkError where it is too
    early to tell."""
    contrary = flow.contrary
    if contrary is None:
        return False
    if any((t.id, t.timestamp) == (contrary.id, contrary.timestamp) for t in trades):
        return True
    newest = max((t.timestamp or 0 for t in trades), default=0)
    if newest <= (contrary.timestamp or 0):
        raise NetworkError(f"trade {contrary.id} came twice, and is not listed yet")
    flow.contrary = None  # a repeat, with another time
    return False
