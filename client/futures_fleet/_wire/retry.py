# Copied from shared/retry.py by scripts/wire.py: change that one.
"""Waiting between tries: capped, jittered back-off, and the fixed delays of a collection cycle."""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from futures_fleet._wire.clock import Clock
from futures_fleet._wire.errors import ConfigurationError, NetworkError, RetryExhaustedError

T = TypeVar("T")


class Backoff:
    """Delays that double from `first_s` up to `cap_s`, each multiplied by 0.5 … 1 at random."""

    def __init__(self, first_s: float = 0.2, cap_s: float = 10.0) -> None:
        if first_s <= 0 or cap_s < first_s:
            raise ConfigurationError("a back-off needs 0 < first_s <= cap_s")
        self._first_s = first_s
        self._cap_s = cap_s
        self._tries = 0

    def next_s(self) -> float:
        ceiling = min(self._cap_s, self._first_s * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return ceiling * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        self._tries = 0


async def retried(
    call: Callable[[], Awaitable[T]],
    delays_s: Sequence[float],
    clock: Clock,
    on_failure: Callable[[Exception, int], None],
) -> T:
    """The result of `call`, tried once and then again after each of `delays_s`.

    Only NetworkError is worth another try. `on_failure` is told each failure and the number of the
    retry that follows (1-based; 0 after the last). Raises RetryExhaustedError at the end.
    """
    for retry, delay_s in enumerate([*delays_s, None], start=1):
        try:
            return await call()
        except NetworkError as error:
            on_failure(error, retry if delay_s is not None else 0)
            if delay_s is None:
                raise RetryExhaustedError(str(error)) from error
            await clock.sleep(delay_s)
    raise AssertionError("unreachable")
