"""Everything that concerns whether the data is complete, wired together.

A stream is up from the venue's acknowledgement or its first event until it is lost. Losing it opens
a gap; being up again lets the gap be closed, with or without a repair.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import ExchangeError
from shared.kinds import CANDLE, LIQUIDATION, ORDERBOOK, TICKER, TRADES, Kind
from shared.outbox import Origin
from shared.service import every
from shared.symbolset import Revision
from workers.collector.books.orderbook import OrderBook
from workers.collector.catalogue.row import StreamKind, Subscription, Venue
from workers.collector.continuity.bookmarks import Bookmarks, parsed
from workers.collector.continuity.coverage import INTERVAL_S, Coverages
from workers.collector.continuity.dropped import Losses
from workers.collector.continuity.feeds import Feeds
from workers.collector.continuity.gaps import NOWHERE, Closing, Gaps, Mark, Place
from workers.collector.continuity.pulse import Pulse
from workers.collector.continuity.refill import Refill
from workers.collector.continuity.watchdog import LOOK_S, WATCHED, Watchdog
from workers.collector.continuity.watermarks import INTERVAL_S as SAVE_S
from workers.collector.continuity.watermarks import Watermarks
from workers.collector.events import Acknowledged
from workers.collector.parts import Parts
from workers.collector.publishing import Publishing

KIND_OF = {
    StreamKind.QUOTE: TICKER,
    StreamKind.TRADES: TRADES,
    StreamKind.BOOK: ORDERBOOK,
    StreamKind.LIQUIDATIONS: LIQUIDATION,
    StreamKind.CANDLES: CANDLE,
}
#: How far before a subscription the first refill looks: the venue's clock may differ from ours.
_BEFORE_MS = 30_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be had: streams, symbols that the venue does not list, and by which revision."""

    streams: Sequence[Subscription] = ()
    unlisted: Sequence[str] = ()
    revision: Revision | None = None


