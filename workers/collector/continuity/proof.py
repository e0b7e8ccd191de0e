"""Bringing back trades that the stream did not: by REST, in the same id space, with a proof.

A gap is `repaired` only when nothing can be missing.

Dense ids prove it by themselves: every number from the last one before the gap to the first one
after it came, or the venue's REST lists its neighbours and not it, and still so some seconds later,
since some venues list a trade a moment after the next one.

Other ids: the trades of REST reach back to the last one before the gap, and they were asked for
when the stream was running again, twice, the second answer going back to the first one. They list
something of what the stream told since, if it told anything, so that they are not out of a cache.
"""

from abc import ABC, abstractmethod
from asyncio import Semaphore
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from shared.clock import Clock
from shared.completeness import GapState
from shared.errors import ExchangeError, NetworkError
from workers.collector.catalogue.row import TradeFeed
from workers.collector.continuity.gaps import NOWHERE, Closing, Mark
from workers.collector.continuity.pages import (
    Listed,
    NamedPages,
    NumberedPages,
    Pages,
    TradeClient,
    mark,
)
from workers.collector.events import Print
from workers.collector.parts import Parts
from workers.collector.trades.flow import NamedFlow, NumberedFlow, number_of
from workers.collector.trades.numbers import Ranges
from workers.collector.trades.trades import Trades

_SECOND_LOOK_S = 3.0
#: Symbols whose pages are asked for at a time: each may be tens of thousands of trades.
_LISTED_AT_ONCE = 3


@dataclass(slots=True)
class Source:
    """Where trades are brought back from, and where they go."""

    feed: TradeFeed
    trades: Trades
    client: TradeClient
    clock: Clock
    recovered: int = 0  # in all
    _asking: Semaphore = field(default_factory=lambda: Semaphore(_LISTED_AT_ONCE))

    async def listed(self, pages: Pages, begin: Mark, symbol: str) -> Listed:
        """What REST lists since `begin`, in turn with other symbols. Raises ExchangeError."""
        async with self._asking:
            return await pages.back_to(begin, symbol)

    def take(self, trades: Iterable[Print], parts: Parts, begin: Mark) -> list[Print]:
        """Publish those that may be missing since `begin` and did not come."""
        flow = self.trades.flow(parts.symbol)
        new = self.trades.refill([t for t in trades if flow.may_lack(t, begin)], parts)
        self.recovered += len(new)
        return new


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a gap ends. What is looked for no more is forgotten by `settle`, once that is told: until
    then the proof may have to begin again."""

    closing: Closing
    settle: Callable[[], None]


class Proof(ABC):
    """Of one gap of one symbol, over as many tries as it takes."""

    def __init__(self, source: Source, parts: Parts) -> None:
        self._source, self._parts = source, parts
        self._recovered = 0

    @abstractmethod
    async def verdict(self, begin: Mark) -> Verdict:
        """Bring back what came since `begin`. Raises ExchangeError while nothing is proven."""

    def _take(self, trades: Iterable[Print], begin: Mark) -> None:
        self._recovered += len(self._source.take(trades, self._parts, begin))


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was listed: whether it goes back far enough, the ids, and both ends."""

    reached: bool
    ids: frozenset[str]
    oldest: Mark
    newest: Mark


class NamedProof(Proof):
    """By ids that say nothing of each other."""

    def __init__(self, source: Source, parts: Parts, flow: NamedFlow) -> None:
        super().__init__(source, parts)
        self._flow = flow
        self._pages = NamedPages(source.feed, source.client)
        flow.seen.hold()

    async def verdict(self, begin: Mark) -> Verdict:
        flow = self._flow
        first = await self._look(begin, begin)
        await self._source.clock.sleep(_SECOND_LOOK_S)
        second = await self._look(first.newest if first.ids else begin, begin)
        if first.reached and not second.reached:
            raise NetworkError("more was traded between two answers than one lists")
        self._check_fresh(first, second)
        if not first.reached:
            after = first.oldest if first.ids else flow.last
            return Verdict(Closing("unrepairable", after, None, self._recovered), flow.settled)
        gone = len(flow.unsent) + flow.unsent_beyond
        state: GapState = "unrepairable" if gone else "repaired"
        return Verdict(Closing(state, flow.last, gone, self._recovered), flow.settled)

    async def _look(self, back_to: Mark, begin: Mark) -> _Looked:
        """Take what is listed, and keep what is needed of it: many symbols wait at a time."""
        listed = await self._source.listed(self._pages, back_to, self._parts.symbol)
        self._take(listed.trades, begin)
        trades = listed.trades
        return _Looked(
            listed.reached,
            frozenset(trade.id for trade in trades),
            mark(trades[0]) if trades else NOWHERE,
            mark(trades[-1]) if trades else NOWHERE,
        )

    def _check_fresh(self, first: _Looked, second: _Looked) -> None:
        """Raises NetworkError for answers from before what the stream told since it was cut."""
        told = self._flow.witnesses
        if not told or any(trade.id in first.ids or trade.id in second.ids for trade in told):
            return
        since, oldest = told[0].timestamp, (first if first.ids else second).oldest.time
        if first.reached or oldest is None or since is None or oldest <= since:
            raise NetworkError("nothing of what the stream told is listed yet")


