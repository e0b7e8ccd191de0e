"""How a process is doing: memory, file descriptors, tasks, and how late its event loop runs."""

import asyncio
import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from shared.clock import Clock

#: How often the loop's lateness is measured.
_BEAT_S = 0.25
_RECENT_S = 10.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Kept, as `shared.files` says of its drafts.
_STATM, _FDS = Path("/proc/self/statm"), Path("/proc/self/fd")


def age_s() -> float:
    """Seconds since this process was started: it imports for about one before it does anything."""
    started_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK")


def rss_mb() -> float:
    """Resident memory of this process."""
    return int(_STATM.read_text().split()[1]) * _PAGE / 2**20


@dataclass(frozen=True, slots=True)
class Reading:
    rss_mb: float  # resident memory
    fds: int  # open file descriptors
    tasks: int  # asyncio tasks that are not done
    lag_ms: float  # the worst lateness of the event loop since the last reading

    def as_dict(self) -> dict[str, float]:
        return {
            "rss_mb": self.rss_mb,
            "fds": self.fds,
            "tasks": self.tasks,
            "lag_ms": self.lag_ms,
        }


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a process is."""

    lag_s: float  # the worst lateness of the event loop
    cpu: float  # cores that it used


class Vitals:
    """Of the process it runs in."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._lag_s = 0.0
        self._load_lag_s = 0.0
        self._recent: deque[float] = deque(maxlen=round(_RECENT_S / _BEAT_S))
        self._load_at, self._load_cpu_s = clock.monotonic(), time.process_time()

    async def run(self) -> None:
        """Watch the event loop, for ever."""
        while True:
            due = self.clock.monotonic() + _BEAT_S
            await self.clock.sleep(_BEAT_S)
            late_s = self.clock.monotonic() - due
            self._recent.append(late_s)
            self._lag_s = max(self._lag_s, late_s)
            self._load_lag_s = max(self._load_lag_s, late_s)

    def worst_lag_s(self) -> float:
        """The worst lateness of the event loop in the last ten seconds."""
        return max(self._recent, default=0.0)

    def load(self) -> Load:
        """Since the last call of this: it is for one caller, as `read` is."""
        now, cpu_s = self.clock.monotonic(), time.process_time()
        passed_s, used_s = now - self._load_at, cpu_s - self._load_cpu_s
        self._load_at, self._load_cpu_s = now, cpu_s
        lag_s, self._load_lag_s = self._load_lag_s, 0.0
        return Load(lag_s, used_s / passed_s if passed_s > 0 else 0.0)

    def read(self) -> Reading:
        """What is now, and the lag since the last call."""
        lag_s, self._lag_s = self._lag_s, 0.0
        return Reading(
            rss_mb=round(rss_mb(), 1),
            fds=sum(1 for _ in _FDS.iterdir()),
            tasks=len(asyncio.all_tasks()),
            lag_ms=round(1000 * lag_s, 1),
        )
