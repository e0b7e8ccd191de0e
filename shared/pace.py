"""How often something may happen, by key: on average, with a little in advance."""

#: So many may go at once where the pace was not used before. Of a source that has the same pace,
#: none waits for the jitter of its arrival then.
_BURST = 3


class Pace:
    """At most one each `interval_s` seconds and key, up to three of them at once."""

    __slots__ = ("_ahead_s", "_interval_s", "_used_until")

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._ahead_s = (_BURST - 1) * interval_s
        self._used_until: dict[str, float] = {}  # monotonic seconds

    def wait_s(self, key: str, now: float) -> float:
        """Seconds until `key` may go, 0 where it may now."""
        return max(0.0, self._used_until.get(key, 0.0) - self._ahead_s - now)

    def use(self, key: str, now: float) -> None:
        """It goes."""
        self._used_until[key] = max(now, self._used_until.get(key, 0.0)) + self._interval_s
