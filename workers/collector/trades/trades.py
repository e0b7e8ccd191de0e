"""Trades into messages: each of them, once, and the numbers that are missing in between."""

from collections.abc import Callable, Iterable, Mapping

from pydantic import ValidationError

from shared.encoding import encoded
from shared.fact import Fact
from shared.kinds import TRADES
from shared.messages import Trade
from workers.collector.assembly import base_units
from workers.collector.continuity.gaps import Mark
from workers.collector.events import Print
from workers.collector.parts import Part, Parts
from workers.collector.publishing import Publishing
from workers.collector.trades.flow import Flow, NamedFlow, NumberedFlow

_DEFAULT = "default"
#: A venue time further ahead of ours is taken for a slip where a place in time is noted.
_AHEAD_MS = 1000


class Trades:
    """Takes every trade of every symbol, from the stream and from REST."""

    def __init__(
        self, publishing: Publishing, *, dense: bool, large: Mapping[str, float] | None = None
    ) -> None:
        #: Told of numbers that are missing, or given anew: the symbol, where, and which of both.
        self.on_jump: Callable[[str, Mark, str], None] = lambda _symbol, _last, _reason: None
        #: How far the venue's clock is ahead of ours, in ms.
        self.venue_ahead: Callable[[], float | None] = lambda: None
        #: Told of each new trade, and of its body.
        self.on_new: Callable[[str, bytes], None] = lambda _symbol, _body: None
        self.flows: dict[str, Flow] = {}
        self._publishing = publishing
        self._exchange = publishing.exchange
        self._clock = publishing.clock
        self._dense = dense
        #: From which notional a trade is large, by symbol; "default" for all others.
        self.large = large or {}

    def flow(self, symbol: str) -> Flow:
        flow = self.flows.get(symbol)
        if flow is None:
            flow = self.flows[symbol] = NumberedFlow() if self._dense else NamedFlow()
        return flow

    def take(self, event: Print, parts: Parts, received_at: int) -> None:
        """A trade of a frame."""
        trade = self._checked(event, parts, received_at, "stream")
        if trade is None:
            return
        flow, time = self.flow(parts.symbol), self.time_of(event, received_at)
        before, is_new = flow.last, flow.take(event, time)
        if flow.jump:
            self.on_jump(parts.symbol, before, flow.jump)
            flow.jump = ""
        if not is_new:
            self._publishing.repeated(TRADES)
            return
        flow.heard(event, time)
        parts.last = Part(trade.price, self._clock.monotonic(), "stream")
        parts.stream_last = trade.price
        self._put(trade, received_at)

    def refill(self, events: Iterable[Print], parts: Parts) -> list[Print]:
        """Trades of a REST answer, oldest first: those of them that were new. A jump that they
        show is left in the flow."""
        flow, now = self.flow(parts.symbol), self._clock.now_ms()
        events, new = list(events), []
        known = flow.known(events)
        for event in events:
            trade = self._checked(event, parts, now, "backfill")
            time = self.time_of(event, now)
            if trade is None or not (flow.take(event, time) and event.id not in known):
                continue
            flow.came(event, time)
            if flow.last.key == event.id:
                parts.stream_last = trade.price
            self._put(trade, now)
            new.append(event)
        return new

    def time_of(self, event: Print, received_at: int) -> int | None:
        """Its venue time, as far as that can be true: gaps begin where the last trade was."""
        time = event.timestamp
        if time is None or time <= received_at + _AHEAD_MS:
            return time
        latest = received_at + round(self.venue_ahead() or 0)
        return time if time <= latest + _AHEAD_MS else latest

    def _checked(self, event: Print, parts: Parts, received_at: int, source: str) -> Trade | None:
        try:
            amount = base_units(event.size, parts.contract_size)
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
        return self.large.get(symbol) or self.large.get(_DEFAULT, float("inf"))

    def _put(self, trade: Trade, received_at: int) -> None:
        body = encoded(trade.__dict__)
        self._publishing.put(Fact(TRADES, trade.symbol, body, received_at, trade.id))
        self.on_new(trade.symbol, body)
