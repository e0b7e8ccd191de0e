"""REST in bulk: what has no stream, asked for all symbols at once, on the venue's own pace."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from shared.clock import Clock
from shared.config import Collection
from shared.errors import CircuitBreakerOpenError, ExchangeError, RetryExhaustedError
from shared.retry import retried
from workers.collector.catalogue.row import BulkCall, Venue
from workers.collector.client import Answer, VenueClient
from workers.collector.events import RestUpdate
from workers.collector.intake import Intake
from workers.collector.parts import Parts

#: How soon somebody who hurries is heard.
_LOOK_S = 0.25


class BulkCycle:
    """The requests of one venue, each with its own loop: a slow one holds up no other."""

    def __init__(
        self,
        venue: Venue,
        client: VenueClient,
        intake: Intake,
        collection: Collection,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self.failures = 0
        self._hurried = asyncio.Event()
        #: Told of a collected symbol of which an answer says nothing, though the last one did.
        self.on_unsaid: Callable[[str], None] = lambda _symbol: None
        self.on_update: Callable[[Parts, RestUpdate, float], None] = Parts.apply
        self._venue = venue
        self._client = client
        self._intake = intake
        self._interval_s = collection.interval_seconds
        self._delays_s = collection.delays_s()
        self._clock = clock
        self._log = log
        # By call: what the last answer said of every symbol that the venue lists, and when.
        self._answers: dict[str, tuple[float, dict[str, RestUpdate]]] = {}

    async def run(self) -> None:
        """Ask, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for call in self._venue.bulk:
                loop = self._each_symbol if call.per_symbol else self._all_symbols
                tasks.create_task(loop(call))

    def catch_up(self, symbols: Iterable[str]) -> None:
        """Give new symbols what the last answers said of them."""
        for at, updates in self._answers.values():
            for symbol in symbols:
                if symbol in updates:
                    self.on_update(self._intake.parts[symbol], updates[symbol], at)

    def turnover(self) -> dict[str, float]:
        """The quote volume of 24 hours of every symbol that the venue lists, as far as known."""
        return {
            update.symbol: update.day.quote_volume
            for _, updates in self._answers.values()
            for update in updates.values()
            if update.day is not None and update.day.quote_volume is not None
        }

    async def _all_symbols(self, call: BulkCall) -> None:
        while True:
            started = self._clock.monotonic()
            await self._ask(call, None)
            await self._pause(started, max(self._interval_s, call.refresh_s))

    async def _each_symbol(self, call: BulkCall) -> None:
        """Symbols in turn. With many of them a round takes longer than `refresh_s`: the budget
        sets the pace then, and what gets too old is published as null."""
        while True:
            started = self._clock.monotonic()
            for symbol in list(self._intake.parts):
                if symbol in self._intake.parts and symbol in self._client.markets:
                    await self._ask(call, symbol)
            added_soon = min(call.refresh_s, self._interval_s)
            known = set(self._intake.parts)
            while self._clock.monotonic() < started + call.refresh_s and known == set(
                self._intake.parts
            ):
                await self._clock.sleep(added_soon / 5)

    async def _ask(self, call: BulkCall, symbol: str | None) -> None:
        fetch: Callable[[], Awaitable[Answer]] = partial(self._client.fetch, call, symbol)
        what = f"{call.name} of {symbol}" if symbol else call.name
        self._log.debug("Fetching %s", what)
        try:
            asked_at, updates = await retried(
                fetch, self._delays_s, self._clock, partial(self._failed, what)
            )
        except (RetryExhaustedError, CircuitBreakerOpenError):
            return  # told by `_failed`; or once, when the breaker opened
        except ExchangeError as error:
            self._failed(what, error, 0)
            return
        if not call.per_symbol:
            self._remember(call.name, asked_at, updates)
        for update in updates:
            parts = self._intake.parts.get(update.symbol)
            if parts is not None:
                self.on_update(parts, update, asked_at)

    def _remember(self, name: str, asked_at: float, updates: Iterable[RestUpdate]) -> None:
        _, before = self._answers.get(name, (0.0, {}))
        said = {update.symbol: update for update in updates}
        self._answers[name] = asked_at, said
        for symbol in self._intake.parts:
            if symbol in before and symbol not in said:
                self.on_unsaid(symbol)

    def _failed(self, what: str, error: Exception, retry: int) -> None:
        self.failures += 1
        suffix = f" (retry {retry}/{len(self._delays_s)})" if retry else ""
        self._log.error("Failed to fetch %s: %s%s", what, error, suffix)

    def hurry(self) -> None:
        """Somebody doubts a stream: ask again soon, but not twice within half an interval."""
        self._hurried.set()

    async def _pause(self, started: float, interval_s: float) -> None:
        """Wait for the next point of the grid; points that have passed are skipped."""
        passed = self._clock.monotonic() - started
        left = interval_s - passed % interval_s
        soon = min(left, max(0.0, interval_s / 2 - passed))
        await self._clock.sleep(soon)
        end = self._clock.monotonic() + left - soon
        while self._clock.monotonic() < end and not self._hurried.is_set():
            await self._clock.sleep(min(_LOOK_S, end - self._clock.monotonic()))
        self._hurried.clear()
