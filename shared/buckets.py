"""Leaky buckets by theoretical arrival time (GCRA), in this process.

A bucket is one number: when it will be full again. `shared.redis_buckets` keeps the same by the
same arithmetic for all processes; a test holds both to it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shared.clock import Clock


class Take(NamedTuple):
    """What is taken from a bucket: seconds of its flow, of how many that it holds at once, and how
    many of these are left to others."""

    bucket: str
    cost_s: float
    burst_s: float
    reserve_s: float


class Buckets:
    """Those of one venue. All start empty, but for `idle_s` seconds in which nothing was sent."""

    def __init__(self, clock: Clock, idle_s: float = 0.0) -> None:
        self._clock = clock
        self._began = clock.monotonic() - idle_s
        self._full_at: dict[str, float] = {}

    def wait_s(self, takes: Sequence[Take]) -> float:
        """How long until all of these can be had at once; 0: now."""
        return max((self._wait_s(take) for take in takes), default=0.0)

    def take(self, takes: Sequence[Take]) -> None:
        """Have them, whether they are there or not."""
        for take in takes:
            self._full_at[take.bucket] = self._from(take) + take.cost_s

    def cap(self, takes: Sequence[Take]) -> None:
        """Have at least so much gone from each, whoever had it."""
        now = self._clock.monotonic()
        for take in takes:
            self._full_at[take.bucket] = max(self._from(take), now + take.cost_s)

    def left_s(self, take: Take) -> float:
        """What could be had at once now, in seconds of flow."""
        used_s = self._from(take) - self._clock.monotonic()
        return max(0.0, take.burst_s - take.reserve_s - used_s)

    def wait_in_all_s(self, take: Take) -> float:
        """How long until that much has flowed in, be it more than the bucket ever holds."""
        used_s = self._from(take) - self._clock.monotonic()
        return max(0.0, used_s + take.cost_s - (take.burst_s - take.reserve_s))

    def _wait_s(self, take: Take) -> float:
        """What a bucket never holds is had when it is full, and owed."""
        used_s = self._from(take) - self._clock.monotonic()
        holds_s = take.burst_s - take.reserve_s
        return max(0.0, used_s + min(take.cost_s, holds_s) - holds_s)

    def _from(self, take: Take) -> float:
        """When the bucket is full again, not in the past."""
        full_at = self._full_at.get(take.bucket, self._began + take.burst_s)
        return max(full_at, self._clock.monotonic())
