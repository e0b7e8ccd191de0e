"""When each item of a schedule is due, and which of those that are due goes first.

Decides only: nothing here waits or asks. Moments are monotonic seconds.

Each item has a grid of points, `interval_s` apart from the first one on. A point that passes while
the item waits for its turn, or while it is still asked, is skipped and counted. Where things are
tight only each second, fourth or eighth point is due.
"""

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import ceil

from workers.collector.schedule.item import Chore, Item, Question
from workers.collector.schedule.tightness import MOST, Factors

#: Waiting this long lifts an item by one priority, so that nothing starves for ever.
AGEING_S = 10.0
#: Questions that are asked at a time, and how many of those are kept for the first priority: each
#: may wait for its budget.
AT_ONCE, KEPT = 8, 3
#: Chores in one go, after which others have a turn in the event loop.
CHORES_AT_ONCE = 50
#: How late a question is asked at most so that they are not all asked at once: a share of its
#: interval, and seconds.
_JITTER, _JITTER_MAX_S = 0.05, 1.0


class _State(Enum):
    WAITING = "for its point"
    READY = "due, waits for its turn"
    RUNNING = "is asked"
    GONE = "dropped, or replaced"


@dataclass(slots=True, eq=False)
class Turn:
    """An item and where it stands."""

    item: Item
    number: int  # in the order of coming
    lane: str
    point: float  # of its grid: the next one
    at: float  # when that is due: the point and some jitter
    last: float | None = None  # the point at which it was asked last
    started: float = float("-inf")  # when that was
    state: _State = _State.WAITING
    hastened: bool = False  # while it is asked
    failures: int = 0  # in a row

    def order(self, now: float) -> tuple[float, int]:
        return self.rank(now), self.number

    def rank(self, now: float) -> float:
        """Its priority, and lower the longer it waits."""
        return self.item.priority - (now - self.at) / AGEING_S


