"""The beat of a simulated market: each whole millisecond of the wall clock."""

import asyncio
import ctypes
import os
from time import CLOCK_MONOTONIC, time_ns

_MILLISECOND = 1_000_000
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("first", _Timespec))


class Beat:
    """A timer of Linux's (timerfd). Those of event loops are a millisecond late on average: they
    count in whole ones from wherever they were started. Elsewhere one of them has to do.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = -1
        self._due = asyncio.Event()

    def __enter__(self) -> "Beat":
        if hasattr(self._libc, "timerfd_create"):
            self._timer = self._libc.timerfd_create(CLOCK_MONOTONIC, _FLAGS)
        if self._timer >= 0:
            asyncio.get_running_loop().add_reader(self._timer, self._expired)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer >= 0:
            asyncio.get_running_loop().remove_reader(self._timer)
            os.close(self._timer)
            self._timer = -1

    async def next(self) -> None:
        """Wait for the next whole millisecond."""
        if self._timer < 0:
            await asyncio.sleep(0.001)
            return
        self._due.clear()
        spec = _Timerspec(first=_Timespec(0, _MILLISECOND - time_ns() % _MILLISECOND))
        self._libc.timerfd_settime(self._timer, 0, ctypes.byref(spec), None)
        await self._due.wait()

    def _expired(self) -> None:
        os.read(self._timer, 8)
        self._due.set()
