# Copied from shared/tasks.py by scripts/wire.py: change that one.
"""Ending tasks, for certain."""

import asyncio
from typing import Any

#: More than the tasks' own orderly end takes, so that it is not cut short.
_AGAIN_S = 2.5


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel `tasks` and wait until they have ended, whatever they end with.

    Cancelled again where they have not: `asyncio.wait_for`, which the AMQP client library puts
    around its calls, swallows a cancellation that comes as its work ends (fixed in Python 3.12).
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
