"""Waiting for something to become true, instead of sleeping and hoping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(
    check: Callable[[], Awaitable[T | None]],
    timeout_s: float = ...,
    message: str = ...,
    poll_s: float = ...,
) -> T: ...
@overload
async def eventually(
    check: Callable[[], T | None],
    timeout_s: float = ...,
    message: str = ...,
    poll_s: float = ...,
) -> T: ...
async def eventually(
    check: Callable[[], Any], timeout_s: float = 5.0, message: str = "", poll_s: float = 0.02
) -> Any:
    """The first true result of `check`, plain or a coroutine function. Fails the test after
    `timeout_s` with `message` and the last result."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = check()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{message or check} not true after {timeout_s} s: {result!r}")
        await asyncio.sleep(poll_s)
