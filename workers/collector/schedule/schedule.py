"""The schedule of a collector: runs its agenda."""

import asyncio

from shared.clock import Clock
from workers.collector.schedule.agenda import Agenda, Turn
from workers.collector.schedule.item import Item, Question
from workers.collector.schedule.tightness import LOOK_S, Gauge

#: An item that was put or hastened meanwhile is seen this much late at most.
TICK_S = 0.05


class Schedule:
    """Asks every question, and does every chore, when its agenda says so."""

    def __init__(self, gauge: Gauge, clock: Clock) -> None:
        self.clock = clock
        self._gauge = gauge
        self._agenda = Agenda()
        self._feel_at = clock.monotonic()
        self._asking: asyncio.TaskGroup | None = None

    @property
    def widened(self) -> int:
        """How many times as long intervals are at most just now, but for what fails by itself."""
        return self._agenda.factors.largest

    @property
    def skipped(self) -> int:
        """Points that passed while their item was asked, or waited for its turn."""
        return self._agenda.skipped

    def put(self, item: Item, first_in_s: float = 0.0) -> None:
        """Add an item, due in `first_in_s`. One of the same key gives way; its grid stays."""
        self._agenda.put(item, self.clock.monotonic(), first_in_s)

    def drop(self, key: str) -> None:
        """Forget an item; one that is asked just now is not asked again."""
        self._agenda.drop(key)

    def hasten(self, key: str) -> None:
        """Have it asked soon, but not twice within half its interval."""
        self._agenda.hasten(key, self.clock.monotonic())

    async def run(self) -> None:
        """Ask and do, for ever."""
        async with asyncio.TaskGroup() as self._asking:
            try:
                while True:
                    self._look()
                    self._begin_due()
                    await self.clock.sleep(self._pause_s())
            finally:
                self._asking = None

    def _look(self) -> None:
        now = self.clock.monotonic()
        if now >= self._feel_at:
            self._feel_at = now + LOOK_S
            self._agenda.widen(self._gauge.feel(), now)

    def _begin_due(self) -> None:
        if self._asking is None:
            return  # it ends
        for turn in self._agenda.take(self.clock.monotonic()):
            if isinstance(turn.item, Question):
                self._asking.create_task(self._ask(turn, turn.item), name=turn.item.key)
            else:
                turn.item.do()
                self._agenda.done(turn, self.clock.monotonic())

    async def _ask(self, turn: Turn, question: Question) -> None:
        answered = False
        try:
            answered = await question.ask()
        finally:
            self._agenda.done(turn, self.clock.monotonic(), answered=answered)
        self._begin_due()  # what waited for this one

    def _pause_s(self) -> float:
        next_at = self._agenda.next_at()
        if next_at is None:
            return TICK_S
        return min(TICK_S, max(0.0, next_at - self.clock.monotonic()))
