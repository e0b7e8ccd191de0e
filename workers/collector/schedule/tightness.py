"""How tight things are, and by how much that widens the intervals of what is repeated."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.budget import Budget, RequestClass
from shared.clock import Clock
from shared.vitals import Vitals
from workers.collector.breakers import VenueBreakers

#: How often is looked.
LOOK_S = 1.0
#: Intervals become this many times as long, and no longer.
MOST = 8
#: What is tight for so long doubles them, and again after as long; what is not halves them.
_WIDER_S, _NARROWER_S, _TRIED_S = 3.0, 2.0, 30.0
#: A request that would wait longer than this in the budget, and shorter than that.
_LONG_WAIT_S, _SHORT_WAIT_S = 8.0, 4.0
#: Lateness of the event loop, and the share of the one core that it can have.
_LATE_S, _PUNCTUAL_S = 0.5, 0.2
_BUSY, _IDLE = 0.95, 0.8


@dataclass(frozen=True, slots=True)
class Factors:
    """Times as long as asked for."""

    process: int = 1  # for all: the loop is late, or the core is used up
    venue: int = 1  # for questions: the venue fails
    budget: Mapping[RequestClass, int] = field(default_factory=dict)  # for those of a class

    @property
    def largest(self) -> int:
        return max(self.process, self.venue, *self.budget.values(), 1)


class Widening:
    """A factor that doubles while something is tight and comes back when it is not; where it is
    neither, less is tried from time to time."""

    def __init__(self) -> None:
        self.factor = 1
        self._tight: bool | None = None
        self._since = 0.0

    def feel(self, tight: bool | None, now: float) -> int:
        """Hear how it is at `now`, None where it is neither tight nor well; the factor."""
        if tight is not self._tight:
            self._tight, self._since = tight, now
        elif tight and now - self._since >= _WIDER_S:
            self.factor, self._since = min(MOST, 2 * self.factor), now
        elif not tight and now - self._since >= (_TRIED_S if tight is None else _NARROWER_S):
            self.factor, self._since = max(1, self.factor // 2), now
        return self.factor


class Gauge:
    """Looks at the budget and the breaker of a venue, and at this process."""

    def __init__(
        self, budget: Budget, breakers: VenueBreakers, vitals: Vitals, clock: Clock
    ) -> None:
        self._budget = budget
        self._breakers, self._vitals = breakers, vitals
        self._clock = clock
        self._waits = {request_class: Widening() for request_class in RequestClass}
        self._failing, self._busy = Widening(), Widening()

    def feel(self) -> Factors:
        """By how much to widen now. To be called each LOOK_S."""
        now, load = self._clock.monotonic(), self._vitals.load()
        busy = _tight(load.lag_s, _LATE_S, _PUNCTUAL_S), _tight(load.cpu, _BUSY, _IDLE)
        waits = {
            one: widening.feel(self._waits_long(one), now) for one, widening in self._waits.items()
        }
        return Factors(
            process=self._busy.feel(_either(*busy), now),
            venue=self._failing.feel(self._breakers.state != "CLOSED", now),
            budget=waits,
        )

    def _waits_long(self, request_class: RequestClass) -> bool | None:
        wait_s = self._budget.wait_s(request_class)
        return _tight(wait_s, _LONG_WAIT_S, _SHORT_WAIT_S)


def _tight(value: float, high: float, low: float) -> bool | None:
    if value >= high:
        return True
    return False if value <= low else None


def _either(one: bool | None, other: bool | None) -> bool | None:
    if one or other:
        return True
    return None if one is None or other is None else False
