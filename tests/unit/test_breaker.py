"""The circuit breaker, and those of a venue."""

import asyncio
import math

import ccxt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.breaker import BreakerPolicy, CircuitBreaker, CircuitBreakerManager
from shared.endpoints import Endpoint
from shared.errors import (
    BlockedError,
    CircuitBreakerOpenError,
    ConfigurationError,
    ExchangeError,
    NetworkError,
    RateLimitedError,
)
from tests.fakes import FakeClock
from workers.collector.breakers import ENDPOINT, VenueBreakers

POLICY = BreakerPolicy()


def made(clock: FakeClock, policy: BreakerPolicy = POLICY) -> CircuitBreaker:
    return CircuitBreaker("v", policy, clock)


def refused(breaker: CircuitBreaker | VenueBreakers) -> bool:
    try:
        breaker.admit()
    except CircuitBreakerOpenError:
        return True
    return False


def fail(breaker: CircuitBreaker | VenueBreakers, clock: FakeClock, times: int = 1) -> None:
    for _ in range(times):
        clock.elapsed_s += 1
        breaker.failed()


def broken(clock: FakeClock) -> tuple[CircuitBreaker, list[str]]:
    breaker, told = made(clock), list[str]()
    breaker.on_change = lambda state, _: told.append(state)
    for _ in range(5):
        assert not refused(breaker)
        fail(breaker, clock)
    return breaker, told


def test_it_opens_where_half_of_the_calls_of_the_window_fail_and_enough_of_them() -> None:
    clock = FakeClock()
    breaker = made(clock)
    for _ in range(1000):
        breaker.succeeded()
    fail(breaker, clock, 4)
    assert (breaker.failure_count, breaker.success_count, breaker.state) == (4, 6, "CLOSED")
    fail(breaker, clock)
    assert (breaker.state, refused(breaker)) == ("OPEN", True)


def test_fewer_than_half_do_not_open_it() -> None:
    clock = FakeClock()
    breaker = made(clock)
    for _ in range(100):
        fail(breaker, clock)
        breaker.succeeded()
        breaker.succeeded()
    assert breaker.state == "CLOSED"


def test_few_failures_do_not_open_it_whatever_their_share() -> None:
    clock = FakeClock()
    breaker = made(clock)
    fail(breaker, clock, 4)
    assert not refused(breaker)


def test_what_left_the_window_does_not_count() -> None:
    clock = FakeClock()
    breaker = made(clock)
    fail(breaker, clock, 4)
    clock.elapsed_s += 60
    fail(breaker, clock, 4)
    assert (breaker.state, breaker.failure_count) == ("CLOSED", 4)


def test_requests_that_fail_together_are_one_failure() -> None:
    """A list of markets is several requests at once: one refused connection is no storm."""
    clock = FakeClock()
    breaker = made(clock)
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
    assert breaker.state == "HALF_OPEN"
    assert refused(breaker)  # the others wait for the first
    breaker.failed()
    assert refused(breaker)
    clock.elapsed_s += 60
    assert not refused(breaker)
    breaker.succeeded()
    assert not refused(breaker)
    assert told == ["OPEN", "HALF_OPEN", "OPEN", "HALF_OPEN", "CLOSED"]
    assert breaker.rejected == 3


def test_as_many_successes_as_asked_for_close_it() -> None:
    clock = FakeClock()
    breaker = made(clock, BreakerPolicy(success_threshold=3))
    fail(breaker, clock, 5)
    clock.elapsed_s += 10
    for state in ("HALF_OPEN", "HALF_OPEN", "CLOSED"):
        assert not refused(breaker)
        breaker.succeeded()
        assert breaker.state == state


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


def test_it_is_open_for_as_long_as_told_and_a_longer_wait_stays() -> None:
    clock = FakeClock()
    breaker = made(clock)
    breaker.open_for(60, "maintenance")
    breaker.open_for(5, "something else")
    assert (breaker.open_for_s, breaker.reason) == (60, "maintenance")
    clock.elapsed_s += 59
    with pytest.raises(CircuitBreakerOpenError, match="v is left alone: maintenance"):
        breaker.check()
    clock.elapsed_s += 2
    assert not refused(breaker)


def test_by_hand() -> None:
    clock = FakeClock()
    breaker = made(clock)
    breaker.trip()
    clock.elapsed_s += 1e9
    assert refused(breaker)
    assert breaker.open_for_s == math.inf
    breaker.reset()
    assert (breaker.state, refused(breaker)) == ("CLOSED", False)
    breaker.trip(5)
    clock.elapsed_s += 6
    assert not refused(breaker)


@pytest.mark.parametrize(
    ("error", "failures"),
    [
        (NetworkError("x"), 1),
        (ccxt.ExchangeNotAvailable("x"), 1),
        (BlockedError("x"), 1),
        (TimeoutError(), 1),
        (ExchangeError("no such thing"), 0),
        (ccxt.BadSymbol("x"), 0),
        (ccxt.ChecksumError("x"), 0),
        (KeyError("a fault of ours"), 0),
    ],
)
async def test_what_says_nothing_of_its_health_does_not_count(
    error: Exception, failures: int
) -> None:
    breaker = made(FakeClock())

    async def call() -> None:
        raise error

    with pytest.raises(type(error)):
        await breaker.call(call)
    assert (breaker.failure_count, breaker.success_count) == (failures, 1 - failures)


