"""Waiting for what other processes do."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(
    check: Callable[[], bool | Awaitable[bool]], deadline_s: float, poll_s: float = 0.05
) -> bool:
    """Whether `check`, plain or a coroutine function, became true in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        found = check()
        if found if isinstance(found, bool) else await found:
            return True
        if loop.time() > end:
            return False
        await asyncio.sleep(poll_s)
