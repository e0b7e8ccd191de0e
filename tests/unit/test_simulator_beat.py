"""The beat by which simulated venues send."""

import asyncio
from time import time

import pytest

from simulator.beat import Beat

BEATS = 50


async def test_it_comes_once_a_millisecond_at_most() -> None:
    with Beat() as beat:
        began = time()
        for _ in range(BEATS):
            await beat.next()
        assert time() - began >= (BEATS - 2) / 1000


async def test_it_comes_again_after_a_turn_that_took_longer() -> None:
    with Beat() as beat:
        await beat.next()
        await asyncio.sleep(0.005)
        async with asyncio.timeout(1):
            await beat.next()


async def test_who_waits_leaves_the_loop_to_others() -> None:
    """A pump that is late all the time still lets frames in."""
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    with Beat() as beat:
        for _ in range(BEATS):
            await beat.next()
    beside.cancel()
    assert others >= BEATS


async def test_where_the_system_has_no_such_timer_the_loops_own_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beat = Beat()
    monkeypatch.setattr(beat, "_libc", object())
    with beat:
        began = time()
        for _ in range(BEATS):
            await beat.next()
        assert time() - began >= (BEATS - 2) / 1000
