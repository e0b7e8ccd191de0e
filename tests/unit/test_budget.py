"""The budget of a process: who goes first, how much there is."""

import asyncio

import pytest

from shared.budget import Budget, RequestClass
from shared.errors import ConfigurationError
from shared.limits import Charge
from tests.budgets import limits_of
from tests.fakes import FakeClock


def of(budget: Budget, weight: float) -> tuple[Charge, ...]:
    return budget.limits.charges("", weight)


async def test_the_budget_holds_over_any_stretch_of_time() -> None:
    clock = FakeClock()
    budget = Budget(limits_of(10, 20), clock)
    granted = []
    while clock.elapsed_s < 60:
        await budget.acquire(of(budget, 3), RequestClass.LIVE)
        granted.append((clock.elapsed_s, 3))
    total = sum(weight for _, weight in granted)
    assert total <= 10 * clock.elapsed_s + 1e-6  # it starts empty: no burst on top
    assert total >= 0.95 * 10 * 60


async def test_what_this_process_did_not_spend_before_is_there_at_once() -> None:
    clock = FakeClock()
    budget = Budget(limits_of(10, 20), clock, idle_s=1.0)
    await budget.acquire(of(budget, 9), RequestClass.LIVE)
    assert clock.elapsed_s == 0
    await budget.acquire(of(budget, 9), RequestClass.LIVE)
    assert clock.elapsed_s > 0.8


async def test_lower_classes_leave_room_for_higher_ones() -> None:
    clock = FakeClock()
    budget = Budget(limits_of(10, 20), clock)
    clock.elapsed_s = 100
    for _ in range(12):
        await budget.acquire(of(budget, 1), RequestClass.BACKFILL)
    assert clock.slept == []
    before = clock.elapsed_s
    await budget.acquire(of(budget, 4), RequestClass.LIVE)
    assert clock.elapsed_s == before
    await budget.acquire(of(budget, 1), RequestClass.BACKFILL)
    assert clock.elapsed_s > before


async def test_a_ban_stops_every_request_and_a_shorter_one_does_not_lift_it() -> None:
    clock = FakeClock()
    budget = Budget(limits_of(1000, 1000), clock)
    clock.elapsed_s = 10
    budget.ban(60)
    budget.ban(1)
    await budget.acquire(of(budget, 1), RequestClass.CONTROL)
    assert clock.elapsed_s == pytest.approx(70)


async def test_nothing_starves_while_higher_classes_want_all_there_is() -> None:
    clock = FakeClock()
    budget = Budget(limits_of(10, 20), clock)
    granted: list[RequestClass] = []

    async def ask_for_ever(request_class: RequestClass) -> None:
        while clock.elapsed_s < 300:
            await budget.acquire(of(budget, 5), request_class)
            granted.append(request_class)

    wanting = [ask_for_ever(c) for c in [*[RequestClass.LIVE] * 3, RequestClass.FUNDING]]
    await asyncio.wait_for(asyncio.gather(*wanting), 20)
    assert granted.count(RequestClass.FUNDING) >= 3
    assert granted.count(RequestClass.LIVE) > 10 * granted.count(RequestClass.FUNDING)


async def test_a_request_of_a_higher_class_passes_those_that_wait() -> None:
    clock = FakeClock()
    budget = Budget(limits_of(10, 20), clock)
    order: list[str] = []

    async def ask(name: str, request_class: RequestClass) -> None:
        await budget.acquire(of(budget, 5), request_class)
        order.append(name)

    waiting = [asyncio.create_task(ask(f"repair{n}", RequestClass.REPAIR)) for n in range(5)]
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(ask("live", RequestClass.LIVE)))
    waiting[1].cancel()
    await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
    assert order.index("live") <= 1
    assert [name for name in order if name != "live"] == [
        "repair0",
        "repair2",
        "repair3",
        "repair4",
    ]


async def test_a_weight_that_can_never_pass_is_an_error() -> None:
    budget = Budget(limits_of(1, 5), FakeClock())
    with pytest.raises(ConfigurationError):
        await budget.acquire(of(budget, 1e9), RequestClass.CONTROL)
