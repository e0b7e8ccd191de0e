"""The funding of a market: a rate that moves slowly and is settled at whole periods."""

import math
from dataclasses import dataclass

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Funding:
    """`rate` for the period that ends at `next_ms`."""

    rate: float
    next_ms: int
    interval_ms: int

    @property
    def interval_hours(self) -> float:
        """A whole number, except where a settlement comes more often than every hour."""
        hours = self.interval_ms / HOUR_MS
        return int(hours) if hours.is_integer() else round(hours, 6)


class Settling:
    """A function of time alone, so that a settlement is the same whenever it is asked for."""

    def __init__(self, period_ms: int, phase: float) -> None:
        self._period_ms = period_ms
        self._phase = phase

    def at(self, now_ms: int) -> Funding:
        following = (now_ms // self._period_ms + 1) * self._period_ms
        return Funding(self._rate(now_ms), following, self._period_ms)

    def between(self, first_ms: int, last_ms: int) -> list[Funding]:
        """Settlements in [first_ms, last_ms], ascending; `next_ms` is their time."""
        period = self._period_ms
        times = range(-(-first_ms // period) * period, last_ms + 1, period)
        return [Funding(self._rate(t_ms), t_ms, period) for t_ms in times]

    def _rate(self, t_ms: int) -> float:
        return round(1e-4 * (1 + math.sin(t_ms // MINUTE_MS / 97 + self._phase * 6)), 8)