class Continuity:
    """Hears of every stream that is lost or up; tells gaps and coverage; repairs."""

    def __init__(
        self, row: Venue, publishing: Publishing, origin: Origin, feeds: Feeds, path: Path
    ) -> None:
        self.hurry_rest: Callable[[], None] = lambda: None
        self._wanted = Wanted()
        self._publishing, self._clock = publishing, publishing.clock
        self.clock, self.feeds = publishing.clock, feeds
        self._feeds = feeds
        self._parts: Mapping[str, Parts] = {}
        self._streams: dict[str, list[Subscription]] = {}  # by symbol
        self._up: set[Subscription] = set()
        self._down: set[Subscription] = set()  # lost, and not up again
        self.kinds = [KIND_OF[kind] for kind in row.streams]
        if not row.candles.streamed:
            self.kinds.append(CANDLE)
        self._log = logging.getLogger(publishing.exchange)
        self.gaps = Gaps(publishing, origin.worker, origin.epoch)
        self.coverage = Coverages(publishing, origin.worker, origin.epoch, self._broken_now)
        self.refill = Refill(row.trades, feeds.trades, self.gaps, feeds.client, self._clock)
        self.refill.running = lambda symbol: Subscription(StreamKind.TRADES, symbol) in self._up
        self.refill.ready = lambda: publishing.outbox.connected
        self.watchdog = Watchdog(self._clock, self._log)
        self.bookmarks = Bookmarks(feeds, self.gaps, self._clock, self._up.__contains__)
        self.watermarks = Watermarks(
            path, publishing.outbox, lambda: self.bookmarks.of(self._parts.values())
        )
        self.watermarks.at_once = lambda: {"gaps": self.gaps.kept()}
        self.watermarks.on_kept = self.gaps.release
        self.gaps.held = True
        self._asking: set[asyncio.Task[None]] = set()
        self._losses = Losses(self.gaps, self.coverage, feeds.trades, self.refill)
        self._connect()

    def _connect(self) -> None:
        feeds, watchdog = self._feeds, self.watchdog
        feeds.trades.on_jump = self._on_jump
        feeds.books.on_broken = self._on_book_broken
        feeds.books.on_live = self._on_book_live
        feeds.candles.on_missing(self._on_missing_candles)
        self._publishing.outbox.on_dropped(self._losses.on_dropped)
        feeds.client.on_sent = self._on_sent
        feeds.streams.on_left = self._on_left
        watchdog.on_alarm = self.lost
        watchdog.resubscribe = feeds.streams.resubscribe
        watchdog.redial = feeds.client.drop_connection
        watchdog.bridge = lambda stream: self._ask(self._bridge(stream))
        watchdog.hurry_rest = lambda: self.hurry_rest()
        watchdog.look_for_trades = lambda symbol: self._ask(self._look_for_trades(symbol))

    async def run(self) -> None:
        """Watch, repair, tell and keep, for ever."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.refill.run())
                tasks.create_task(every(LOOK_S, self._look, self._clock))
                tasks.create_task(every(SAVE_S, self.watermarks.save, self._clock))
                tasks.create_task(every(INTERVAL_S, self._tell, self._clock))
        finally:
            for task in self._asking:
                task.cancel()

    async def finish(self) -> None:
        """Keep where the next run goes on, and tell what was held back: before the last messages
        are sent, and again when they are settled."""
        for _ in range(2):  # what was noted before, then what holds now
            await self.watermarks.save()

    def set_symbols(self, parts: Mapping[str, Parts], wanted: Wanted) -> None:
        """Watch over these. A new one goes on where a run before this one ended."""
        self._wanted = wanted
        self._streams = defaultdict(list)
        for stream in wanted.streams:
            self._streams[stream.symbol].append(stream)
        gone, added = set(self._parts) - set(parts), set(parts) - set(self._parts)
        self._parts = dict(parts)
        self.refill.set_symbols(dict(parts))
        self._losses.set_symbols(parts)
        self.watchdog.set_symbols(parts)
        self._up.intersection_update(wanted.streams)
        self._down.intersection_update(wanted.streams)
        for symbol in gone:
            self.gaps.forget(symbol)
            self._feeds.trades.flow(symbol).leave()
        for symbol in added:
            now = self._clock.monotonic()
            for kind in self.kinds:
                self.coverage.broke(kind, symbol, "added")
            parts[symbol].pulses = {kind: Pulse(now) for kind in WATCHED}
            self._resume(symbol)
        self._forget_former({*parts, *wanted.unlisted})

    def is_up(self, stream: Subscription) -> bool:
        """Whether nothing of a stream has been missed since it was acknowledged, or spoke."""
        return stream in self._up

    def is_all_up(self, symbol: str) -> bool:
        """The same of all streams of a symbol."""
        streams = self._streams.get(symbol)
        return streams is not None and self._up.issuperset(streams)

    def is_whole(self, symbol: str) -> bool:
        """Whether all of a symbol flows, and its book is right."""
        parts = self._parts.get(symbol)
        return parts is not None and parts.book is not None and self.is_all_up(symbol)

    def lost(self, stream: Subscription, reason: str) -> None:
        """A stream ended, or was found wanting."""
        parts = self._parts.get(stream.symbol)
        if parts is None:
            return
        was_up = stream in self._up
        self._up.discard(stream)
        self._down.add(stream)
        parts.waiting.add(stream.kind)
        self._on_left(stream)
        kind = KIND_OF[stream.kind]
        self.coverage.broke(kind, stream.symbol, reason)
        if stream.kind is StreamKind.BOOK:
            self._feeds.books.lost(stream.symbol, reason)
            return
        if stream.kind is StreamKind.CANDLES:
            self._feeds.candles.lost(stream.symbol, stream.timeframe)
            return
        if stream.kind is StreamKind.TRADES:
            self._feeds.trades.flow(stream.symbol).cut()
        if was_up:
            self.gaps.open(Place(kind, stream.symbol), reason, self._last(stream, parts))

    def _on_left(self, stream: Subscription) -> None:
        parts = self._parts.get(stream.symbol)
        pulse = parts.pulses.get(stream.kind) if parts else None
        if pulse is not None:
            pulse.asked_at, pulse.answered = None, False

    def _on_sent(self, stream: Subscription) -> None:
        parts = self._parts.get(stream.symbol)
        pulse = parts.pulses.get(stream.kind) if parts else None
        if pulse is not None and pulse.asked_at is None:
            pulse.asked_at = self.watchdog.asked_at = self._clock.monotonic()

    def on_acknowledged(self, event: Acknowledged, parts: Parts, received_at: int) -> None:
        self._on_up(Subscription(event.kind, parts.symbol, event.timeframe), parts)
        pulse = parts.pulses.get(event.kind)
        if pulse is not None:
            pulse.answered = True
        if event.kind is not StreamKind.QUOTE:  # best prices are there with the first of them
            parts.waiting.discard(event.kind)

    def on_awaited(self, kind: StreamKind, timestamp: int | None, parts: Parts) -> None:
        """The first event of a stream that was waited for."""
        pulse = parts.pulses.get(kind)
        if pulse is not None and pulse.stuck:
            return  # it repeats itself
        parts.waiting.discard(kind)
        self._on_up(Subscription(kind, parts.symbol), parts)
        if kind is StreamKind.QUOTE:
            first = Mark(None, timestamp)
            self.gaps.close(Place(TICKER, parts.symbol), Closing("unrepairable", first))

    def counts(self) -> dict[str, int]:
        return {
            "open_gaps": len(self.gaps),
            "gaps": self.gaps.opened,
            "unrepairable": self.gaps.unrepairable,
            "refilled": self.refill.recovered,
            "alarms": self.watchdog.alarms,
        }

    def _on_up(self, stream: Subscription, parts: Parts) -> None:
        self._up.add(stream)
        self._down.discard(stream)
        symbol = stream.symbol
        if stream.kind is StreamKind.TRADES:
            flow = self._feeds.trades.flow(symbol)
            if Place(TRADES, symbol) in self.gaps:
                self.refill.want(symbol)
            elif flow.last == NOWHERE:
                flow.last = Mark(None, self._venue_ms(parts) - _BEFORE_MS)
        elif stream.kind is StreamKind.BOOK:
            self._feeds.books.subscribed(symbol)
        elif stream.kind is StreamKind.CANDLES:
            self._feeds.candles.subscribed(symbol, stream.timeframe)
        elif stream.kind is StreamKind.LIQUIDATIONS:
            first = Mark(None, self._clock.now_ms())
            self.gaps.close(Place(LIQUIDATION, symbol), Closing("unrepairable", first))

    def _venue_ms(self, parts: Parts) -> int:
        """About what time it is for the venue, whose clock may be set wrong."""
        said = max((pulse.event_time for pulse in parts.pulses.values()), default=0)
        return said or self._clock.now_ms()

    def _last(self, stream: Subscription, parts: Parts) -> Mark:
        if stream.kind is StreamKind.TRADES:
            return self._feeds.trades.flow(stream.symbol).last
        pulse = parts.pulses.get(stream.kind)
        return Mark(None, pulse.event_time or None) if pulse else NOWHERE

    # --- what the feeds tell

    def _on_jump(self, symbol: str, before: Mark, reason: str) -> None:
        """Numbers are missing between two trades of the stream, or were given before."""
        self.coverage.broke(TRADES, symbol, reason)
        self.gaps.open(Place(TRADES, symbol), reason, before)
        self.refill.want(symbol)

    def _on_book_broken(self, symbol: str, reason: str, book: OrderBook) -> None:
        self.coverage.broke(ORDERBOOK, symbol, reason)
        number = None if book.update_id is None else str(book.update_id)
        self.gaps.open(Place(ORDERBOOK, symbol), reason, Mark(number, book.timestamp))

    def _on_book_live(self, symbol: str, book: OrderBook) -> None:
        """What a book was in between nobody can tell: its gap ends without a repair."""
        number = None if book.update_id is None else str(book.update_id)
        first = Mark(number, book.timestamp)
        self.gaps.close(Place(ORDERBOOK, symbol), Closing("unrepairable", first))

    def _on_missing_candles(self, symbol: str, timeframe: str, first: int, last: int) -> None:
        place = Place(CANDLE, symbol, timeframe)
        self.coverage.broke(CANDLE, symbol, f"candles missing: {timeframe}")
        self.gaps.open(place, "the venue does not give them", Mark(str(first), first))
        self.gaps.close(place, Closing("unrepairable", Mark(str(last), last)))

    # --- what is done by itself

    async def _look(self) -> None:
        self.watchdog.look(self._parts.values())

    async def _tell(self) -> None:
        symbols = len(self._parts) + len(self._wanted.unlisted)
        self.coverage.tell(self.kinds, symbols, self._wanted.revision)

    def _broken_now(self, kind: Kind) -> dict[str, str]:
        """The symbols of a kind that are not up, or have an open gap, and why."""
        stream_kind = next(s for s, k in KIND_OF.items() if k is kind)
        due = [stream for stream in self._wanted.streams if stream.kind is stream_kind]
        down = {stream.symbol: "not subscribed" for stream in due if stream not in self._up}
        down |= dict.fromkeys(self._wanted.unlisted, "not listed")
        down |= {s.symbol: "lost" for s in self._down if s.kind is stream_kind}
        if kind is ORDERBOOK:
            down |= {s: "no valid book" for s, parts in self._parts.items() if parts.book is None}
        elif kind is CANDLE:
            down = self._feeds.candles.awaited() | down
        return down | self.gaps.reasons(kind)

    def _ask(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _look_for_trades(self, symbol: str) -> None:
        try:
            new = await self.refill.look(symbol)
        except ExchangeError as error:
            self._log.debug("No look at the trades of %s: %s", symbol, error)
            return
        if new and new[0].timestamp is not None:
            venue_ms = self._clock.now_ms() + (self._feeds.trades.venue_ahead() or 0)
            self.watchdog.found_trades(symbol, (venue_ms - new[0].timestamp) / 1000)

    async def _bridge(self, stream: Subscription) -> None:
        """REST in place of a stream that says nothing."""
        try:
            if stream.kind is StreamKind.TRADES:
                await self.refill.look(stream.symbol)
            elif stream.kind is StreamKind.BOOK:
                await self._feeds.books.bridge(stream.symbol)
        except ExchangeError as error:
            self._log.debug("No bridge for %s: %s", stream, error)

    # --- what the run before this one told

    def _adopt(self, symbol: str) -> None:
        """Gaps that a killed run left open go on."""
        kept = self.watermarks.former.get("gaps", {})
        for id_, body in list(kept.items()):
            place = _place(body)
            if place is None or place.symbol != symbol:
                continue
            del kept[id_]
            self.coverage.broke(place.kind, symbol, "restart")
            if self.gaps.adopt(place, body) and place.kind is TRADES:
                self._feeds.trades.flow(symbol).resume(self.gaps.last(place) or NOWHERE)

    def _forget_former(self, wanted: set[str]) -> None:
        """Symbols that nobody wants any more have no gaps."""
        former = self.watermarks.former
        for section, marks in former.items():
            named = ((name, _symbol_of(section, name, mark)) for name, mark in marks.items())
            for name in [name for name, symbol in named if symbol not in wanted]:
                if section == "gaps":
                    self._end_former(marks[name])
                self.watermarks.forget(section, name)

    def _end_former(self, kept: Any) -> None:
        """A gap that a killed run left open ends with the symbol."""
        place = _place(kept)
        if place is not None and place not in self.gaps and self.gaps.adopt(place, kept):
            self.gaps.close(place, Closing("unrepairable"))

    def _resume(self, symbol: str) -> None:
        """What a run before this one left off, is open until it is repaired."""
        take = self.watermarks.take
        self._adopt(symbol)
        for kind in (TRADES, ORDERBOOK, TICKER, LIQUIDATION):
            mark = parsed(take(kind.name, symbol))
            if mark is None:
                continue
            place = Place(kind, symbol)
            self.coverage.broke(kind, symbol, "restart")
            self.gaps.open(place, "restart", mark)
            if kind is TRADES:  # an adopted gap may begin earlier
                self._feeds.trades.flow(symbol).resume(self.gaps.last(place) or mark)
        starts = take("ohlcv", symbol)
        for timeframe, start in starts.items() if isinstance(starts, dict) else ():
            if isinstance(start, int):
                self._feeds.candles.resume(symbol, timeframe, start)
        settled = take("funding", symbol)
        if isinstance(settled, int):
            self._feeds.settlements.resume(symbol, settled)


def _symbol_of(section: str, name: str, mark: Any) -> str | None:
    if section != "gaps":
        return name
    place = _place(mark)
    return None if place is None else place.symbol


def _place(kept: Any) -> Place | None:
    """The stream of a gap that was kept on disk."""
    match kept:
        case {"kind": str(name), "symbol": str(symbol)}:
            kind = next((kind for kind in KIND_OF.values() if kind.name == name), None)
            return None if kind is None else Place(kind, symbol, kept.get("timeframe") or "")
    return None
