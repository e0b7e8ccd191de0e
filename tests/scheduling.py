"""Letting a schedule run on a clock that moves with every sleep."""

import asyncio
from collections.abc import Callable

from tests.fakes import FakeClock
from workers.collector.schedule.schedule import Schedule

EACH_S = 0.2


async def let_run(
    schedule: Schedule,
    clock: FakeClock,
    seconds: float,
    each: Callable[[], None] = lambda: None,
) -> None:
    """For so long, with `each` done every fifth of a second. Raises what ends the schedule."""
    end, due = clock.elapsed_s + seconds, clock.elapsed_s

    async def watch() -> None:
        nonlocal due
        while clock.elapsed_s < end:
            if clock.elapsed_s >= due:
                due += EACH_S
                each()
            await asyncio.sleep(0)

    working, watching = asyncio.create_task(schedule.run()), asyncio.create_task(watch())
    done, _ = await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
    for task in (working, watching):
        task.cancel()
    await asyncio.gather(working, watching, return_exceptions=True)
    for task in done:
        task.result()
