"""Questions and chores that are done when they are due."""

import asyncio
from typing import Any

import pytest

from shared.clock import SystemClock
from tests.waiting import eventually
from workers.collector.schedule.item import Chore, Question
from workers.collector.schedule.schedule import Schedule
from workers.collector.schedule.tightness import Factors


class Calm:
    """Nothing is tight."""

    def feel(self) -> Factors:
        return Factors()


async def test_a_schedule_asks_each_question_and_never_one_of_them_twice_at_a_time() -> None:
    gauge: Any = Calm()
    schedule = Schedule(gauge, SystemClock())
    running, most, done = 0, 0, 0

    async def ask() -> bool:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.03)
        running -= 1
        done += 1
        return True

    ticks: list[int] = []
    schedule.put(Question("slow", 0.02, ask))
    schedule.put(Chore("tick", 0.05, lambda: ticks.append(1)))
    work = asyncio.create_task(schedule.run())
    await eventually(lambda: done >= 4 and len(ticks) >= 4)
    assert most == 1
    assert schedule.skipped > 0
    assert schedule.widened == 1
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert running <= 1
    count = len(ticks)
    await asyncio.sleep(0.1)
    assert len(ticks) == count


async def test_what_waits_for_a_lane_follows_at_once() -> None:
    gauge: Any = Calm()
    schedule = Schedule(gauge, SystemClock())
    order: list[str] = []

    def asking(name: str) -> Question:
        async def ask() -> bool:
            order.append(name)
            await asyncio.sleep(0)
            return True

        return Question(name, 60.0, ask, lane="one")

    names = [f"q{n}" for n in range(50)]
    for name in names:
        schedule.put(asking(name))
    work = asyncio.create_task(schedule.run())
    await eventually(lambda: len(order) == 50, 1.0)
    assert order == names
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_an_error_that_no_venue_causes_ends_the_schedule() -> None:
    gauge: Any = Calm()
    schedule = Schedule(gauge, SystemClock())

    async def ask() -> bool:
        raise RuntimeError("a defect")

    schedule.put(Question("broken", 1.0, ask))
    with pytest.raises(ExceptionGroup, match="unhandled"):
        await asyncio.wait_for(schedule.run(), 2)