async def test_a_venue_that_asks_us_to_wait_is_there_and_left_alone_so_long() -> None:
    clock = FakeClock()
    breaker = made(clock)

    async def call() -> None:
        raise RateLimitedError("slow down", retry_after_s=30)

    with pytest.raises(RateLimitedError):
        await breaker.call(call)
    assert (breaker.failure_count, breaker.open_for_s) == (0, 30)


async def test_our_own_deadline_is_a_failure_and_frees_the_probe() -> None:
    clock = FakeClock()
    breaker = made(clock)
    fail(breaker, clock, 5)
    clock.elapsed_s += 10
    probing = asyncio.create_task(breaker.call(asyncio.Event().wait))
    await asyncio.sleep(0.01)
    probing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probing
    assert breaker.state == "OPEN"
    clock.elapsed_s += 60
    assert not refused(breaker)


@given(st.lists(st.sampled_from(["ok", "bad", "tick", "wait"]), max_size=200))
def test_whatever_happens_at_most_one_call_tries_and_it_heals(steps: list[str]) -> None:
    clock = FakeClock()
    breaker = made(clock)
    for step in steps:
        clock.elapsed_s += {"tick": 1.0, "wait": 30.0}.get(step, 0.2)
        if step in ("ok", "bad") and not refused(breaker):
            if breaker.state == "HALF_OPEN":
                assert refused(breaker)
            breaker.succeeded() if step == "ok" else breaker.failed()
    clock.elapsed_s += 60
    assert not refused(breaker)
    breaker.succeeded()
    assert breaker.state == "CLOSED"


def test_a_manager_knows_them_by_name() -> None:
    manager = CircuitBreakerManager(FakeClock())
    one = manager.create_circuit_breaker("exchange_bybit", POLICY)
    assert manager.create_circuit_breaker("exchange_bybit", POLICY) is one
    manager.create_circuit_breaker("exchange_bitget", POLICY).trip()
    assert manager.get_all_states() == {"exchange_bybit": "CLOSED", "exchange_bitget": "OPEN"}
    assert manager.get_circuit_breaker("other") is None


@pytest.mark.parametrize(
    "wrong", [{"failure_threshold": 0}, {"success_threshold": 0}, {"window_calls": 4}]
)
def test_a_policy_that_can_not_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        BreakerPolicy(**wrong)


def about(endpoint: Endpoint, breakers: VenueBreakers, *, fails: bool, clock: FakeClock) -> bool:
    """Whether a request was let go."""
    ENDPOINT.set(endpoint)
    clock.elapsed_s += 0.5
    if refused(breakers):
        return False
    breakers.failed() if fails else breakers.succeeded()
    return True


def test_an_endpoint_that_fails_is_left_alone_and_the_others_go_on() -> None:
    clock = FakeClock()
    breakers = VenueBreakers("v", clock)
    for _ in range(20):
        about(Endpoint.PRICES, breakers, fails=False, clock=clock)
        about(Endpoint.HISTORY, breakers, fails=True, clock=clock)
    assert breakers.as_dict() == {"history": "OPEN"}
    assert breakers.state == "CLOSED"
    assert about(Endpoint.PRICES, breakers, fails=False, clock=clock)
    assert not about(Endpoint.HISTORY, breakers, fails=True, clock=clock)


def test_a_venue_that_fails_is_left_alone_as_a_whole_and_tried_by_any_request() -> None:
    clock = FakeClock()
    breakers, told = VenueBreakers("v", clock), list[tuple[str, str]]()
    breakers.on_change = lambda what, state, _: told.append((what, state))
    endpoints = list(Endpoint)
    for n in range(5):
        assert about(endpoints[n % 4], breakers, fails=True, clock=clock)
    assert breakers.state == "OPEN"
    assert not any(about(one, breakers, fails=True, clock=clock) for one in endpoints)
    clock.elapsed_s += 10
    assert about(Endpoint.MARKETS, breakers, fails=False, clock=clock)
    assert all(about(one, breakers, fails=False, clock=clock) for one in endpoints)
    assert told == [("", "OPEN"), ("", "HALF_OPEN"), ("", "CLOSED")]
    assert breakers.manager.get_all_states()["exchange_v"] == "CLOSED"


def test_a_call_that_was_given_up_says_nothing_and_frees_the_probe() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker("b", BreakerPolicy(), clock)
    for _ in range(20):
        breaker.dropped()
        clock.elapsed_s += 1
    assert (breaker.state, breaker.failure_count) == ("CLOSED", 0)
    breaker.open_for(10, "maintenance")
    clock.elapsed_s += 10
    breaker.admit()
    breaker.dropped()
    states: list[str] = [breaker.state]
    breaker.admit()  # at once: nobody has tried
    breaker.succeeded()
    assert [*states, breaker.state] == ["OPEN", "CLOSED"]


def test_an_endpoint_that_was_tripped_stays_so_when_the_venue_fails() -> None:
    breakers = VenueBreakers("v", FakeClock())
    breakers.of(Endpoint.HISTORY).trip()
    breakers.open_for(5, "maintenance")
    assert breakers.of(Endpoint.HISTORY).state == "OPEN"
    assert breakers.of(Endpoint.PRICES).state == "CLOSED"
