"""Tasks that end although they swallow a cancellation."""

import asyncio

import pytest

import shared.tasks
from shared.tasks import ended


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared.tasks, "_AGAIN_S", 0.01)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await ended(task)
    assert (task.cancelled(), swallowed) == (True, 2)


async def test_failures_of_tasks_are_left_to_their_owners() -> None:
    async def failing() -> None:
        raise RuntimeError("a bug")

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await ended(task)
    assert isinstance(task.exception(), RuntimeError)
    await ended()
