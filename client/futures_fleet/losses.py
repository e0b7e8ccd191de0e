"""What did not come, by sequence numbers: +1 for each message of a run on a routing key.

A hole is told after a grace, since messages come late: from a spool, or once more after the broker
was away. The first message on a key is where its counting begins, and a run says on its first
message where the one before it ended.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from futures_fleet.message import Message, Missed

#: Holes that wait for their grace at most; beyond it the oldest is told.
_OWED = 1_000
#: Holes of a run that late messages may fill; below the ones that are forgotten counting begins
#: anew, so that what comes from there is handed out.
_HOLES = 100
_RUNS_OF_A_KEY = 16
_KEYS = 100_000


class Fate(Enum):
    """What a message is by its number."""

    NEW = "new"  # the newest of its run
    LATE = "late"  # an older one that had not come
    REPEATED = "repeated"  # it came before


@dataclass(slots=True, eq=False)
class _Hole:
    """Numbers that have not come. Empty once they have."""

    first: int
    last: int
    due: float | None = None  # when it is to be told; None: not any more, or never
    told: bool = False

    @property
    def size(self) -> int:
        return self.last - self.first + 1


@dataclass(slots=True, eq=False)
class _Run:
    """Numbers of one run on one key."""

    epoch: str
    first: int  # below it nothing is known
    last: int
    stretch: int  # of the stream, in which its last message came
    holes: list[_Hole] = field(default_factory=list)  # rising


class Losses:
    """Fed with every message in the order of arrival; tells what is missing."""

    def __init__(self, grace_s: float) -> None:
        self.missed = 0  # told and not come since
        self.breaks = 0  # told without a count
        self._grace_s = grace_s
        self._runs: dict[str, dict[str, _Run]] = {}  # by routing key and epoch
        self._owed: list[tuple[float, int, str, str, _Hole]] = []  # a heap, by when they are due
        self._number = 0  # of holes, so that the heap never compares them
        self._untold: list[Missed] = []
        self._stretch = 0

    def take(self, message: Message, now: float) -> Fate:
        """Count a message; `now` is in monotonic seconds."""
        runs = self._runs.get(message.routing_key)
        if runs is not None:
            run = runs.get(message.epoch)
            if run is not None and message.seq == run.last + 1 and message.previous is None:
                run.last, run.stretch = message.seq, self._stretch
                return Fate.NEW
        return self._unusual(message, runs, now)

    def broken(self) -> None:
        """The stream was interrupted before the next message: anything may be missing."""
        self._stretch += 1

    def due_in(self, now: float) -> float | None:
        """Seconds until there is something to tell; None while nothing is owed."""
        if self._untold or len(self._owed) > _OWED:
            return 0.0
        return max(0.0, self._owed[0][0] - now) if self._owed else None

    def due(self, now: float) -> Iterator[Missed]:
        """What is to be told by now, each once."""
        yield from self._untold
        self._untold.clear()
        while self._owed and (self._owed[0][0] <= now or len(self._owed) > _OWED):
            _, _, key, epoch, hole = heapq.heappop(self._owed)
            if hole.size > 0:
                hole.due, hole.told = None, True
                self.missed += hole.size
                yield Missed(key, epoch, hole.first - 1, hole.size)

    def _unusual(self, message: Message, runs: dict[str, _Run] | None, now: float) -> Fate:
        """All but the next number of a run that goes on."""
        key, seq = message.routing_key, message.seq
        if runs is None:
            runs = self._known(key)
        elif message.epoch not in runs:
            self._doubt(message, runs)
        if message.previous is not None:
            self._follow(key, runs, message.previous, now)
        run = runs.get(message.epoch)
        if run is None:
            if len(runs) >= _RUNS_OF_A_KEY:
                del runs[next(iter(runs))]
            runs[message.epoch] = _Run(message.epoch, seq, seq, self._stretch)
            return Fate.NEW
        run.stretch = self._stretch
        if seq > run.last:
            self._leap(key, run, seq - 1, now)
            run.last = seq
            return Fate.NEW
        return self._late(key, run, seq)

    def _known(self, key: str) -> dict[str, _Run]:
        if len(self._runs) >= _KEYS:
            del self._runs[next(iter(self._runs))]
        runs = self._runs[key] = {}
        return runs

    def _doubt(self, message: Message, runs: dict[str, _Run]) -> None:
        """A run that nothing links to one we know: we meet it after the stream was broken, or not
        at its beginning, as where the broker dropped that from a queue that was full."""
        linked = message.previous is not None and message.previous[0] in runs
        unbroken = any(run.stretch == self._stretch for run in runs.values())
        if not linked and not (unbroken and message.seq == 1):
            self.breaks += 1
            self._untold.append(Missed(message.routing_key, message.epoch, 0, None))

    def _follow(
        self, key: str, runs: dict[str, _Run], previous: tuple[str, int], now: float
    ) -> None:
        """Where the run before ended, by what its successor says."""
        former = runs.get(previous[0])
        if former is not None and previous[1] > former.last:
            self._leap(key, former, previous[1], now)
            former.last = previous[1]

    def _leap(self, key: str, run: _Run, until: int, now: float) -> None:
        """A hole up to and with `until`, if there is one."""
        if until > run.last:
            hole = _Hole(run.last + 1, until, now + self._grace_s)
            self._keep(run, len(run.holes), hole)
            self._owe(key, run, hole)

    def _late(self, key: str, run: _Run, seq: int) -> Fate:
        if seq < run.first:
            if len(run.holes) < _HOLES:
                if run.first - seq > 1:
                    run.holes.insert(0, _Hole(seq + 1, run.first - 1))
                run.first = seq
            return Fate.LATE
        for place, hole in enumerate(run.holes):
            if hole.first <= seq <= hole.last:
                self._fill(key, run, place, seq)
                return Fate.LATE
        return Fate.REPEATED

    def _fill(self, key: str, run: _Run, place: int, seq: int) -> None:
        hole = run.holes[place]
        if hole.told:
            self.missed -= 1
        if hole.first < seq < hole.last:
            rest = _Hole(seq + 1, hole.last, hole.due, hole.told)
            hole.last = seq - 1
            self._owe(key, run, rest)
            self._keep(run, place + 1, rest)
        elif seq == hole.first:
            hole.first += 1
        else:
            hole.last -= 1
        if hole.size == 0:
            run.holes.remove(hole)

    def _keep(self, run: _Run, place: int, hole: _Hole) -> None:
        run.holes.insert(place, hole)
        if len(run.holes) > _HOLES:
            forgotten = run.holes.pop(0)
            run.first = forgotten.last + 1

    def _owe(self, key: str, run: _Run, hole: _Hole) -> None:
        if hole.due is not None:
            self._number += 1
            heapq.heappush(self._owed, (hole.due, self._number, key, run.epoch, hole))
