"""A question to the venue that several tasks share: one call answers them all."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from shared.budget import RequestClass
from shared.errors import ExchangeError
from workers.collector.schedule.item import Question
from workers.collector.schedule.schedule import Schedule

#: However short the intervals of tasks are, the venue is not asked more often.
LEAST_S = 1.0
#: An answer serves for so many intervals: the next one is not there the moment that it is due.
SERVES = 1.5
#: Who has not wanted it for so many intervals gets its data elsewhere by now.
_FORGOTTEN = 2.5


class Wanting(Protocol):
    """A task that wants an answer."""

    @property
    def interval_s(self) -> float: ...

    @property
    def priority(self) -> int: ...

    def heard(self, error: str | None) -> None:
        """There is an answer, or none for a reason."""
        ...


class Inquiry:
    """Asked as often as the one in the greatest hurry wants, while anybody wants it."""

    def __init__(self, key: str, ask: Callable[[], Awaitable[None]], schedule: Schedule) -> None:
        """`ask` raises ExchangeError where there is no answer."""
        self.key = key
        self.answered_at: float | None = None  # monotonic seconds
        self._ask, self._schedule = ask, schedule
        self._wanted: dict[Wanting, float] = {}  # by whom, and until when
        self._waiting: dict[Wanting, None] = {}  # for the next answer, in the order of asking
        self._as: tuple[float, int] | None = None  # interval and priority on the schedule

    def want(self, who: Wanting, now: float) -> None:
        """`who` hears of the next answer, or that there is none."""
        self._waiting[who] = None
        self._want(who, now)

    def renew(self, who: Wanting, now: float) -> None:
        """`who` lives on its answers: go on, where it is asked at all."""
        if self._as is not None:
            self._want(who, now)

    def leave(self, who: Wanting) -> None:
        """`who` ended."""
        self._wanted.pop(who, None)
        self._waiting.pop(who, None)

    def end(self) -> None:
        """Ask no more."""
        self._as = None
        self._schedule.drop(self.key)

    def _want(self, who: Wanting, now: float) -> None:
        self._wanted[who] = now + _FORGOTTEN * max(who.interval_s, LEAST_S)
        self._place()

    def _place(self) -> None:
        """On the schedule, as those who want it need it."""
        interval_s = max(LEAST_S, min(who.interval_s for who in self._wanted))
        needed = interval_s, min(who.priority for who in self._wanted)
        if needed != self._as:
            self._as = needed
            self._schedule.put(
                Question(
                    self.key,
                    interval_s,
                    self._inquire,
                    priority=needed[1],
                    request_class=RequestClass.REPAIR,
                )
            )

    async def _inquire(self) -> bool:
        now = self._schedule.clock.monotonic()
        self._wanted = {who: until for who, until in self._wanted.items() if until > now}
        if not self._wanted:
            self.end()
            return True
        self._place()
        try:
            await self._ask()
        except ExchangeError as error:
            self._tell(str(error))
            return False
        self.answered_at = self._schedule.clock.monotonic()
        self._tell(None)
        return True

    def _tell(self, error: str | None) -> None:
        waiting, self._waiting = self._waiting, {}
        for who in waiting:
            who.heard(error)
