"""The trades of one symbol so far: which of them came, and the last one."""

from dataclasses import dataclass, field

from workers.collector.continuity.gaps import NOWHERE, Mark
from workers.collector.continuity.pulse import SET_BACK_MS
from workers.collector.events import Print
from workers.collector.trades.numbers import NumberLine

#: Trade ids remembered a symbol, at least, where ids are no numbers in a row. Venues repeat up to
#: some hundred trades on a new subscription, and a refill reaches back over up to 2000 of them.
_IDS_KEPT = 2000
#: Venues do not sort their trades by time to the millisecond: what is older by less than this than
#: the last one before a gap may be missing as well.
_UNSORTED_MS = 1000
_WITNESSES = 8


class SeenIds:
    """The last ids of one symbol: two generations of sets, which is cheap and bounded."""

    __slots__ = ("_current", "_previous")

    def __init__(self) -> None:
        self._current: set[str] = set()
        self._previous: set[str] = set()

    def add(self, trade_id: str) -> bool:
        """Whether the id is new. One that is met again is remembered anew."""
        if trade_id in self._current:
            return False
        known = trade_id in self._previous
        self._current.add(trade_id)
        if len(self._current) >= _IDS_KEPT:
            self._previous, self._current = self._current, set()
        return not known

    def __contains__(self, trade_id: str) -> bool:
        return trade_id in self._current or trade_id in self._previous

    def discard(self, trade_id: str) -> None:
        self._current.discard(trade_id)
        self._previous.discard(trade_id)


@dataclass(slots=True)
class Flow:
    """Where ids are dense, `numbers` say what came; otherwise `seen` and `unsent` do."""

    numbers: NumberLine | None = None
    seen: SeenIds = field(default_factory=SeenIds)
    unsent: set[str] = field(default_factory=set)  # came, and got no further
    last: Mark = NOWHERE
    peak: int = 0  # the newest venue time of any trade
    top: int = 0  # that of the highest number
    #: The first ids of the stream since it was cut: an answer of REST that lists one is newer.
    witnesses: list[Print] = field(default_factory=list)
    contrary: Print | None = None  # a number that came before, on a trade that did not

    def take(self, event: Print, time: int | None) -> bool:
        """Note that a trade came, of venue time `time` in ms; False where it did before."""
        if self.numbers is None:
            if self.unsent:
                self.unsent.discard(event.id)
            return self.seen.add(event.id)
        number = int(event.id)
        if number > (self.numbers.last or -1):
            self.top = time or 0
        elif self._contradicts(event, time):
            return False
        return self.numbers.take(number - event.fills + 1, number)

    def came(self, trade_id: str, time: int | None) -> None:
        """A new trade, of venue time `time` in ms."""
        if (time or 0) >= (self.last.time or 0):
            self.last = Mark(trade_id, time)
        if time is not None and time > self.peak:
            self.peak = time

    def heard(self, event: Print, time: int | None) -> None:
        """The same of the stream: where its clock was set back, what was last is what came last."""
        last = self.last.time
        if time is not None and last is not None and time < last - SET_BACK_MS:
            self.last = NOWHERE
        self.came(event.id, time)
        if len(self.witnesses) < _WITNESSES:
            self.witnesses.append(event)

    def cut(self) -> None:
        """The stream ends; what it tells from now on is told by another one."""
        self.witnesses = []

    def _contradicts(self, event: Print, time: int | None) -> bool:
        """Whether a trade newer than all that came has a number that is not: the venue seems to
        number anew."""
        if self.numbers is None or not (time or 0) > self.peak > 0 or time != event.timestamp:
            return False
        if not self.numbers.lacks(int(event.id)):
            self.contrary = self.contrary or event
            return True
        return False

    def unpublished(self, trade_id: str, fills: int) -> str | None:
        """A trade that was taken did not get out: it is as if it had not come. The id before it,
        where that is known."""
        if self.numbers is None:
            self.seen.discard(trade_id)
            self.unsent.add(trade_id)
            return None
        last = int(trade_id)
        self.numbers.lose(last - fills + 1, last)
        return str(last - fills)

    def may_lack(self, event: Print, begin: Mark) -> bool:
        """Whether a trade that REST lists may be missing since `begin`. Only its id tells."""
        numbers = self.numbers
        if numbers is not None and numbers.first is not None:
            number = number_of(event)
            if number is None or number >= numbers.first:
                return True
        if event.id == begin.key:
            return False
        since = (begin.time or 0) - (_UNSORTED_MS if (begin.key or "") in self.seen else 0)
        return event.timestamp is None or event.timestamp >= since

    def leave(self) -> None:
        """The symbol is not collected any more. Its ids are kept: one that comes back may repeat
        trades."""
        self.last, self.contrary = NOWHERE, None
        self.unsent.clear()
        self.cut()
        if self.numbers is not None:
            self.numbers.rest()

    def number_anew(self) -> None:
        self.numbers, self.contrary = NumberLine(), None


def number_of(event: Print) -> int | None:
    return int(event.id) if event.id.isascii() and event.id.isdecimal() else None
