# Copied from shared/breaker.py by scripts/wire.py: change that one.
"""A circuit breaker: who fails too often is left alone for a while, then tried by one request.

Our own, since nothing kept fits asyncio, an injected clock, a rate over a window, and a probe that
may be cancelled.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from futures_fleet._wire.backoff import Backoff
from futures_fleet._wire.clock import Clock
from futures_fleet._wire.errors import CircuitBreakerOpenError, ConfigurationError, RateLimitedError
from futures_fleet._wire.reactions import row_of

T = TypeVar("T")

CircuitBreakerState = Literal["CLOSED", "OPEN", "HALF_OPEN"]

#: Requests that are made at once fail at once: that is one failure.
_AT_ONCE_S = 0.1
_TRIPPED = "opened by hand"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    It opens when of the last `window_calls` calls, of those no older than `window_s` seconds, at
    least `failure_threshold` failed and at least the share `failure_rate`; for half of
    `recovery_timeout` to all of it, twice as long with each time in a row, up to `max_recovery_s`.
    Then one call at a time may try; `success_threshold` of them close it. A window of calls sees a
    storm as soon at a hundred calls a second as at one in five.
    """

    failure_threshold: int = 5
    failure_rate: float = 0.5
    window_calls: int = 10
    window_s: float = 30.0
    recovery_timeout: float = 5.0
    max_recovery_s: float = 25.0
    success_threshold: int = 1

    def __post_init__(self) -> None:
        if self.failure_threshold < 1 or self.success_threshold < 1:
            raise ConfigurationError("a breaker needs thresholds from 1 on")
        if self.window_calls < self.failure_threshold or self.window_s <= 0:
            raise ConfigurationError("a breaker's window has to hold what opens it")


class CircuitBreaker:
    """Of one peer, or of one sort of calls to it."""

    def __init__(self, name: str, policy: BreakerPolicy, clock: Clock) -> None:
        #: Told of each change of state, with the reason.
        self.on_change: Callable[[CircuitBreakerState, str], None] = lambda _state, _reason: None
        self.name = name
        self.state: CircuitBreakerState = "CLOSED"
        self.reason = ""  # why it is not closed
        self.rejected = 0  # calls that were not made
        self._policy = policy
        self._clock = clock
        self._ended: deque[tuple[float, bool]] = deque(maxlen=policy.window_calls)  # when, how
        self._failed_at = -_AT_ONCE_S
        self._until = 0.0
        self._probing = False
        self._proven = 0  # successes since it was half open
        self._backoff = Backoff(policy.recovery_timeout, policy.max_recovery_s)

    @property
    def failure_count(self) -> int:
        """In the window."""
        return sum(not well for well in self._window())

    @property
    def success_count(self) -> int:
        """In the window."""
        return sum(self._window())

    @property
    def open_for_s(self) -> float:
        """How long no call will be made, at the earliest."""
        if self.state != "OPEN":
            return 0.0
        return max(0.0, self._until - self._clock.monotonic())

    async def call(self, func: Callable[[], Awaitable[T]]) -> T:
        """What `func` returns. Raises CircuitBreakerOpenError where it is not called. What says
        nothing of the peer's health does not count, see `shared.reactions`."""
        self.admit()
        try:
            result = await func()
        except Exception as error:
            self.ended_by(error)
            raise
        except asyncio.CancelledError:
            self.failed()  # our own deadline
            raise
        self.succeeded()
        return result

    def check(self) -> None:
        """Raises CircuitBreakerOpenError where a call has no business now."""
        if self.state == "CLOSED":
            return
        if self._probing or self._clock.monotonic() < self._until:
            self.rejected += 1
            raise CircuitBreakerOpenError(f"{self.name} is left alone: {self.reason}")

    def admit(self) -> None:
        """The same, right before a call, which then has to end as a success or a failure."""
        self.check()
        if self.state != "CLOSED":
            self._probing = True
            self._become("HALF_OPEN", self.reason)

    def ended_by(self, error: Exception) -> None:
        """A call raised."""
        row = row_of(error)
        if row is not None and row.unwell:
            self.failed()
        elif isinstance(error, RateLimitedError) and error.retry_after_s > 0:
            self.succeeded()  # it is there
            self.open_for(error.retry_after_s, "it asked us to wait")
        else:
            self.succeeded()

    def succeeded(self) -> None:
        self._ended.append((self._clock.monotonic(), True))
        self._probing = False
        if self.state == "HALF_OPEN":
            self._proven += 1
            if self._proven >= self._policy.success_threshold:
                self._close()

    def failed(self) -> None:
        now, probed = self._clock.monotonic(), self._probing
        self._probing = False
        if not probed and now < self._failed_at + _AT_ONCE_S:
            return
        self._failed_at = now
        self._ended.append((now, False))
        if self.state == "HALF_OPEN":
            self._open(self._backoff.next_s(), self.reason)
        elif self.state == "CLOSED" and self._fails_too_often():
            self._open(self._backoff.next_s(), "it fails again and again")

    def dropped(self) -> None:
        """A call was given up, for a reason that says nothing of the peer: the next one may try."""
        if self._probing:
            self._probing = False
            self._become("OPEN", self.reason)

    def forget(self) -> None:
        """Begin anew, unless it was opened by hand."""
        if self.reason != _TRIPPED:
            self.reset()

    def open_for(self, seconds: float, reason: str) -> None:
        """No call for so long: it is told by the peer, as for maintenance. A longer wait stays."""
        until = self._clock.monotonic() + seconds
        if self.state == "OPEN" and self._until >= until:
            return
        self._open(seconds, reason)

    def trip(self, seconds: float = math.inf) -> None:
        """Open it by hand; until it is `reset` unless for some seconds."""
        self._open(seconds, _TRIPPED)

    def reset(self) -> None:
        """Close it by hand, and forget what failed."""
        self._ended.clear()
        self._close()

    def _open(self, seconds: float, reason: str) -> None:
        self._until = self._clock.monotonic() + seconds
        self._proven, self._probing = 0, False
        self._become("OPEN", reason)

    def _close(self) -> None:
        self._until, self._proven, self._probing = 0.0, 0, False
        self._ended.clear()
        self._backoff.reset()
        self._become("CLOSED", "")

    def _fails_too_often(self) -> bool:
        window, policy = self._window(), self._policy
        failures = len(window) - sum(window)
        return failures >= max(policy.failure_threshold, policy.failure_rate * len(window))

    def _window(self) -> list[bool]:
        """Of each call that counts, whether it ended well."""
        since = self._clock.monotonic() - self._policy.window_s
        return [well for at, well in self._ended if at >= since]

    def _become(self, state: CircuitBreakerState, reason: str) -> None:
        changed = state != self.state
        self.state, self.reason = state, reason
        if changed:
            self.on_change(state, reason)


class CircuitBreakerManager:
    """The breakers of a process, by name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._breakers: dict[str, CircuitBreaker] = {}

    def create_circuit_breaker(self, name: str, policy: BreakerPolicy) -> CircuitBreaker:
        """The one of that name; the policy is that of the first call."""
        if name not in self._breakers:
            self._breakers[name] = CircuitBreaker(name, policy, self._clock)
        return self._breakers[name]

    def get_circuit_breaker(self, name: str) -> CircuitBreaker | None:
        return self._breakers.get(name)

    def get_all_states(self) -> dict[str, CircuitBreakerState]:
        return {name: breaker.state for name, breaker in self._breakers.items()}
