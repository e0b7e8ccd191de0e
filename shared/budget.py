"""REST budgets: no request goes to a venue before `acquire` has granted its weight.

A weighted leaky bucket a venue (GCRA). It starts empty, but for the time in which this process has
sent nothing: after a restart nobody knows what the run before has spent. Waiting requests stand in
one queue a venue, higher classes first; each minute of waiting lifts a request by one class, so
that nothing starves for ever.
"""

import asyncio
import itertools
import math
from dataclasses import dataclass, field
from enum import Enum

from shared.clock import Clock
from shared.errors import ConfigurationError

#: Waiting this long lifts a request by one class.
AGEING_S = 60.0
#: The head of a queue looks again at least this often: a ban, or somebody of a higher class.
_LOOK_S = 1.0


class RequestClass(Enum):
    """Why a request is made, highest first; the value is the share of the burst that is kept for
    the classes above it."""

    CONTROL = 0.0
    LIVE = 0.05
    FUNDING = 0.1
    REPAIR = 0.25
    BACKFILL = 0.4


_RANKS = {request_class: rank for rank, request_class in enumerate(RequestClass)}


@dataclass(frozen=True, slots=True)
class Limit:
    """What a venue allows us: weight units a second, and how much of it at once."""

    per_second: float
    burst: float

    @property
    def burst_s(self) -> float:
        return self.burst / self.per_second


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket:
    """A request that waits."""

    request_class: RequestClass
    number: int
    since: float
    cost_s: float
    turn: asyncio.Event = field(default_factory=asyncio.Event)

    def order(self, now: float) -> tuple[float, int]:
        return _RANKS[self.request_class] - (now - self.since) / AGEING_S, self.number


class Budget:
    """The local budget of one process."""

    def __init__(self, limits: dict[str, Limit], clock: Clock, idle_s: float = 0.0) -> None:
        self._limits = limits
        self._clock = clock
        # When each bucket will be full again, monotonic seconds ("theoretical arrival time").
        now = clock.monotonic()
        self._full_at = {venue: now + limit.burst_s - idle_s for venue, limit in limits.items()}
        self._banned_until: dict[str, float] = {}
        self._shares = dict.fromkeys(limits, 1.0)
        self._waiting: dict[str, list[_Ticket]] = {venue: [] for venue in limits}
        self._numbers = itertools.count()

    async def acquire(self, venue: str, weight: float, request_class: RequestClass) -> None:
        """Wait until `weight` units may be spent on `venue`. Raises ConfigurationError for a
        weight that the venue's burst can never hold."""
        limit = self._limits[venue]
        allowed_s = limit.burst_s * (1 - request_class.value)
        if weight / limit.per_second > allowed_s:
            raise ConfigurationError(f"{venue}: a request of weight {weight} exceeds the burst")
        # What a share alone never affords takes all of it.
        cost_s = min(weight / (limit.per_second * self._shares[venue]), allowed_s)
        ticket = _Ticket(request_class, next(self._numbers), self._clock.monotonic(), cost_s)
        waiting = self._waiting[venue]
        waiting.append(ticket)
        try:
            await self._granted(venue, ticket, cost_s, allowed_s)
            now = self._clock.monotonic()
            self._full_at[venue] = max(self._full_at[venue], now) + cost_s
        finally:
            waiting.remove(ticket)
            self._wake_head(venue)

    def share(self, venue: str, part: float) -> None:
        """Spend no more than this part of the venue's limit, from 0 to 1: others spend the rest."""
        self._shares[venue] = part

    def wait_s(self, venue: str, request_class: RequestClass) -> float:
        """About how long a small request of this class would wait that came now, if none of a
        higher class came after it."""
        now, behind_all = self._clock.monotonic(), (float(_RANKS[request_class]), math.inf)
        ahead_s = sum(t.cost_s for t in self._waiting[venue] if t.order(now) < behind_all)
        allowed_s = self._limits[venue].burst_s * (1 - request_class.value)
        return max(0.0, self._wait_s(venue, ahead_s, allowed_s))

    def ban(self, venue: str, seconds: float) -> None:
        """No request to `venue` before `seconds` have passed; a longer ban stays."""
        until = self._clock.monotonic() + seconds
        self._banned_until[venue] = max(until, self._banned_until.get(venue, 0.0))

    async def _granted(self, venue: str, ticket: _Ticket, cost_s: float, allowed_s: float) -> None:
        while True:
            if self._head(venue) is not ticket:
                self._wake_head(venue)
                ticket.turn.clear()
                await ticket.turn.wait()
                continue
            wait_s = self._wait_s(venue, cost_s, allowed_s)
            if wait_s <= 0:
                return
            await self._clock.sleep(min(wait_s, _LOOK_S))

    def _head(self, venue: str) -> _Ticket:
        now = self._clock.monotonic()
        return min(self._waiting[venue], key=lambda ticket: ticket.order(now))

    def _wake_head(self, venue: str) -> None:
        if self._waiting[venue]:
            self._head(venue).turn.set()

    def _wait_s(self, venue: str, cost_s: float, allowed_s: float) -> float:
        now = self._clock.monotonic()
        ahead_s = max(self._full_at[venue] - now, 0.0) + cost_s - allowed_s
        return max(ahead_s, self._banned_until.get(venue, 0.0) - now)
