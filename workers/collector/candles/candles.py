"""The candles of a venue's streams: closed ones go out in order and each once a revision, open
ones about once a second.

A candle is closed when its frame says so; where frames never say, when one of the next candle
comes; else when REST has it, two seconds or more after its end on the venue's clock. Where a venue
streams none, all come from there, and only closed ones.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from shared.kinds import OPEN_CANDLE
from shared.messages import Ohlcv
from shared.service import every
from shared.timeframes import TIMEFRAMES_MS
from workers.collector.candles.facts import CandleFacts
from workers.collector.candles.filler import CandleClient, CandleFiller, OnMissing
from workers.collector.candles.series import CandleSeries
from workers.collector.catalogue.row import CandleFeed
from workers.collector.events import Candle
from workers.collector.parts import Parts
from workers.collector.publishing import Publishing

#: How often is looked which open candles may go out and which questions are due.
TICK_S = 0.25
_PACE_S = OPEN_CANDLE.min_interval_s or 0.0


class Candles:
    """Takes every candle of every symbol."""

    def __init__(
        self,
        feed: CandleFeed,
        publishing: Publishing,
        client: CandleClient,
        log: logging.Logger,
        timeframes: Sequence[str] = (),
    ) -> None:
        """`timeframes` are those that are asked for where the venue streams none."""
        self._contracts = feed.contracts
        self._asked: Sequence[str] = () if feed.streamed else timeframes
        self._clock = publishing.clock
        self._facts = CandleFacts(publishing)
        self._filler = CandleFiller(self._facts, client, feed.page, self._clock, log)
        self.time = self._filler.time
        self._series: dict[tuple[str, str], CandleSeries] = {}
        self._sizes: dict[str, float] = {}  # contract sizes of the symbols that are collected
        self._fresh: dict[CandleSeries, None] = {}  # open candles that were not published yet

    @property
    def counts(self) -> dict[str, int]:
        """Corrections, checks for which there was no room, questions without an answer."""
        return {
            "corrections": self._facts.corrections,
            "skipped_checks": self._filler.questions.skipped,
            "failures": self._filler.failures,
        }

    def on_missing(self, told: OnMissing) -> None:
        """Tell `told` of candles that the venue could not give."""
        self._filler.on_missing = told

    def on_closed(self, told: Callable[[Ohlcv], None]) -> None:
        """Tell `told` of each closed candle that is published."""
        self._facts.on_closed = told

    def closed(self, symbol: str, timeframe: str, rows: Iterable[Candle]) -> list[Ohlcv]:
        """Rows of a REST answer as closed candles, which are not published; what is not valid is
        counted and left out."""
        series = CandleSeries(symbol, timeframe, TIMEFRAMES_MS[timeframe], self._unit(symbol))
        received_at = self._clock.now_ms()
        made = (self._facts.closed(series, row, received_at, "backfill") for row in rows)
        return [candle for candle in made if candle is not None]

    def set_symbols(self, parts: Iterable[Parts]) -> None:
        """Collect these; the others rest, and what they publish meanwhile is not missing."""
        former, self._sizes = self._sizes, {one.symbol: one.contract_size for one in parts}
        for series in self._series.values():
            series.unit = self._unit(series.symbol)
            if series.symbol not in self._sizes:
                series.pause()
        for symbol in self._sizes.keys() - former.keys():
            for timeframe in self._asked:
                self.subscribed(symbol, timeframe)

    def resume(self, symbol: str, timeframe: str, last_start: int) -> None:
        """The candle of `last_start` was the last that a run before published as closed."""
        series = self._of(symbol, timeframe)
        if series.due is None:
            series.due = self.time.end_of(last_start, series.span_ms)

    def subscribed(self, symbol: str, timeframe: str) -> None:
        """The venue sends these from now on, whether or not something is traded."""
        self._of(symbol, timeframe).subscribed(self.time.now_ms())

    def awaited(self) -> dict[str, str]:
        """The symbols that are subscribed to but have not had a candle of each timeframe; where
        none are streamed, those as well of which REST did not give one when it was due."""
        timeframes: dict[str, list[str]] = defaultdict(list)
        for series in self._series.values():
            late = bool(self._asked) and series.attempts > 0
            if late or series.awaited is not None:
                timeframes[series.symbol].append(series.timeframe)
        return {symbol: f"no candle yet: {', '.join(of)}" for symbol, of in timeframes.items()}

    def last_closed(self) -> dict[str, dict[str, int]]:
        """Starts of the last closed candles, by symbol and timeframe: what `resume` takes."""
        starts: dict[str, dict[str, int]] = defaultdict(dict)
        for series in self._series.values():
            if series.last_closed is not None:
                starts[series.symbol][series.timeframe] = series.last_closed
        return starts

    def lost(self, symbol: str, timeframe: str) -> None:
        """Frames may be missing: what is known of the open candle may be half of it."""
        series = self._series.get((symbol, timeframe))
        if series is not None:
            series.open = None

    def take(self, event: Candle, parts: Parts, received_at: int) -> None:
        try:
            self.time.hear(event.start, event.timestamp, received_at)
        except (TypeError, ValueError) as error:
            self._facts.refuse(parts.symbol, event, error)
            return
        series = self._series.get((parts.symbol, event.timeframe))
        if series is None:
            series = self._of(parts.symbol, event.timeframe)
        former = series.open
        if former is not None and former.start == event.start and not event.closed:
            self._open(series, event, received_at)
        else:
            self._turn(series, event, received_at)

    async def run(self) -> None:
        """Publish open candles and ask what is due, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(every(TICK_S, self.tick, self._clock))
            tasks.create_task(self._filler.questions.run())

    async def tick(self) -> None:
        """What is due now."""
        now = self._clock.monotonic()
        for series in [one for one in self._fresh if now - one.sent_at >= _PACE_S]:
            del self._fresh[series]
            self._publish_open(series, now)
        self._filler.look(one for one in self._series.values() if one.symbol in self._sizes)

    def _of(self, symbol: str, timeframe: str) -> CandleSeries:
        key = symbol, timeframe
        if key not in self._series:
            span_ms, unit = TIMEFRAMES_MS[timeframe], self._unit(symbol)
            self._series[key] = CandleSeries(symbol, timeframe, span_ms, unit)
        return self._series[key]

    def _unit(self, symbol: str) -> float:
        return self._sizes.get(symbol, 1.0) if self._contracts else 1.0

    def _open(self, series: CandleSeries, event: Candle, received_at: int) -> None:
        if series.fresh:
            self._facts.conflated()
        series.open, series.open_received_at, series.fresh = event, received_at, True
        self._fresh[series] = None

    def _publish_open(self, series: CandleSeries, now: float) -> None:
        series.fresh = False
        if series.open is None:
            self._facts.conflated()  # it was closed or lost meanwhile
            return
        series.sent_at = now
        self._facts.publish_open(series, series.open)

    def _turn(self, series: CandleSeries, event: Candle, received_at: int) -> None:
        """A frame of another candle than the open one, or of one that is closed now."""
        series.seen(event.start)
        if series.due is None or event.start < series.due:
            self._late(series, event, received_at)
            return
        former, former_at = series.open, series.open_received_at
        if former is not None and former.start <= event.start:
            series.open = None
            if former.start < event.start and former.closed is None:
                self._close(series, former, former_at)
        if event.closed:
            self._close(series, event, received_at)
        elif series.open is None:
            self._open(series, event, received_at)
        else:
            self._facts.conflated()  # of a candle before the open one

    def _late(self, series: CandleSeries, event: Candle, received_at: int) -> None:
        """A frame of a closed candle: a correction, unless it is older than the candle's end."""
        old = event.timestamp is not None and event.timestamp < event.start + series.span_ms
        if event.closed is False or old:
            self._facts.repeated()
        else:
            self._close(series, event, received_at)

    def _close(self, series: CandleSeries, event: Candle, received_at: int) -> None:
        candle = self._facts.closed(series, event, received_at)
        if candle is None:
            return
        waited = series.waits(candle.start)
        ready = series.close(candle)
        if waited or not (ready or series.waits(candle.start)):
            self._facts.repeated()
        self._facts.publish(ready)
