"""Trying again: four strategies, a deadline over all attempts, statistics by name.

Whether an error is worth another try stands in `shared.reactions`.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from shared.clock import Clock
from shared.errors import ConfigurationError, RateLimitedError, RetryExhaustedError
from shared.reactions import Reaction, reaction_to

T = TypeVar("T")

Strategy = Literal["fixed", "linear", "exponential", "adaptive"]
#: Told of each failure: the error, and the number of the retry that follows (from 1; 0: none).
OnFailure = Callable[[Exception, int], None]
#: How much the latest call counts in the share of calls that succeed.
_LEARNING = 0.1


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to try, and how long to wait before each further try.

    `fixed` waits `base_delay_s` each time, `linear` that times the number of the retry,
    `exponential` that doubled with each: 1, 2, 4 s by default. `adaptive` is exponential, times one
    where calls succeed and up to four where they do not. `delays_s` is a list instead, whose last
    entry repeats. What a venue asks us to wait is waited in any case.
    """

    max_attempts: int = 4
    base_delay_s: float = 1.0
    strategy: Strategy = "exponential"
    max_delay_s: float = 60.0
    jitter: float = 0.0  # up to this share of a delay is taken off at random
    deadline_s: float | None = None  # over all attempts; a wait beyond it is not begun
    delays_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or self.base_delay_s < 0 or not 0 <= self.jitter <= 1:
            raise ConfigurationError("a retry needs an attempt, and delays and jitter from 0 on")

    def delay_s(self, retry: int, success_rate: float = 1.0) -> float:
        """Before a retry, from 1 on, without jitter."""
        if self.delays_s:
            return self.delays_s[min(retry, len(self.delays_s)) - 1]
        match self.strategy:
            case "fixed":
                delay_s = self.base_delay_s
            case "linear":
                delay_s = self.base_delay_s * retry
            case _:
                delay_s = self.base_delay_s * 2.0 ** min(retry - 1, 30)
        if self.strategy == "adaptive":
            delay_s *= 4.0 - 3.0 * success_rate
        return min(delay_s, self.max_delay_s)


@dataclass(slots=True)
class RetryStatistics:
    """Of one name, since the start."""

    calls: int = 0
    successes: int = 0
    retries: int = 0
    exhausted: int = 0  # failed as often as the policy allows, or beyond the deadline
    refused: int = 0  # failed in a way that no retry mends
    success_rate: float = 1.0  # of late


class RetryManager:
    """Calls under one policy, by one name."""

    def __init__(self, name: str, policy: RetryPolicy, clock: Clock) -> None:
        self.name = name
        self.policy = policy
        self.statistics = RetryStatistics()
        self._clock = clock

    async def call(
        self, func: Callable[[], Awaitable[T]], on_failure: OnFailure = lambda _error, _retry: None
    ) -> T:
        """What `func` returns, at the first attempt that does. Raises RetryExhaustedError after
        the last, and at once what no other try mends."""
        self.statistics.calls += 1
        retrying = AsyncRetrying(
            sleep=self._clock.sleep,
            retry=retry_if_exception(self._is_worth_it),
            wait=self._wait_s,
            stop=self._stop_at(self._clock.monotonic()),
            before_sleep=lambda state: on_failure(_error_of(state), state.attempt_number),
            retry_error_callback=partial(self._give_up, on_failure),
        )
        try:
            result: T = await retrying(func)
        except Exception as error:
            self.statistics.refused += not isinstance(error, RetryExhaustedError)
            self._learn(0.0)
            raise
        self.statistics.successes += 1
        self._learn(1.0)
        return result

    def get_statistics(self) -> dict[str, Any]:
        return asdict(self.statistics)

    def _is_worth_it(self, error: BaseException) -> bool:
        """To wait as long as a venue says takes a deadline: it may be hours."""
        reaction = reaction_to(error)
        has_end = self.policy.deadline_s is not None
        return reaction is Reaction.RETRY or (reaction is Reaction.WAIT and has_end)

    def _wait_s(self, state: RetryCallState) -> float:
        policy, error = self.policy, _error_of(state)
        delay_s = policy.delay_s(state.attempt_number, self.statistics.success_rate)
        delay_s *= 1 - policy.jitter * random.random()
        told_s = error.retry_after_s if isinstance(error, RateLimitedError) else 0.0
        return max(delay_s, told_s)

    def _stop_at(self, started: float) -> Callable[[RetryCallState], bool]:
        def stop(state: RetryCallState) -> bool:
            if state.attempt_number >= self.policy.max_attempts:
                return True
            if self.policy.deadline_s is not None:
                resumes = self._clock.monotonic() + state.upcoming_sleep
                if resumes > started + self.policy.deadline_s:
                    return True
            self.statistics.retries += 1
            self._learn(0.0)
            return False

        return stop

    def _give_up(self, on_failure: OnFailure, state: RetryCallState) -> None:
        error = _error_of(state)
        self.statistics.exhausted += 1
        on_failure(error, 0)
        raise RetryExhaustedError(str(error)) from error

    def _learn(self, success: float) -> None:
        self.statistics.success_rate += _LEARNING * (success - self.statistics.success_rate)


class RetryManagerRegistry:
    """The managers of a process, by name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._managers: dict[str, RetryManager] = {}

    def create_retry_manager(self, name: str, policy: RetryPolicy) -> RetryManager:
        """The one of that name, from now on under this policy."""
        manager = self._managers.get(name)
        if manager is None:
            manager = self._managers[name] = RetryManager(name, policy, self._clock)
        manager.policy = policy
        return manager

    def get_retry_manager(self, name: str) -> RetryManager | None:
        return self._managers.get(name)

    def get_statistics(self) -> dict[str, dict[str, Any]]:
        return {name: manager.get_statistics() for name, manager in self._managers.items()}


def _error_of(state: RetryCallState) -> Exception:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, Exception)
    return error
