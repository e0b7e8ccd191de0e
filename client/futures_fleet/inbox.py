"""Deliveries between the connection and whoever reads them: bounded, the oldest out."""

import asyncio
from collections import deque

from aiormq.abc import DeliveredMessage

#: About what a delivery costs beside its body.
_OVERHEAD_BYTES = 1024


class Inbox:
    """Filled by the connection, emptied by one reader."""

    def __init__(self, max_bytes: int) -> None:
        self.dropped = 0  # for want of room; their numbers tell the reader that they are missing
        self._max_bytes = max_bytes
        self._bytes = 0
        self._waiting: deque[DeliveredMessage | None] = deque()  # None: a break
        self._broken = False  # between what was read and what waits
        self._woken = asyncio.Event()

    def put(self, delivered: DeliveredMessage) -> None:
        self._waiting.append(delivered)
        self._bytes += len(delivered.body) + _OVERHEAD_BYTES
        while self._bytes > self._max_bytes and len(self._waiting) > 1:
            oldest = self._waiting.popleft()
            self._broken = True
            if oldest is not None:
                self._bytes -= len(oldest.body) + _OVERHEAD_BYTES
                self.dropped += 1
        self._woken.set()

    def mark_break(self) -> None:
        """What comes from now on is of another subscription than what came before."""
        self._waiting.append(None)

    def take_break(self) -> bool:
        """Whether anything may be missing before the next delivery; asked once."""
        while self._waiting and self._waiting[0] is None:
            self._waiting.popleft()
            self._broken = True
        broken, self._broken = self._broken, False
        return broken

    def get(self) -> DeliveredMessage | None:
        """The next delivery, after `take_break`; None where none waits."""
        if not self._waiting:
            return None
        delivered = self._waiting.popleft()
        if delivered is not None:
            self._bytes -= len(delivered.body) + _OVERHEAD_BYTES
        return delivered

    def wake(self) -> None:
        """End `wait`: there is something else to look at."""
        self._woken.set()

    async def wait(self, timeout_s: float | None) -> None:
        """Until a delivery waits, `wake`, or the timeout."""
        self._woken.clear()
        if self._waiting:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return