class Agenda:
    """All items, by deadline until they are due, then by priority."""

    def __init__(self, at_once: int = AT_ONCE, kept: int = KEPT) -> None:
        self.skipped = 0  # points that passed
        self.factors = Factors()
        self.random: Callable[[], float] = random.random
        self._at_once, self._kept = at_once, kept
        self._turns: dict[str, Turn] = {}
        self._numbers = itertools.count()
        self._heap: list[tuple[float, int, Turn]] = []
        self._chores: list[Turn] = []  # that are due
        self._lanes: dict[str, list[Turn]] = defaultdict(list)  # questions that are due
        self._busy: set[str] = set()  # lanes of which one is asked

    def __contains__(self, key: str) -> bool:
        return key in self._turns

    def put(self, item: Item, now: float, first_in_s: float = 0.0) -> None:
        """Add an item, due in `first_in_s`. One of the same key gives way; the grid stays."""
        turn = self._turns.get(item.key)
        if turn is None:
            at = now + first_in_s
            turn = Turn(item, next(self._numbers), _lane(item), at, at)
            self._turns[item.key] = turn
            self._push(turn)
            return
        turn.item = item
        if turn.state is _State.WAITING and turn.last is not None:
            self._replan(turn, now)

    def drop(self, key: str) -> None:
        """Forget an item; one that is asked just now is not asked again."""
        turn = self._turns.pop(key, None)
        if turn is not None and turn.state is not _State.RUNNING:
            turn.state = _State.GONE

    def hasten(self, key: str, now: float) -> None:
        """Have it asked soon, but not twice within half its interval."""
        turn = self._turns.get(key)
        if turn is None or turn.state is _State.READY:
            return
        if turn.state is _State.RUNNING:
            turn.hastened = True
            return
        soon = self._soonest(turn, now)
        if soon < turn.at:
            turn.point = turn.at = soon
            self._push(turn)

    def take(self, now: float) -> list[Turn]:
        """What is to be asked and done now, in this order. Each has to be `done` some time."""
        self._gather(now)
        taken = [*self._due_chores(now), *self._due_questions(now)]
        return sorted(taken, key=lambda turn: turn.order(now))

    def done(self, turn: Turn, now: float, *, answered: bool = True) -> None:
        """It was asked or done, well or not; its next point follows."""
        if isinstance(turn.item, Question):
            self._busy.discard(turn.lane)
        if self._turns.get(turn.item.key) is not turn:
            turn.state = _State.GONE
            return
        turn.failures = 0 if answered else turn.failures + 1
        turn.state = _State.WAITING
        if turn.hastened:
            turn.hastened = False
            turn.point = turn.at = self._soonest(turn, now)
        else:
            self._plan(turn, now)
        self._push(turn)

    def next_at(self) -> float | None:
        """When something becomes due, None where nothing will."""
        while self._heap and not _holds(self._heap[0]):
            heapq.heappop(self._heap)
        if self._chores:
            return float("-inf")
        return self._heap[0][0] if self._heap else None

    def widen(self, factors: Factors, now: float) -> None:
        """Intervals are wider or narrower from now on; narrower ones at once."""
        if factors == self.factors:
            return
        self.factors = factors
        for turn in self._turns.values():
            if turn.state is _State.WAITING and turn.last is not None:
                self._replan(turn, now, only_earlier=True)

    # --- points

    def _plan(self, turn: Turn, now: float) -> None:
        """The point after the one that was asked."""
        step_s, factor = turn.item.interval_s, self._factor(turn)
        passed = max(0, int((now - turn.point) / step_s))
        self.skipped += max(0, passed + 1 - factor)
        turn.point += max(passed + 1, factor) * step_s
        turn.at = turn.point + self._jitter_s(turn)

    def _replan(self, turn: Turn, now: float, *, only_earlier: bool = False) -> None:
        """The same where the interval has changed since."""
        assert turn.last is not None
        step_s, factor = turn.item.interval_s, self._factor(turn)
        steps = max(factor, ceil((now - turn.last) / step_s))
        point = turn.last + steps * step_s
        if point < turn.point or not only_earlier:
            turn.point, turn.at = point, point + self._jitter_s(turn)
            self._push(turn)

    def _soonest(self, turn: Turn, now: float) -> float:
        return max(now, turn.started + self._factor(turn) * turn.item.interval_s / 2)

    def _factor(self, turn: Turn) -> int:
        item, factors = turn.item, self.factors
        if isinstance(item, Chore):
            return factors.process
        factor = max(factors.process, factors.budget.get(item.request_class, 1))
        if item.steady:
            return factor
        return max(factor, factors.venue, _widened_by(turn.failures))

    def _jitter_s(self, turn: Turn) -> float:
        if isinstance(turn.item, Chore):
            return 0.0
        return self.random() * min(_JITTER_MAX_S, _JITTER * turn.item.interval_s)

    def _push(self, turn: Turn) -> None:
        heapq.heappush(self._heap, (turn.at, next(self._numbers), turn))

    # --- turns

    def _gather(self, now: float) -> None:
        """What has become due, out of the heap."""
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            turn = entry[2]
            if not _holds(entry):
                continue
            turn.state = _State.READY
            if isinstance(turn.item, Chore):
                self._chores.append(turn)
            else:
                self._lanes[turn.lane].append(turn)

    def _due_chores(self, now: float) -> list[Turn]:
        ready = sorted(_ready(self._chores), key=lambda turn: turn.order(now))
        self._chores = ready[CHORES_AT_ONCE:]
        return [_begun(turn, now) for turn in ready[:CHORES_AT_ONCE]]

    def _due_questions(self, now: float) -> list[Turn]:
        if len(self._busy) >= self._at_once:
            return []
        firsts = [self._first(lane, now) for lane in list(self._lanes) if lane not in self._busy]
        taken = []
        for turn in sorted((t for t in firsts if t is not None), key=lambda t: t.order(now)):
            # However long it waited: who waits for a budget keeps its place for long.
            kept = 0 if turn.item.priority <= 0 else self._kept
            if len(self._busy) >= self._at_once - kept:
                continue
            self._lanes[turn.lane].remove(turn)
            self._busy.add(turn.lane)
            taken.append(_begun(turn, now))
        return taken

    def _first(self, lane: str, now: float) -> Turn | None:
        """Of a lane, who goes first."""
        ready = self._lanes[lane] = _ready(self._lanes[lane])
        if not ready:
            del self._lanes[lane]
            return None
        return min(ready, key=lambda turn: turn.order(now))


def _lane(item: Item) -> str:
    return (item.lane if isinstance(item, Question) else "") or item.key


def _widened_by(failures: int) -> int:
    """Of a question that fails; once is no reason."""
    return min(MOST, 1 << min(max(failures - 1, 0), MOST))


def _ready(turns: list[Turn]) -> list[Turn]:
    return [turn for turn in turns if turn.state is _State.READY]


def _begun(turn: Turn, now: float) -> Turn:
    turn.state, turn.last, turn.started = _State.RUNNING, turn.point, now
    return turn


def _holds(entry: tuple[float, int, Turn]) -> bool:
    """Whether an entry of the heap is its item's deadline still."""
    at, _, turn = entry
    return turn.state is _State.WAITING and turn.at == at
