"""What a process says of itself."""

import asyncio
import subprocess
import sys
import time
from mmap import mmap
from pathlib import Path

from shared.clock import SystemClock
from shared.vitals import Vitals
from tests.waiting import eventually


async def test_descriptors_tasks_and_memory_are_counted(tmp_path: Path) -> None:
    vitals = Vitals(SystemClock())
    before = vitals.read()
    waiting = [asyncio.create_task(asyncio.sleep(60)) for _ in range(5)]
    with (tmp_path / "a").open("w"), (tmp_path / "b").open("w"):
        held = mmap(-1, 32 * 2**20)  # not of the heap, which may have room
        held[::4096] = b"x" * len(held[::4096])
        after = vitals.read()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert after.tasks - before.tasks == 5
    assert after.fds - before.fds == 2
    assert 25 < after.rss_mb - before.rss_mb < 60


def test_the_age_of_a_process_is_from_its_start() -> None:
    code = "from shared.vitals import age_s; print(age_s())"
    before = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert 0 < float(done.stdout) <= time.monotonic() - before + 0.02


async def test_a_blocked_loop_shows_once() -> None:
    vitals = Vitals(SystemClock())
    watching = asyncio.create_task(vitals.run())
    await asyncio.sleep(0.05)
    time.sleep(0.6)  # noqa: ASYNC251
    await eventually(lambda: vitals._lag_s > 0.2)
    assert vitals.read().lag_ms > 200
    assert vitals.read().lag_ms < 200
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_the_load_is_told_beside_the_reading_and_each_of_them_once() -> None:
    vitals = Vitals(SystemClock())
    watching = asyncio.create_task(vitals.run())
    await asyncio.sleep(0.05)
    end = time.process_time() + 0.6
    while time.process_time() < end:
        pass
    await eventually(lambda: vitals._load_lag_s > 0.2)
    load = vitals.load()
    assert load.lag_s > 0.2
    assert 0.1 < load.cpu <= 2
    assert vitals.load().lag_s < 0.2
    assert vitals.read().lag_ms > 200
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
