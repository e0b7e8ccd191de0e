"""One task as it runs: at each of its points it looks what is there, and hands it out."""

from collections.abc import Callable

import orjson

from shared.clock import Clock
from shared.collection import CollectionTask
from workers.collector.tasks.inquiry import Inquiry
from workers.collector.tasks.supply import Found, Lacking, Outcome, Quiet, Supply

#: An answer that takes so long, and three intervals, is none.
_PATIENCE_S = 30.0
_REASON_CHARACTERS = 80

Publish = Callable[[CollectionTask, bytes, int], None]
"""Takes the task, the body of a `TaskResult`, and when it was put together (ms)."""


class TaskRun:
    """Knows how its task fares; see `workers.collector.tasks.inquiry.Wanting`."""

    def __init__(self, task: CollectionTask, exchange: str, publish: Publish, clock: Clock) -> None:
        self.task = task
        self.failing: str | None = None  # why there is no result
        self.runs = 0  # results
        self.late = 0  # points without one of their own, though something was there to be had
        self.supply: Supply
        self._publish, self._clock = publish, clock
        self._looked_at: float | None = None
        self._waits_since: float | None = None
        self._inquiry: Inquiry | None = None  # that was asked for an answer
        said = {"exchange": exchange, "symbol": task.symbol, "task_id": task.task_id}
        self._head = said | {"kind": task.kind, "interval": task.interval}

    @property
    def key(self) -> str:
        """On the schedule."""
        return f"task {self.task.task_id}"

    @property
    def interval_s(self) -> float:
        """Between its points: of a sampled task only each so many-th counts."""
        interval_s = self.task.interval
        each = -(-(self.task.sample_ms or 0) // max(1, round(1000 * interval_s)))
        return interval_s * max(1, each)

    @property
    def priority(self) -> int:
        return self.task.priority

    def look(self) -> None:
        """A point has come."""
        now = self._clock.monotonic()
        self._count_late(now)
        self._settle(self.supply.look(now), now)

    def heard(self, error: str | None) -> None:
        """The venue answered, or did not."""
        now = self._clock.monotonic()
        if error is None:
            self._settle(self.supply.look(now), now, asked=True)
        else:
            self._fail(error)

    def leave(self) -> None:
        """The task ended."""
        if self._inquiry is not None:
            self._inquiry.leave(self)

    def _count_late(self, now: float) -> None:
        if self._looked_at is not None:
            passed = round((now - self._looked_at) / self.interval_s) - 1
            self.late += max(0, passed) + (self._waits_since is not None)
        self._looked_at = now

    def _settle(self, outcome: Outcome, now: float, *, asked: bool = False) -> None:
        match outcome:
            case Found(body, source, skipped):
                self._hand_out(body, source, skipped)
                self._end_well()
            case Quiet():
                self._end_well()
            case Lacking(_, Inquiry() as inquiry) if not asked:
                self._wait(inquiry, now)
            case Lacking(reason, _):
                self._fail(reason)

    def _end_well(self) -> None:
        self.failing = self._waits_since = None

    def _fail(self, reason: str) -> None:
        self.failing, self._waits_since = reason[:_REASON_CHARACTERS], None

    def _wait(self, inquiry: Inquiry, now: float) -> None:
        if self._waits_since is None:
            self._waits_since = now
        waited_s = now - self._waits_since
        if waited_s > max(_PATIENCE_S, 3 * self.interval_s):
            self.failing = f"the venue was not asked within {waited_s:.0f} s"
        self._inquiry = inquiry
        inquiry.want(self, now)

    def _hand_out(self, body: bytes, source: str, skipped: int) -> None:
        at = self._clock.now_ms()
        head = orjson.dumps(self._head | {"at": at, "source": source, "skipped": skipped})
        self.runs += 1
        self._publish(self.task, head[:-1] + b',"data":' + body + b"}", at)
