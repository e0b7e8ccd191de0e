"""A circuit breaker: who fails again and again is left alone for a while, then tried once.

Our own, since nothing kept fits asyncio, an injected clock and a probe that may be cancelled.
"""

from collections.abc import Callable
from typing import Literal

from shared.clock import Clock
from shared.errors import CircuitBreakerOpenError
from shared.retry import Backoff

State = Literal["closed", "open", "maintenance"]

_FAILURES = 5
#: Requests that are made at once fail at once: that is one failure.
_AT_ONCE_S = 0.1
_MAINTENANCE_S = 60.0


class Breaker:
    """Opens after five failures in a row, those within 0.1 s counted once, for 2.5 to 5 s first and
    up to 25 s; maintenance opens it at once, for 60 s. Then one request may try; it closes the
    breaker or opens it again."""

    def __init__(self, clock: Clock) -> None:
        self.on_change: Callable[[State], None] = lambda _state: None
        self.state: State = "closed"
        self._clock = clock
        self._failures = 0
        self._failed_at = -_AT_ONCE_S
        self._until = 0.0
        self._probing = False
        self._backoff = Backoff(5.0, 25.0)

    def check(self) -> None:
        """Raises CircuitBreakerOpenError where a request has no business now."""
        waits = self._probing or self._clock.monotonic() < self._until
        if self.state != "closed" and waits:
            raise CircuitBreakerOpenError(f"left alone after failures ({self.state})")

    def admit(self) -> None:
        """The same, right before a request, which then has to end as a success or a failure."""
        self.check()
        self._probing = self.state != "closed"

    def succeeded(self) -> None:
        self._failures, self._probing = 0, False
        self._backoff.reset()
        self._become("closed")

    def failed(self, *, maintenance: bool = False) -> None:
        now, probed = self._clock.monotonic(), self._probing
        self._probing = False
        if maintenance:
            self._until = now + _MAINTENANCE_S
            self._become("maintenance")
        elif probed or now >= self._failed_at + _AT_ONCE_S:
            self._failed_at = now
            self._failures += 1
            if self._failures >= _FAILURES or self.state != "closed":
                self._until = now + self._backoff.next_s()
                self._become("open")

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self.on_change(state)
