"""The budget of a process: who goes first, how much there is."""

import asyncio

import pytest

from shared.budget import Budget, RequestClass, Standing, Ticket
from shared.errors import ConfigurationError
from shared.limits import Charge, Rule, Used, UsedHeader
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


async def test_what_others_spent_is_not_ours_and_what_we_spent_is_not_spent_twice() -> None:
    clock = FakeClock()
    budget = Budget(limits_of(10, 20), clock)  # in a minute 620, which are 80 % of 775
    clock.elapsed_s = 100
    [charge] = of(budget, 1)
    await budget.acquire(of(budget, 5), RequestClass.CONTROL)
    budget.used(charge, Used(5, 59.0))
    assert await budget.remaining(of(budget, 1), RequestClass.CONTROL) == 15
    budget.used(charge, Used(20, 59.0))  # 620 - 20 - 590 are left
    assert await budget.remaining(of(budget, 1), RequestClass.CONTROL) == 10
    budget.used(charge, Used(60, 59.0))
    assert await budget.remaining(of(budget, 1), RequestClass.CONTROL) == 0
    before = clock.elapsed_s
    await budget.acquire(of(budget, 1), RequestClass.CONTROL)
    assert clock.elapsed_s - before == pytest.approx(3.1)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Used": "90"}, Used(90, 40.0)),
        ({"Used": "-1"}, None),
        ({"Used": "1e99"}, None),
        ({"Used": "nan"}, None),
        ({"Used": "many"}, None),
        ({}, None),
    ],
)
def test_a_header_that_says_no_number_says_nothing(
    headers: dict[str, str], said: Used | None
) -> None:
    rule = Rule("weight", 100, 60)
    assert UsedHeader(used="Used").read(headers, rule, 60_020.0) == said


def test_at_the_edge_of_a_window_nobody_knows_which_one_is_meant() -> None:
    header, rule = UsedHeader(remaining="Left", reset="Until"), Rule("weight", 100, 10)
    said = {"Left": "30", "Until": "107"}
    assert header.read(said, rule, 100.0) == Used(70, 7)
    assert header.read(said, rule, 106.8) is None
    assert header.read(said, rule, 200.0) is None
    assert header.read({"Left": "30"}, rule, 100.0) is None


async def test_one_that_waited_after_its_grant_does_not_go_out_into_a_ban() -> None:
    clock = FakeClock()
    budget = Budget(limits_of(10, 20), clock)
    budget.ban(30)
    await budget.unbanned()
    assert clock.elapsed_s == pytest.approx(30)


def test_waiting_lifts_no_request_of_a_user_above_what_is_live() -> None:
    of_user = Ticket(Standing(3.0, 0.2, highest=1.5), 1, since=0.0, charges=())
    live = Ticket(Standing(1.0, 0.05), 2, since=3600.0, charges=())
    assert of_user.order(60.0) < Ticket(Standing(3.0, 0.2), 3, since=60.0, charges=()).order(60.0)
    assert live.order(3600.0) < of_user.order(3600.0)
