"""When a slow value is worth another message."""

from typing import Any

from shared.clock import Clock

#: A value that does not change is told again after this time.
UNCHANGED_S = 30.0


class Recency:
    """What was told of each symbol, and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[str, tuple[Any, float]] = {}

    def due(self, symbol: str, value: Any) -> bool:
        """Whether to tell it now: it is new, or was told half a minute ago."""
        now = self._clock.monotonic()
        known = self._told.get(symbol)
        if known is not None and known[0] == value and now - known[1] < UNCHANGED_S:
            return False
        self._told[symbol] = value, now
        return True
