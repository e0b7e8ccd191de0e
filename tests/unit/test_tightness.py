"""How strained a worker and its venue are, and what widens."""

import asyncio
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.budget import Budget, RequestClass
from shared.vitals import Load
from tests.budgets import limits_of
from tests.fakes import FakeClock
from workers.collector.schedule.tightness import LOOK_S, MOST, Factors, Gauge, Widening


@given(st.lists(st.sampled_from([True, False, None]), max_size=200))
def test_a_factor_stays_in_its_bounds_and_comes_back(felt: list[bool | None]) -> None:
    widening = Widening()
    for n, tight in enumerate(felt):
        assert widening.feel(tight, n * LOOK_S) in (1, 2, 4, MOST)
    for n in range(len(felt), len(felt) + 15):
        widening.feel(False, n * LOOK_S)
    assert widening.factor == 1


def test_a_factor_doubles_while_it_is_tight_and_a_moment_does_not_count() -> None:
    widening = Widening()
    felt = [widening.feel(True, float(n)) for n in range(14)]
    assert felt == [1, 1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8]
    assert [widening.feel(False, 14.0 + n) for n in range(8)] == [8, 8, 4, 4, 2, 2, 1, 1]
    for n in range(20):
        widening.feel(n % 3 > 0, 30.0 + n)  # tight for two seconds at a time
    assert widening.factor == 1


class Strain:
    """A gauge over a venue and a process of which the test says how they are."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.clock.elapsed_s = 100
        self.budget = Budget(limits_of(10, 20), self.clock, idle_s=100)
        breaker: Any = SimpleNamespace(state="CLOSED")
        self.breaker = breaker
        self.load = Load(0.0, 0.1)
        vitals: Any = SimpleNamespace(load=lambda: self.load)
        self.gauge = Gauge(self.budget, self.breaker, vitals, self.clock)

    def felt(self, seconds: int) -> Factors:
        for _ in range(seconds):
            self.clock.elapsed_s += LOOK_S
            factors = self.gauge.feel()
        return factors


def test_a_late_loop_and_a_used_up_core_widen_everything() -> None:
    strain = Strain()
    assert strain.felt(5).largest == 1
    strain.load = Load(0.8, 0.1)
    assert strain.felt(5).process == 2
    strain.load = Load(0.0, 0.99)
    assert strain.felt(10).process == MOST
    strain.load = Load(0.3, 0.5)
    assert strain.felt(10).process == MOST  # neither tight nor well
    strain.load = Load(0.0, 0.5)
    assert strain.felt(10) == Factors(budget=dict.fromkeys(RequestClass, 1))


def test_an_open_breaker_and_a_ban_widen_questions() -> None:
    strain = Strain()
    strain.breaker.state = "OPEN"
    assert strain.felt(5).venue == 2
    strain.breaker.state = "CLOSED"
    assert strain.felt(5).venue == 1
    strain.budget.ban(60)
    factors = strain.felt(10)
    assert set(factors.budget.values()) == {MOST}
    assert (factors.venue, factors.process) == (1, 1)
    assert strain.felt(70).largest == 1


async def test_who_waits_in_the_budget_is_ahead_of_its_class_and_lower_ones() -> None:
    strain = Strain()
    ten = strain.budget.limits.charges("", 10)
    asking = [
        asyncio.create_task(strain.budget.acquire(ten, RequestClass.FUNDING)) for _ in range(15)
    ]
    await asyncio.sleep(0)
    waits = {one: strain.budget.wait_s(one) for one in RequestClass}
    assert waits[RequestClass.LIVE] < 1 < 8 < waits[RequestClass.FUNDING]
    assert waits[RequestClass.FUNDING] <= waits[RequestClass.REPAIR]
    strain.clock.elapsed_s += 3 * LOOK_S
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert max(strain.budget.wait_s(one) for one in RequestClass) < 8