class NumberedProof(Proof):
    """By numbers without holes."""

    def __init__(self, source: Source, parts: Parts, flow: NumberedFlow) -> None:
        super().__init__(source, parts)
        self._flow = flow
        self._pages = NumberedPages(source.feed, source.client, flow)
        self._broken_off: Mark | None = None  # where the venue's numbers began anew

    async def verdict(self, begin: Mark) -> Verdict:
        listed = await self._listed(begin)
        doubted = self._missing_between(listed)
        slipped = self._passed_top(listed)
        if doubted or slipped:
            del listed  # many symbols wait at a time
            await self._source.clock.sleep(_SECOND_LOOK_S)
            listed = await self._listed(begin)
            slipped = slipped and self._passed_top(listed)
        return self._judged(listed, begin, doubted, slipped)

    async def _listed(self, begin: Mark) -> Listed:
        listed = await self._source.listed(self._pages, begin, self._parts.symbol)
        newer = self._numbered_anew(listed.trades)
        if newer:
            self._broken_off = mark(newer[0])
            self._flow.number_anew()
            self._recovered += len(self._source.trades.refill(newer, self._parts))
        else:
            self._take(listed.trades, begin)
        self._flow.jump = ""  # a gap is open already
        return listed

    def _judged(self, listed: Listed, begin: Mark, doubted: Ranges, slipped: bool) -> Verdict:
        line, numbers = self._flow.line, listed.numbers()
        holes, gone = line.holes.copy(), list[tuple[int, int]]()
        unfit = absent = beyond = 0
        if numbers and holes:
            unfit = _moved([one for n in numbers for one in holes.remove(*n)], gone)
            low, high = min(numbers)[0], max(numbers)[1]
            within = [one for d in doubted.stretches for one in holes.remove(*_cut(d, low, high))]
            absent = _moved(within, gone)
            beyond = _moved(holes.remove(0, low - 1), gone)
        end = holes.stretches[-1][0] - 1 if slipped and holes else None
        if end is not None:
            holes.remove(end, line.last or end)
        if holes:
            raise ExchangeError(f"{len(holes)} numbers are not listed yet")

        def settle() -> None:
            for one in gone:
                line.give_up(*one)
            if end is not None:
                line.end_with(end)

        unknown = self._broken_off is not None or (begin.key is None and not listed.reached)
        missing = None if unknown else unfit + beyond
        state: GapState = "repaired" if missing == 0 else "unrepairable"
        first = self._flow.last
        if beyond or unknown:
            first = self._broken_off or listed.oldest(first)
        return Verdict(Closing(state, first, missing, self._recovered, absent), settle)

    def _missing_between(self, listed: Listed) -> Ranges:
        """What is missing between trades that are listed."""
        between, numbers = Ranges(), listed.numbers()
        if numbers:
            holes = self._flow.line.holes.copy()
            for one in holes.remove(min(numbers)[0], max(numbers)[1]):
                between.add(*one)
        return between

    def _passed_top(self, listed: Listed) -> bool:
        """Whether newer trades are listed than the one with the highest number, and it is not: a
        slip, which the next numbers do not go on from."""
        numbers, line = listed.numbers(), self._flow.line
        if not line.holes or not numbers or max(numbers)[1] >= (line.last or 0):
            return False
        return max(trade.timestamp or 0 for trade in listed.trades) > self._flow.top > 0

    def _numbered_anew(self, trades: Sequence[Print]) -> list[Print]:
        """What came since the venue began to number anew, where REST shows that it did. Raises
        NetworkError where it is too early to tell."""
        flow, now = self._flow, self._source.clock.now_ms()
        time_of, contrary = self._source.trades.time_of, flow.contrary
        told = contrary and (contrary.id, contrary.timestamp)
        shown = any(
            (trade.id, trade.timestamp) == told or flow.contradicts(trade, time_of(trade, now))
            for trade in trades
            if number_of(trade) is not None
        )
        newer = [t for t in trades if t.timestamp is not None and t.timestamp > flow.peak]
        if shown and newer:
            return newer
        if contrary is not None:
            newest = max((t.timestamp or 0 for t in trades), default=0)
            if not shown and newest <= (contrary.timestamp or 0):
                raise NetworkError(f"trade {contrary.id} came twice, and is not listed yet")
            flow.contrary = None  # a repeat, with another time
        return []


def _cut(stretch: tuple[int, int], low: int, high: int) -> tuple[int, int]:
    return max(stretch[0], low), min(stretch[1], high)


def _moved(stretches: list[tuple[int, int]], to: list[tuple[int, int]]) -> int:
    to += stretches
    return sum(last - first + 1 for first, last in stretches)
