"""Where the events of frames go: to the part of the collector that makes messages of their type.

Runs inside ccxt's receive loop: nothing here waits, and nothing leaves it by an exception.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from shared.kinds import CANDLE, LIQUIDATION, TRADES, Kind
from workers.collector.catalogue.row import StreamKind
from workers.collector.events import (
    MALFORMED,
    BookUpdate,
    Candle,
    Event,
    Liquidated,
    Print,
    Quote,
    Unread,
)
from workers.collector.parts import Parts
from workers.collector.publishing import Publishing
from workers.collector.stamps import check_time
from workers.collector.unified import Market

Take = Callable[[Any, Parts, int], None]
"""Takes an event of its type, the symbol's parts, and when the frame was received (ms)."""

_KINDS: dict[type, StreamKind] = {
    Quote: StreamKind.QUOTE,
    Print: StreamKind.TRADES,
    BookUpdate: StreamKind.BOOK,
    Liquidated: StreamKind.LIQUIDATIONS,
}
#: Of what comes in rows, each of which counts.
_OF_ROWS: dict[type, Kind] = {Print: TRADES, Liquidated: LIQUIDATION, Candle: CANDLE}


class Intake:
    """See `workers.collector.hot.FrameSink`."""

    def __init__(self, publishing: Publishing) -> None:
        self.parts: dict[str, Parts] = {}  # by symbol: the ones that are collected
        self.unwanted = 0  # events of symbols that are not collected (any more)
        #: Frames without market data: greetings, pongs, empty lists, and what nobody can read.
        self.dataless = 0
        self._by_id: dict[str, Parts] = {}  # the same, by the venue's id
        self._takers: dict[type, Take] = {}
        self._publishing, self._clock = publishing, publishing.clock
        #: Told of the first event of a stream that was waited for: kind, venue time, parts.
        self.on_awaited: Callable[[StreamKind, int | None, Parts], None] = lambda *_: None

    def route(self, event_type: type, take: Take) -> None:
        """Send all events of this type to `take`."""
        self._takers[event_type] = take

    def set_markets(self, markets: Iterable[Market]) -> None:
        """Collect these; what is known of others is forgotten."""
        known, self.parts, self._by_id = self.parts, {}, {}
        for market in markets:
            parts = known.get(market.symbol) or Parts(market.symbol, market.contract_size)
            self.parts[market.symbol] = self._by_id[market.id] = parts

    def on_events(self, events: Sequence[Event], received_at: int) -> None:
        by_id, now = self._by_id, self._clock.monotonic()
        for event in events:
            try:
                parts = by_id.get(event.market_id)
                if parts is None:
                    self.unwanted += 1
                    continue
                kind = _KINDS.get(type(event))
                if kind is not None:
                    check_time(event.timestamp, received_at)  # type: ignore[union-attr]
                    self._beat(kind, event.timestamp, parts, now)  # type: ignore[union-attr]
                self._takers[type(event)](event, parts, received_at)
            except MALFORMED as error:
                self._on_bad_event(event, error)

    def _beat(self, kind: StreamKind, timestamp: int | None, parts: Parts, now: float) -> None:
        pulse = parts.pulses.get(kind)
        if pulse is not None:
            pulse.beat(now, timestamp)
        if kind in parts.waiting:
            self.on_awaited(kind, timestamp, parts)

    def _on_bad_event(self, event: Event, error: Exception) -> None:
        kind = _OF_ROWS.get(type(event))
        if kind is None:
            self.on_bad_frame(event, error)
            if type(event) is BookUpdate and type(event.market_id) is str:
                self.on_events((Unread(event.market_id),), self._clock.now_ms())
        else:
            self.on_bad_row(kind, event, error)

    def on_bad_row(self, kind: Kind, row: object, error: Exception) -> None:
        counts = self._publishing.outbox.ledger[kind.label]
        counts.received += 1
        counts.invalid += 1
        self._publishing.quarantine.put(kind.label, error, row)

    def on_bad_frame(self, frame: object, error: Exception) -> None:
        self._publishing.quarantine.put("frame", error, frame)

    def on_dataless_frame(self) -> None:
        self.dataless += 1
