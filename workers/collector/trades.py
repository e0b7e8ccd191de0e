"""Trades into messages: each of them, once, and the numbers that are missing in between."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import orjson
from pydantic import ValidationError

from shared.fact import Fact
from shared.kinds import TRADES
from shared.messages import Trade
from workers.collector.assembly import base_units
from workers.collector.continuity.gaps import NOWHERE, Mark
from workers.collector.continuity.pulse import SET_BACK_MS
from workers.collector.events import Print
from workers.collector.parts import Part, Parts
from workers.collector.publishing import Publishing

#: Trade ids remembered a symbol, at least, where ids are no numbers in a row. Venues repeat up to
#: some hundred trades on a new subscription, and a refill reaches back over up to 2000 of them.
_IDS_KEPT = 2000
_DEFAULT = "default"


class SeenIds:
    """The last ids of one symbol: two generations of sets, which is cheap and bounded."""

    __slots__ = ("_current", "_previous")

    def __init__(self) -> None:
        self._current: set[str] = set()
        self._previous: set[str] = set()

    def add(self, trade_id: str) -> bool:
        """Whether the id is new."""
        if trade_id in self._current or trade_id in self._previous:
            return False
        self._current.add(trade_id)
        if len(self._current) >= _IDS_KEPT:
            self._previous, self._current = self._current, set()
        return True

    def __contains__(self, trade_id: str) -> bool:
        return trade_id in self._current or trade_id in self._previous

    def discard(self, trade_id: str) -> None:
        self._current.discard(trade_id)
        self._previous.discard(trade_id)


@dataclass(slots=True)
class Flow:
    """The trades of one symbol so far.

    Dense ids: `last_id` is the highest, `holes` are the ranges below it that never came, lowest
    first. Others: `seen` are the last ids.
    """

    last: Mark = NOWHERE
    last_id: int | None = None
    holes: list[tuple[int, int]] = field(default_factory=list)
    seen: SeenIds = field(default_factory=SeenIds)
    resting: bool = False  # what lies between the last trade and the next one is nobody's

    def came(self, event: Print) -> None:
        if (event.timestamp or 0) >= (self.last.time or 0):
            self.last = Mark(event.id, event.timestamp)

    def heard(self, event: Print) -> None:
        """The same of the stream: where its clock was set back, what was last is what came last."""
        time, last = event.timestamp, self.last.time
        if time is not None and last is not None and time < last - SET_BACK_MS:
            self.last = NOWHERE
        self.came(event)

    def take_numbers(self, first: int, last: int) -> bool:
        """Note that these came; False where they did before."""
        known = self.last_id
        if known is None or first > known:
            if known is not None and first > known + 1 and not self.resting:
                self.holes.append((known + 1, first - 1))
            self.last_id, self.resting = last, False
            return True
        if last > known:  # fills of which some came one by one
            self.last_id = last
            return True
        return self._fill(first, last)

    def drop_holes(self, low: int, high: int) -> int:
        """Forget the numbers from `low` to `high` that are missing; how many they were."""
        dropped, kept = 0, []
        for start, end in self.holes:
            inside = max(start, low), min(end, high)
            if inside[0] > inside[1]:
                kept.append((start, end))
                continue
            dropped += inside[1] - inside[0] + 1
            kept += [(start, inside[0] - 1)] if start < inside[0] else []
            kept += [(inside[1] + 1, end)] if inside[1] < end else []
        self.holes = kept
        return dropped

    def _fill(self, first: int, last: int) -> bool:
        return self.drop_holes(first, last) > 0


class Trades:
    """Takes every trade of every symbol, from the stream and from REST."""

    def __init__(
        self, publishing: Publishing, *, dense: bool, large: Mapping[str, float] | None = None
    ) -> None:
        self.on_jump: Callable[[str, Mark], None] = lambda _symbol, _last: None
        self.flows: dict[str, Flow] = {}
        self._publishing = publishing
        self._exchange = publishing.exchange
        self._clock = publishing.clock
        self._dense = dense
        self._large = large or {}

    def flow(self, symbol: str) -> Flow:
        flow = self.flows.get(symbol)
        if flow is None:
            flow = self.flows[symbol] = Flow()
        return flow

    def resume(self, symbol: str, last: Mark) -> None:
        """A run before this one ended with the trade at `last`."""
        flow = self.flow(symbol)
        flow.last = last
        if self._dense and last.key is not None and last.key.isdigit():
            flow.last_id = int(last.key)

    def unpublished(self, symbol: str, trade_id: str, fills: int) -> None:
        """A trade that was taken did not get out: it is as if it had not come."""
        flow = self.flow(symbol)
        if self._dense:
            last = int(trade_id)
            flow.holes = sorted([*flow.holes, (last - fills + 1, last)])
        else:
            flow.seen.discard(trade_id)

    def leave(self, symbol: str) -> None:
        """The symbol is not collected any more. Its ids are kept: one that comes back may repeat
        trades, but what happens until then is not missing."""
        flow = self.flow(symbol)
        flow.last, flow.holes, flow.resting = NOWHERE, [], True

    def take(self, event: Print, parts: Parts, received_at: int) -> None:
        """A trade of a frame."""
        trade = self._checked(event, parts, received_at, "stream")
        if trade is None:
            return
        flow = self.flow(parts.symbol)
        before, holes = flow.last, len(flow.holes)
        if not self._is_new(flow, event):
            self._publishing.repeated(TRADES)
            return
        flow.heard(event)
        if len(flow.holes) > holes:
            self.on_jump(parts.symbol, before)
        parts.last = Part(trade.price, self._clock.monotonic(), "stream")
        parts.stream_last = trade.price
        self._put(trade, received_at)

    def refill(self, events: Iterable[Print], parts: Parts) -> int:
        """Trades of a REST answer, oldest first: how many of them were new."""
        flow, count, now = self.flow(parts.symbol), 0, self._clock.now_ms()
        events = list(events)
        known = set() if self._dense else {e.id for e in events if e.id in flow.seen}
        for event in events:
            trade = self._checked(event, parts, now, "backfill")
            if trade is None or not (self._is_new(flow, event) and event.id not in known):
                continue
            flow.came(event)
            if flow.last.key == event.id:
                parts.stream_last = trade.price
            self._put(trade, now)
            count += 1
        return count

    def _is_new(self, flow: Flow, event: Print) -> bool:
        if not self._dense:
            return flow.seen.add(event.id)
        number = int(event.id)
        return flow.take_numbers(number - event.fills + 1, number)

    def _checked(self, event: Print, parts: Parts, received_at: int, source: str) -> Trade | None:
        amount = base_units(event.size, parts.contract_size)
        try:
            if self._dense:
                int(event.id)
            return Trade(
                exchange=self._exchange,
                symbol=parts.symbol,
                id=event.id,
                price=event.price,
                amount=amount,
                side=event.side,
                timestamp=event.timestamp,
                received_at=received_at,
                source=source,
                fills=event.fills,
                large=event.price * amount >= self._threshold(parts.symbol),
            )
        except (ValidationError, ValueError, TypeError) as error:
            self._publishing.reject(TRADES, parts.symbol, error, event)
            return None

    def _threshold(self, symbol: str) -> float:
        return self._large.get(symbol) or self._large.get(_DEFAULT, float("inf"))

    def _put(self, trade: Trade, received_at: int) -> None:
        body = orjson.dumps(trade.__dict__)
        self._publishing.put(Fact(TRADES, trade.symbol, body, received_at, trade.id))
