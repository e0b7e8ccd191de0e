"""REST budgets: no request goes to a venue before `acquire` has granted its weight.

A weighted leaky bucket a venue (GCRA). It starts empty: after a restart nobody knows what the run
before has spent. Lower classes may use less of the burst, so they are the first to wait.
"""

from dataclasses import dataclass
from enum import Enum

from shared.clock import Clock
from shared.errors import ConfigurationError


class RequestClass(Enum):
    """Why a request is made; the value is the share of the burst kept for classes above it."""

    CONTROL = 0.0
    LIVE = 0.05
    FUNDING = 0.1
    REPAIR = 0.25
    BACKFILL = 0.4


@dataclass(frozen=True, slots=True)
class Limit:
    """What a venue allows us: weight units a second, and how much of it at once."""

    per_second: float
    burst: float


class Budget:
    """The local budget of one process."""

    def __init__(self, limits: dict[str, Limit], clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        # When each bucket will be empty again, monotonic seconds ("theoretical arrival time").
        # It starts full, a whole burst ahead of now.
        now = clock.monotonic()
        self._full_at = {venue: now + _burst_s(limit) for venue, limit in limits.items()}
        self._banned_until: dict[str, float] = {}

    async def acquire(self, venue: str, weight: float, request_class: RequestClass) -> None:
        """Wait until `weight` units may be spent on `venue`. Raises ConfigurationError for a
        weight that the venue's burst can never hold."""
        limit = self._limits[venue]
        allowed_s = _burst_s(limit) * (1 - request_class.value)
        cost_s = weight / limit.per_second
        if cost_s > allowed_s:
            raise ConfigurationError(f"{venue}: a request of weight {weight} exceeds the burst")
        while (wait_s := self._wait_s(venue, cost_s, allowed_s)) > 0:
            await self._clock.sleep(wait_s)
        now = self._clock.monotonic()
        self._full_at[venue] = max(self._full_at[venue], now) + cost_s

    def ban(self, venue: str, seconds: float) -> None:
        """No request to `venue` before `seconds` have passed; a longer ban stays."""
        until = self._clock.monotonic() + seconds
        self._banned_until[venue] = max(until, self._banned_until.get(venue, 0.0))

    def _wait_s(self, venue: str, cost_s: float, allowed_s: float) -> float:
        now = self._clock.monotonic()
        ahead_s = max(self._full_at[venue] - now, 0.0) + cost_s - allowed_s
        return max(ahead_s, self._banned_until.get(venue, 0.0) - now)


def _burst_s(limit: Limit) -> float:
    return limit.burst / limit.per_second
