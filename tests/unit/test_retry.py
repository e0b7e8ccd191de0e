"""Trying again: when, how often, and what is not worth it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.errors import (
    CircuitBreakerOpenError,
    ConfigurationError,
    ExchangeError,
    NetworkError,
    RateLimitedError,
    RetryExhaustedError,
)
from shared.retry import RetryManager, RetryManagerRegistry, RetryPolicy
from tests.fakes import FakeClock


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    """Raises these, one a call, then answers."""
    left = list(errors)

    async def call() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return call


def down(times: int) -> list[Exception]:
    return [NetworkError("down") for _ in range(times)]


@pytest.mark.parametrize(
    ("policy", "slept"),
    [
        (RetryPolicy(), [1, 2, 4]),
        (RetryPolicy(strategy="fixed", base_delay_s=3), [3, 3, 3]),
        (RetryPolicy(strategy="linear", base_delay_s=0.5), [0.5, 1, 1.5]),
        (RetryPolicy(strategy="exponential", max_delay_s=3), [1, 2, 3]),
        (RetryPolicy(delays_s=(5, 1)), [5, 1, 1]),
    ],
)
async def test_each_strategy_waits_its_own_way_and_then_gives_up(
    policy: RetryPolicy, slept: list[float]
) -> None:
    clock, told = FakeClock(), list[int]()
    manager = RetryManager("r", policy, clock)
    with pytest.raises(RetryExhaustedError, match="down") as raised:
        await manager.call(failing(*down(9)), lambda _, retry: told.append(retry))
    assert isinstance(raised.value.__cause__, NetworkError)
    assert clock.slept == slept
    assert told == [1, 2, 3, 0]


async def test_an_adaptive_wait_is_longer_where_calls_fail_and_comes_back() -> None:
    clock = FakeClock()
    manager = RetryManager("r", RetryPolicy(strategy="adaptive", max_attempts=2), clock)
    for _ in range(40):
        with pytest.raises(RetryExhaustedError):
            await manager.call(failing(*down(9)))
    assert clock.slept[0] == pytest.approx(1)
    assert clock.slept[-1] == pytest.approx(4, abs=0.1)
    for _ in range(60):
        await manager.call(failing())
    await manager.call(failing(*down(1)))
    assert clock.slept[-1] == pytest.approx(1, abs=0.1)


async def test_jitter_takes_off_a_share() -> None:
    clock = FakeClock()
    random.seed(7)
    policy = RetryPolicy(max_attempts=200, strategy="fixed", jitter=0.5)
    with pytest.raises(RetryExhaustedError):
        await RetryManager("r", policy, clock).call(failing(*down(200)))
    assert all(0.5 <= delay <= 1 for delay in clock.slept)
    assert max(clock.slept) - min(clock.slept) > 0.4


async def test_no_wait_is_begun_that_ends_after_the_deadline() -> None:
    clock = FakeClock()
    policy = RetryPolicy(max_attempts=99, deadline_s=8)
    with pytest.raises(RetryExhaustedError):
        await RetryManager("r", policy, clock).call(failing(*down(99)))
    assert clock.slept == [1, 2, 4]


async def test_what_the_venue_says_is_waited_where_there_is_a_deadline() -> None:
    clock, limited = FakeClock(), RateLimitedError("slow down", retry_after_s=7)
    manager = RetryManager("r", RetryPolicy(deadline_s=20), clock)
    assert await manager.call(failing(limited)) == "answer"
    assert clock.slept == [7]
    endless = RetryManager("r", RetryPolicy(), clock)
    with pytest.raises(RateLimitedError):
        await endless.call(failing(limited))


@pytest.mark.parametrize(
    "error", [ExchangeError("no"), CircuitBreakerOpenError("open"), KeyError("a fault of ours")]
)
async def test_what_no_other_try_mends_is_raised_at_once(error: Exception) -> None:
    clock, told = FakeClock(), list[Any]()
    manager = RetryManager("r", RetryPolicy(), clock)
    with pytest.raises(type(error)):
        await manager.call(failing(error), lambda *failure: told.append(failure))
    assert (clock.slept, told) == ([], [])


async def test_a_cancelled_call_is_not_tried_again() -> None:
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        await asyncio.Event().wait()

    manager = RetryManager("r", RetryPolicy(), FakeClock())
    task = asyncio.create_task(manager.call(call))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == 1


async def test_statistics_by_name() -> None:
    registry = RetryManagerRegistry(FakeClock())
    manager = registry.create_retry_manager("binance_api", RetryPolicy(max_attempts=3))
    assert registry.create_retry_manager("binance_api", RetryPolicy(max_attempts=2)) is manager
    assert registry.get_retry_manager("other") is None
    await manager.call(failing(*down(1)))
    with pytest.raises(RetryExhaustedError):
        await manager.call(failing(*down(9)))
    with pytest.raises(ExchangeError):
        await manager.call(failing(ExchangeError("no")))
    statistics = registry.get_statistics()["binance_api"]
    rate = statistics.pop("success_rate")
    assert 0 < rate < 1
    assert statistics == {
        "calls": 3,
        "successes": 1,
        "retries": 2,
        "exhausted": 1,
        "refused": 1,
    }


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"base_delay_s": -1}, {"jitter": 2}])
def test_a_policy_that_can_not_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        RetryPolicy(**wrong)
