"""The circuit breaker."""

import pytest

from shared.breaker import Breaker
from shared.errors import CircuitBreakerOpenError
from tests.fakes import FakeClock


def refused(breaker: Breaker) -> bool:
    try:
        breaker.admit()
    except CircuitBreakerOpenError:
        return True
    return False


def broken(clock: FakeClock) -> tuple[Breaker, list[str]]:
    breaker, told = Breaker(clock), list[str]()
    breaker.on_change = told.append
    for _ in range(5):
        assert not refused(breaker)
        fail(breaker, clock)
    return breaker, told


def fail(breaker: Breaker, clock: FakeClock) -> None:
    clock.elapsed_s += 1
    breaker.failed()


def test_five_failures_in_a_row_open_it_and_one_success_in_between_does_not() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    for _ in range(20):
        for _ in range(4):
            fail(breaker, clock)
        breaker.succeeded()
    assert breaker.state == "closed"
    for _ in range(5):
        fail(breaker, clock)
    assert refused(breaker)


def test_requests_that_fail_together_are_one_failure() -> None:
    """A list of markets is several requests at once: one refused connection is no storm."""
    clock = FakeClock()
    breaker = Breaker(clock)
    for _ in range(4):
        clock.elapsed_s += 1
        for _ in range(6):
            breaker.failed()
    assert not refused(breaker)
    fail(breaker, clock)
    assert refused(breaker)


def test_after_a_while_one_may_try_and_decides_for_all() -> None:
    clock = FakeClock()
    breaker, told = broken(clock)
    assert refused(breaker)
    clock.elapsed_s += 10
    assert not refused(breaker)
    assert refused(breaker)  # the others wait for the first
    breaker.failed()
    assert refused(breaker)
    clock.elapsed_s += 60
    assert not refused(breaker)
    breaker.succeeded()
    assert not refused(breaker)
    assert told == ["open", "closed"]


def test_the_pause_grows_to_a_cap() -> None:
    clock = FakeClock()
    breaker, _ = broken(clock)
    pauses = []
    for _ in range(8):
        began = clock.elapsed_s
        while refused(breaker):
            clock.elapsed_s += 0.5
        pauses.append(clock.elapsed_s - began)
        breaker.failed()
    assert 2.5 <= pauses[0] <= 5.5
    assert max(pauses) <= 25.5
    assert pauses[-1] >= 12.5


def test_maintenance_is_probed_once_a_minute() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    breaker.failed(maintenance=True)
    tried = 0
    for _ in range(600):
        clock.elapsed_s += 1
        if not refused(breaker):
            tried += 1
            breaker.failed(maintenance=True)
    assert tried == pytest.approx(10, abs=1)
    assert breaker.state == "maintenance"
