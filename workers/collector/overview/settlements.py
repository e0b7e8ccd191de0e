"""Settled funding rates: each of them, once.

A settlement is asked for soon after its time has passed. The times are the venue's: intervals
differ by symbol and change at any moment, so that each symbol is asked about every hour as well.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from pydantic import ValidationError

from shared.budget import RequestClass
from shared.encoding import encoded
from shared.errors import ExchangeError
from shared.fact import Fact
from shared.kinds import FUNDING
from shared.messages import SettledFunding
from workers.collector.catalogue.row import FundingHistory
from workers.collector.events import RestUpdate, Settled
from workers.collector.parts import Parts
from workers.collector.publishing import Publishing
from workers.collector.schedule.item import Question

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
#: From the funding time to the first question, and between questions while there is no answer.
_DELAY_MS = 15_000
_RETRY_MS = 30_000
_RETRY_MAX_MS = 10 * MINUTE_MS
#: A settlement that is not there by then will not come: the venue has moved it.
_GIVEN_UP_MS = HOUR_MS
#: Venues settle some seconds around the time that they announced.
_TOLERANCE_MS = MINUTE_MS
#: Without a known settlement the latest one within this reach is published.
_REACH_MS = 24 * HOUR_MS
#: What is published this long after its time is called a backfill.
_LATE_MS = 15 * MINUTE_MS
_PAGES = 20
_LOOK_S = 1.0
_PRIORITY = 2  # of 0 … 9, on the collector's schedule

Fetch = Callable[[str | None, int], Awaitable[list[Settled]]]
"""The settlements of a symbol, or of all, from a time on (ms). Raises ExchangeError."""


@dataclass(slots=True)
class _Schedule:
    """When a symbol is asked about, and the settlement that is awaited (ms)."""

    ask_at: int
    awaited: int | None = None
    failures: int = 0


class Settlements:
    """Asks for the settlements of the collected symbols.

    `published` holds the funding time of each symbol's latest one that was published.
    """

    def __init__(
        self,
        history: FundingHistory,
        fetch: Fetch,
        collected: Callable[[], Mapping[str, Parts]],
        publishing: Publishing,
        log: logging.Logger,
    ) -> None:
        self.published: dict[str, int] = {}
        self._history = history
        self._fetch = fetch
        self._collected = collected
        self._publishing = publishing
        self._clock = publishing.clock
        self._log = log
        self._schedules: dict[str, _Schedule] = {}

    def resume(self, symbol: str, last_time_ms: int) -> None:
        """A run before this one has published up to `last_time_ms`."""
        self.published[symbol] = max(last_time_ms, self.published.get(symbol, 0))

    def heard(self, parts: Parts, update: RestUpdate, _at: float) -> None:
        """Learn when the next settlement is due; one that has passed stays awaited."""
        time, now = update.next_funding_time, self._clock.now_ms()
        schedule = self._schedule(parts.symbol, now)
        if time is not None and (schedule.awaited is None or schedule.awaited > now):
            schedule.awaited = time
            schedule.ask_at = min(schedule.ask_at, time + _DELAY_MS)

    def question(self) -> Question:
        """For the collector's schedule. Each symbol has times of its own: only looking for those
        that are due has an interval."""
        return Question(
            "settlements",
            _LOOK_S,
            self.ask_due,
            priority=_PRIORITY,
            request_class=RequestClass.FUNDING,
            steady=True,
        )

    async def ask_due(self) -> bool:
        """Ask about each symbol that is due now; whether all was answered."""
        now = self._clock.now_ms()
        due = [symbol for symbol in self._collected() if self._schedule(symbol, now).ask_at <= now]
        if due and self._history.all_symbols:
            return await self._ask_about_all(due)
        answered = True
        for symbol in due:
            if symbol in self._collected():
                answered = await self._ask_about(symbol) and answered
        return answered

    def _schedule(self, symbol: str, now: int) -> _Schedule:
        return self._schedules.setdefault(symbol, _Schedule(ask_at=now))

    async def _ask_about(self, symbol: str) -> bool:
        try:
            rows = await self._fetch(symbol, self._since(symbol))
        except ExchangeError as error:
            self._failed([symbol], error)
            return False
        if len(rows) >= self._history.limit and symbol in self.published:
            self._log.warning(
                "Settlements of %s before %d may be missing", symbol, min(row.time for row in rows)
            )
        self._take(symbol, rows)
        self._asked(symbol)
        return True

    async def _ask_about_all(self, due: list[str]) -> bool:
        """The answers hold all symbols; they are pages in the order of time."""
        since = min(self._since(symbol) for symbol in due)
        try:
            rows = await self._pages(since)
        except ExchangeError as error:
            self._failed(due, error)
            return False
        self._take_all(rows)
        for symbol in due:
            self._asked(symbol)
        return True

    async def _pages(self, since: int) -> list[Settled]:
        found: list[Settled] = []
        for _ in range(_PAGES):
            rows = await self._fetch(None, since)
            found += rows
            latest = max((row.time for row in rows), default=since)
            if len(rows) < self._history.limit or latest == since:
                break
            since = latest
        return found

    def _since(self, symbol: str) -> int:
        known = self.published.get(symbol)
        return self._clock.now_ms() - _REACH_MS if known is None else known + 1

    def _take_all(self, rows: Iterable[Settled]) -> None:
        by_symbol = groupby(sorted(rows), key=lambda row: row.symbol)
        for symbol, group in by_symbol:
            if symbol in self._collected():
                self._take(symbol, group)

    def _take(self, symbol: str, rows: Iterable[Settled]) -> None:
        """Publish what is newer than the last one; only the newest where none is known."""
        now, known = self._clock.now_ms(), self.published.get(symbol)
        passed = sorted({row.time: row for row in rows if row.time <= now}.items())
        fresh = [row for time, row in passed if known is None or time > known]
        for row in fresh if known is not None else fresh[-1:]:
            self._publish(row, now)

    def _publish(self, row: Settled, now: int) -> None:
        try:
            message = SettledFunding(
                exchange=self._publishing.exchange,
                symbol=row.symbol,
                rate=row.rate,
                funding_time=row.time,
                received_at=now,
                source="backfill" if now - row.time > _LATE_MS else "rest",
            )
        except ValidationError as error:
            self._publishing.reject(FUNDING, row.symbol, error, row)
            return
        body = encoded(message.__dict__)
        self._publishing.put(Fact(FUNDING, row.symbol, body, now, str(row.time)))
        self.published[row.symbol] = row.time

    def _asked(self, symbol: str) -> None:
        now, schedule = self._clock.now_ms(), self._schedules[symbol]
        awaited = schedule.awaited
        if awaited is not None and awaited <= now:
            if self.published.get(symbol, 0) < awaited - _TOLERANCE_MS:
                self._ask_again(symbol, now)
                return
            schedule.awaited = awaited = None
        schedule.failures = 0
        hourly = now + HOUR_MS
        schedule.ask_at = hourly if awaited is None else min(hourly, awaited + _DELAY_MS)

    def _ask_again(self, symbol: str, now: int) -> None:
        """Soon; after an hour the venue is believed to have moved the settlement."""
        schedule = self._schedules[symbol]
        if schedule.awaited is not None and now - schedule.awaited > _GIVEN_UP_MS:
            self._log.warning("%s was not settled at %d", symbol, schedule.awaited)
            schedule.awaited, schedule.failures, schedule.ask_at = None, 0, now + HOUR_MS
            return
        schedule.ask_at = now + min(_RETRY_MAX_MS, _RETRY_MS << min(schedule.failures, 10))
        schedule.failures += 1

    def _failed(self, symbols: list[str], error: ExchangeError) -> None:
        now = self._clock.now_ms()
        what = symbols[0] if len(symbols) == 1 else f"{len(symbols)} symbols"
        self._log.error("Failed to fetch settled funding rates of %s: %s", what, error)
        for symbol in symbols:
            schedule = self._schedules[symbol]
            schedule.ask_at = now + min(_RETRY_MAX_MS, _RETRY_MS << min(schedule.failures, 10))
            schedule.failures += 1
