"""The trades of one symbol so far: which of them came, and the last one."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from workers.collector.continuity.gaps import NOWHERE, Mark
from workers.collector.continuity.pulse import SET_BACK_MS
from workers.collector.events import Print
from workers.collector.trades.numbers import NumberLine
from workers.collector.trades.seen import SeenIds

#: Venues do not sort their trades by time to the millisecond: what is older by less than this than
#: the last one before a gap may be missing as well.
UNSORTED_MS = 1000
_WITNESSES = 8
#: Ids of trades that got no further, which are looked for by name; beyond it they are counted.
_UNSENT_KEPT = 10_000


class Flow(ABC):
    """What both kinds of ids have in common. `last` is the newest trade by venue time."""

    __slots__ = ("jump", "last", "peak")

    def __init__(self) -> None:
        self.jump = ""  # what numbers showed since somebody looked: a reason for a gap
        self.last: Mark = NOWHERE
        self.peak = 0  # the newest venue time of any trade

    @abstractmethod
    def take(self, event: Print, time: int | None) -> bool:
        """Note that a trade came, of venue time `time` in ms; False where all of it did before."""

    @abstractmethod
    def known(self, events: Iterable[Print]) -> set[str]:
        """Ids among these that came before, where taking all of them could push some out."""

    @abstractmethod
    def unpublished(self, trade_id: str, fills: int) -> str | None:
        """A trade that was taken did not get out: it is as if it had not come. The id before it,
        where that is known."""

    @abstractmethod
    def may_lack(self, event: Print, begin: Mark) -> bool:
        """Whether a trade that REST lists may be missing since `begin`. Only its id tells."""

    def resume(self, last: Mark) -> None:
        """A run before this one ended with the trade at `last`."""
        self.last, self.peak = last, last.time or 0

    def came(self, event: Print, time: int | None) -> None:
        """A new trade, of venue time `time` in ms."""
        if (time or 0) >= (self.last.time or 0):
            self.last = Mark(event.id, time)
        if (event.timestamp or 0) > self.peak:
            self.peak = event.timestamp or 0

    def heard(self, event: Print, time: int | None) -> None:
        """The same of the stream: where its clock was set back, what was last is what came last."""
        last = self.last.time
        if time is not None and last is not None and time < last - SET_BACK_MS:
            self.last = NOWHERE
        self.came(event, time)

    @abstractmethod
    def cut(self) -> None:
        """The stream ends; what it tells from now on is told by another one."""

    def leave(self) -> None:
        """The symbol is not collected any more. Its ids are kept: one that comes back may repeat
        trades."""
        self.last = NOWHERE


class NamedFlow(Flow):
    """Ids that say nothing of each other."""

    __slots__ = ("seen", "unsent", "unsent_beyond", "witnesses")

    def __init__(self) -> None:
        super().__init__()
        self.seen = SeenIds()
        self.unsent: set[str] = set()  # came, and got no further
        self.unsent_beyond = 0  # so many more, which nobody could keep
        #: The first of the stream since it was cut: an answer of REST that lists one is newer.
        self.witnesses: list[Print] = []

    def take(self, event: Print, time: int | None) -> bool:
        if self.unsent:
            self.unsent.discard(event.id)
        return self.seen.add(event.id)

    def heard(self, event: Print, time: int | None) -> None:
        super().heard(event, time)
        if len(self.witnesses) < _WITNESSES:
            self.witnesses.append(event)

    def known(self, events: Iterable[Print]) -> set[str]:
        return {event.id for event in events if event.id in self.seen}

    def unpublished(self, trade_id: str, fills: int) -> str | None:
        self.seen.discard(trade_id)
        if len(self.unsent) < _UNSENT_KEPT:
            self.unsent.add(trade_id)
        else:
            self.unsent_beyond += 1
        return None

    def may_lack(self, event: Print, begin: Mark) -> bool:
        # Where nothing is known of what came before, some of that comes twice, with the same id.
        return _since(event, begin, UNSORTED_MS if begin.key is not None else 0)

    def cut(self) -> None:
        self.witnesses = []

    def settled(self) -> None:
        """Nothing is looked for any more."""
        self.unsent.clear()
        self.unsent_beyond = 0
        self.seen.release()

    def leave(self) -> None:
        super().leave()
        self.cut()
        self.settled()


class NumberedFlow(Flow):
    """Dense ids: whole numbers without holes."""

    __slots__ = ("contrary", "line", "top")

    def __init__(self) -> None:
        super().__init__()
        self.line = NumberLine()
        self.top = 0  # venue time of the highest number
        self.contrary: Print | None = None  # the first that `contradicts`

    def resume(self, last: Mark) -> None:
        super().resume(last)
        if last.key is not None and last.key.isdecimal():
            self.line, self.top = NumberLine(int(last.key)), last.time or 0

    def take(self, event: Print, time: int | None) -> bool:
        number = int(event.id)
        if number > (self.line.last or -1):
            self.top = time or 0
        elif self.contradicts(event, time):
            self.contrary, self.jump = self.contrary or event, "numbered anew"
            return False
        jumps = self.line.jumps
        is_new = self.line.take(number - event.fills + 1, number)
        if self.line.jumps != jumps:
            self.jump = "sequence"
        return is_new

    def known(self, events: Iterable[Print]) -> set[str]:
        return set()

    def contradicts(self, event: Print, time: int | None) -> bool:
        """Whether a trade newer than all that came has a number that is not: the venue seems to
        number anew. `time` is that of the trade, as far as that can be true."""
        number, line = int(event.id), self.line
        if time is None or time != event.timestamp or not self.peak or line.last is None:
            return False
        # Below the first number, the next one may just have come before it.
        slack_ms = UNSORTED_MS if line.floor < number < (line.first or 0) else 0
        return number <= line.last and time > self.peak + slack_ms and not line.lacks(number)

    def unpublished(self, trade_id: str, fills: int) -> str | None:
        last = int(trade_id)
        self.line.lose(last - fills + 1, last)
        return str(last - fills)

    def may_lack(self, event: Print, begin: Mark) -> bool:
        number, first = number_of(event), self.line.first
        if number is None or (first is not None and number >= first):
            return True
        return _since(event, begin, 0)

    def cut(self) -> None:
        """Numbers are the same on any stream."""

    def number_anew(self) -> None:
        self.line, self.contrary, self.top = NumberLine(), None, 0

    def leave(self) -> None:
        super().leave()
        self.contrary = None
        self.line.rest()


def number_of(event: Print) -> int | None:
    """None for an id that is no number."""
    return int(event.id) if event.id.isascii() and event.id.isdecimal() else None


def _since(event: Print, begin: Mark, slack_ms: int) -> bool:
    if event.id == begin.key:
        return False
    return event.timestamp is None or event.timestamp >= (begin.time or 0) - slack_ms
