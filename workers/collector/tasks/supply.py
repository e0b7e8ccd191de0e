"""Where a task's results come from, and what it finds there at each of its points."""

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from workers.collector.parts import Parts
from workers.collector.tasks.inquiry import Inquiry

PartsOf = Callable[[], Parts | None]
"""What is known of the task's symbol."""

Source = Literal["stream", "rest", "cache"]


class Found(NamedTuple):
    """A result that is fresh."""

    body: bytes  # JSON, as `TaskResult.data`
    source: Source
    skipped: int = 0


class Lacking(NamedTuple):
    """None: what is here is missing or too old. With an `inquiry` the venue can be asked."""

    reason: str
    inquiry: Inquiry | None = None


class Quiet(NamedTuple):
    """All is well, and there is nothing new."""


Outcome = Found | Lacking | Quiet

GONE = Lacking("its symbol is not collected")


class Supply(Protocol):
    """Of one task. What it gave as Found is handed out, and rows are not found again."""

    def look(self, now: float) -> Outcome:
        """What is there at `now` (monotonic seconds)."""
        ...
