# Copied from shared/clock.py by scripts/wire.py: change that one.
"""The one door to time: wall clock for stamps, monotonic clock for ages and timers."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What code that deals with time is given; tests hand in one that they move themselves."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds of the Unix epoch. For stamps only: it can jump."""
        ...

    def now_ns(self) -> int:
        """The same in nanoseconds, to tell apart what comes within one millisecond."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back. For ages, deadlines and timers."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    now_ns = staticmethod(time.time_ns)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def ms_at(clock: Clock, moment: float) -> int:
    """Our clock's time at a moment of the monotonic one."""
    return clock.now_ms() - round(1000 * (clock.monotonic() - moment))
