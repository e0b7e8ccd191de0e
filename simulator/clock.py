"""What time a venue says it is."""

from contextvars import ContextVar
from time import time

SKEW_MS: ContextVar[float] = ContextVar("SKEW_MS", default=0.0)
"""How far the venue that answers just now is ahead of the real time."""


def now_s() -> float:
    return time() + SKEW_MS.get() / 1000


def now_ms() -> int:
    return int(now_s() * 1000)
