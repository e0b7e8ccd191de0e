"""Candles by REST: what the stream did not bring is fetched, what it brought is checked."""

import logging
import zlib
from collections.abc import Callable, Iterable
from typing import Protocol

from shared.clock import Clock
from shared.errors import ExchangeError
from workers.collector.candles.facts import CandleFacts
from workers.collector.candles.questions import CandleQuestions
from workers.collector.candles.series import CandleSeries, Missing
from workers.collector.candles.venue_time import VenueTime
from workers.collector.events import Candle

#: So long after its end on the venue's clock, REST has a candle as it stays.
FINAL_MS = 2000
#: Candles end all at once: who asks when is spread, by symbol and timeframe.
_FILL_SPREAD_MS = 4000
_CHECK_AFTER_MS, _CHECK_SPREAD_MS = 4000, 10_000
#: A series of which nothing came so long after its subscription is asked about: the length of the
#: shortest candles, so that nothing is asked of a market that only paused.
_SILENT_MS = 60_000
#: After a correction the venue is asked once more.
_RECHECK_MS = 15_000
#: Closed candles that an answer looks back on.
_LOOK_BACK = 2
#: Fills that bring nothing before the candles that wait go out without the missing ones.
_TRIES = 6

OnMissing = Callable[[str, str, int, int], None]
"""Told symbol, timeframe, and the starts of the first and the last candle."""


class CandleClient(Protocol):
    """What is asked of a venue."""

    async def fetch_candles(
        self, symbol: str, timeframe: str, since: int, limit: int
    ) -> tuple[float, list[Candle]]:
        """When it was asked (monotonic seconds), and the candles from `since` on, rising; the one
        that is open may be among them. Raises ExchangeError."""
        ...


class CandleFiller:
    """Asks for candles that are missing, and whether those that were published are right."""

    def __init__(
        self,
        facts: CandleFacts,
        client: CandleClient,
        page: int,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self.time = VenueTime(clock)
        self.failures = 0  # questions without an answer
        self.on_missing: OnMissing = lambda *_: None
        self.questions = CandleQuestions(self._ask)
        self._facts = facts
        self._client = client
        self._page = page
        self._clock = clock
        self._log = log

    def look(self, collected: Iterable[CandleSeries]) -> None:
        """Put the questions that are due now."""
        now_ms = self.time.now_ms()
        for series in collected:
            if _lacking(series, now_ms - _spread(series, _FILL_SPREAD_MS)):
                if now_ms >= series.ask_after:
                    self.questions.fill(series)
            elif series.check_at is None:
                series.check_at = _next_check(series)
            elif now_ms >= series.check_at:
                series.check_at = _next_check(series)
                self.questions.check(series)

    async def _ask(self, series: CandleSeries) -> None:
        due, since = series.due, _since(series)
        if since is None:
            return  # not collected any more
        limit = min(self._page, (self.time.now_ms() - since) // series.span_ms + 1)
        try:
            asked_at, rows = await self._client.fetch_candles(
                series.symbol, series.timeframe, since, limit
            )
        except ExchangeError as error:
            self.failures += 1
            self._log.warning(
                "Failed to fetch %s candles of %s: %s", series.timeframe, series.symbol, error
            )
        else:
            asked_ms = self.time.now_ms() - round(1000 * (self._clock.monotonic() - asked_at))
            _look_for_first(series, rows)
            if series.due is not None:
                self._take(series, [r for r in rows if _final(r, series.span_ms, asked_ms)])
        if _since(series) is not None:
            self._pace(series, due)

    def _take(self, series: CandleSeries, rows: Iterable[Candle]) -> None:
        received_at = self._clock.now_ms()
        made = (self._facts.closed(series, row, received_at, "backfill") for row in rows)
        ready, missing = series.answer(candle for candle in made if candle is not None)
        self._facts.publish(ready)
        self._tell(series, missing)
        series.check_at = _next_check(series)
        if any(candle.rev for candle in ready):
            series.check_at = self.time.now_ms() + _RECHECK_MS

    def _pace(self, series: CandleSeries, due: int | None) -> None:
        """A fill that brought something may go on at once; the others wait, and end some time."""
        if series.due != due or not _lacking(series, self.time.now_ms()):
            series.attempts = series.ask_after = 0
            series.backoff.reset()
            return
        series.attempts += 1
        series.ask_after = self.time.now_ms() + round(1000 * series.backoff.next_s())
        if series.attempts >= _TRIES:
            ready, missing = series.give_up()
            self._facts.publish(ready)
            self._tell(series, missing)

    def _tell(self, series: CandleSeries, missing: Iterable[Missing]) -> None:
        for first, last in missing:
            self._log.warning(
                "%s candles of %s from %d to %d are missing",
                *(series.timeframe, series.symbol, first, last),
            )
            self.on_missing(series.symbol, series.timeframe, first, last)


def _lacking(series: CandleSeries, now_ms: int) -> bool:
    return series.behind(now_ms - FINAL_MS) or series.silent(now_ms - _SILENT_MS)


def _since(series: CandleSeries) -> int | None:
    """The start to ask from; None of what is not collected any more."""
    if series.due is not None:
        return max(0, series.due - _LOOK_BACK * series.span_ms)
    return None if series.awaited is None else series.awaited - series.span_ms


def _look_for_first(series: CandleSeries, rows: Iterable[Candle]) -> None:
    """A series begins with the candle that was open when it was subscribed to."""
    if series.awaited is not None:
        before = series.awaited - series.span_ms
        first = next((row.start for row in rows if row.start > before), None)
        if first is not None:
            series.seen(first)


def _final(row: Candle, span_ms: int, asked_ms: int) -> bool:
    return row.start + span_ms + FINAL_MS <= asked_ms


def _next_check(series: CandleSeries) -> int | None:
    """Some seconds after the end of the candle that is due."""
    if series.due is None:
        return None
    after = _CHECK_AFTER_MS + _spread(series, _CHECK_SPREAD_MS)
    return series.due + series.span_ms + after


def _spread(series: CandleSeries, most_ms: int) -> int:
    return zlib.crc32(f"{series.symbol} {series.timeframe}".encode()) % most_ms
