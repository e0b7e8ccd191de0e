"""REST in bulk: what has no stream, asked for all symbols at once, on the venue's own pace."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from shared.budget import RequestClass
from shared.config import Collection
from shared.config.live import Live
from shared.errors import CircuitBreakerOpenError, ExchangeError, RetryExhaustedError
from shared.retry import RetryManager
from workers.collector.catalogue.row import BulkCall, Venue
from workers.collector.client import Answer, VenueClient
from workers.collector.events import RestUpdate
from workers.collector.intake import Intake
from workers.collector.parts import Parts
from workers.collector.schedule.item import Question
from workers.collector.schedule.schedule import Schedule

#: What is asked for all symbols goes before what is asked for one.
_OF_ALL = 0
_OF_ONE = {RequestClass.LIVE: 1}
_OF_ONE_SLOW = 4


class BulkCycle:
    """The requests of one venue on the collector's schedule; a slow one holds up no other."""

    def __init__(
        self,
        venue: Venue,
        client: VenueClient,
        intake: Intake,
        collection: Live[Collection],
        schedule: Schedule,
        log: logging.Logger,
    ) -> None:
        self.failures = 0
        #: Told of a collected symbol of which an answer says nothing, though the last one did.
        self.on_unsaid: Callable[[str], None] = lambda _symbol: None
        self.on_update: Callable[[Parts, RestUpdate, float], None] = Parts.apply
        #: Whether what concerns all symbols is asked here, by a call's name and its interval: where
        #: it is not, `take` is given what others were answered.
        self.asks: Callable[[str, float], bool] = lambda _call, _interval_s: True
        #: Told of each answer of that kind that was asked for here.
        self.on_answer: Callable[[str, float, list[RestUpdate]], None] = lambda *_: None
        self._client = client
        self._intake = intake
        self._collection = collection
        self.retries = RetryManager("cycle", collection.value.retry_policy(), schedule.clock)
        self._clock = schedule.clock
        self._schedule = schedule
        self._log = log
        # By call: what the last answer said of every symbol that the venue lists, and when.
        self._answers: dict[str, tuple[float, dict[str, RestUpdate]]] = {}
        self._of_all = [call for call in venue.bulk if not call.per_symbol]
        self._of_one = [call for call in venue.bulk if call.per_symbol]
        self._symbols: set[str] = set()  # that are asked about one by one
        for call in self._of_all:
            schedule.put(self._question(call, None))

    def catch_up(self, symbols: Iterable[str]) -> None:
        """Give new symbols what the last answers said of them, and have each symbol that is
        collected now, and no other, asked about where that is done one by one.

        With many of them a round takes longer than `refresh_s`: the budget sets the pace then, and
        what gets too old is published as null.
        """
        # An answer that is older is no news of anything.
        useful_s = max(self._collection.value.max_age.model_dump().values())
        since = self._clock.monotonic() - useful_s
        for at, updates in self._answers.values():
            if at < since:
                continue
            for symbol in symbols:
                if symbol in updates:
                    self.on_update(self._intake.parts[symbol], updates[symbol], at)
        former, self._symbols = self._symbols, set(self._intake.parts)
        for call in self._of_one:
            for symbol in former - self._symbols:
                self._schedule.drop(_key(call, symbol))
            for symbol in self._intake.parts:
                if symbol not in former:
                    self._schedule.put(self._question(call, symbol))

    def turnover(self) -> dict[str, float]:
        """The quote volume of 24 hours of every symbol that the venue lists, as far as known."""
        return {
            update.symbol: update.day.quote_volume
            for _, updates in self._answers.values()
            for update in updates.values()
            if update.day is not None and update.day.quote_volume is not None
        }

    def hurry(self) -> None:
        """Somebody doubts a stream: ask again soon, but not twice within half an interval."""
        for call in self._of_all:
            self._schedule.hasten(_key(call, None))

    def take(self, call: str, asked_at: float, updates: Iterable[RestUpdate]) -> None:
        """What the answer to `call` says of all symbols that the venue lists."""
        updates = list(updates)
        self._remember(call, asked_at, updates)
        self._spread(asked_at, updates)

    def _question(self, call: BulkCall, symbol: str | None) -> Question:
        """What is asked of all tells as well whether the venue is back."""
        of_one = _OF_ONE.get(call.request_class, _OF_ONE_SLOW)
        return Question(
            key=_key(call, symbol),
            interval_s=self._pace_s(call),
            ask=partial(self._ask, call, symbol),
            priority=_OF_ALL if symbol is None else of_one,
            lane=f"bulk {call.name}",
            request_class=call.request_class,
            steady=symbol is None,
        )

    def _pace_s(self, call: BulkCall) -> float:
        """How often to ask. What the configuration says of tickers or funding rates gives way where
        mark prices, which come with them, would be too old half of the time."""
        collection = self._collection.value
        own = {
            "ticker": collection.ticker_interval_s,
            "funding": collection.funding_rate_interval_s,
        }
        asked_s = own[call.subject] if call.subject else None
        if asked_s is not None:
            return min(asked_s, collection.max_age.mark_price_s / 2) if call.marks else asked_s
        if call.per_symbol:
            return call.refresh_s
        return max(collection.interval_seconds, call.refresh_s)

    async def _ask(self, call: BulkCall, symbol: str | None) -> bool:
        if not self._asks_about(call, symbol):
            return True
        fetch: Callable[[], Awaitable[Answer]] = partial(self._client.fetch, call, symbol)
        what = f"{call.name} of {symbol}" if symbol else call.name
        self._log.debug("Fetching %s", what)
        policy = self.retries.policy = self._collection.value.retry_policy()
        try:
            told = partial(self._failed, what, policy.max_attempts - 1)
            asked_at, updates = await self.retries.call(fetch, told)
        except (RetryExhaustedError, CircuitBreakerOpenError):
            return False  # told by `_failed`; or once, when the breaker opened
        except ExchangeError as error:
            self._failed(what, 0, error, 0)
            return False
        if symbol is None:
            self.take(call.name, asked_at, updates)
            self.on_answer(call.name, asked_at, updates)
        else:
            self._spread(asked_at, updates)
        return True

    def _asks_about(self, call: BulkCall, symbol: str | None) -> bool:
        """Not about a symbol that was let go, or is not listed just now."""
        if symbol is None:
            return self.asks(call.name, self._pace_s(call))
        return symbol in self._intake.parts and symbol in self._client.markets

    def _spread(self, asked_at: float, updates: Iterable[RestUpdate]) -> None:
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

    def _failed(self, what: str, retries: int, error: Exception, retry: int) -> None:
        self.failures += 1
        suffix = f" (retry {retry}/{retries})" if retry else ""
        self._log.error("Failed to fetch %s: %s%s", what, error, suffix)


def _key(call: BulkCall, symbol: str | None) -> str:
    return f"bulk {call.name} {symbol or 'of all'}"
