"""Request limits as the venues count them: a weight a window, per client address."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """`weight` granted in each window of `window_s`, which starts at whole multiples of it."""

    weight: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Charge:
    """`weight` against the limit called `limit`; each `bucket` of it is counted by itself."""

    limit: str
    weight: int = 1
    bucket: str = ""


class Meter:
    """What each client address has used of each limit in the current window."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, str, str], tuple[int, int]] = {}

    def spend(self, client: str, charge: Charge, limit: Limit, now_s: float) -> tuple[int, bool]:
        """The weight used including this request, and whether it is still allowed."""
        key = (client, charge.limit, charge.bucket)
        window = int(now_s // limit.window_s)
        seen, used = self._used.get(key, (window, 0))
        used = charge.weight + (used if seen == window else 0)
        self._used[key] = (window, used)
        return used, used <= limit.weight

    @staticmethod
    def retry_after_s(limit: Limit, now_s: float) -> int:
        """Seconds until the window ends, rounded up."""
        return max(1, math.ceil(limit.window_s - now_s % limit.window_s))
