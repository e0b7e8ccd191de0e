"""Which ids were met lately."""

from collections import deque

#: Ids remembered, at least. Venues repeat up to some hundred trades on a new subscription, and the
#: newest page of REST has up to 2000.
_KEPT = 2000
#: Sets of up to 307 have a table of 8 kB, of which seven come to less than one for all: 131 kB.
_GENERATION = 300
#: While nothing may be forgotten: what a gap is paged back for, and what happens meanwhile.
_HELD = 100_000


class SeenIds:
    """The last ids of one symbol: generations of sets, which is cheap and bounded, and of which
    one at a time goes."""

    __slots__ = ("_current", "_former", "_most")

    def __init__(self) -> None:
        self._current: set[str] = set()
        self._former: deque[set[str]] = deque()
        self._most = _GENERATION  # in the current one

    def hold(self) -> None:
        """Forget nothing until `release`: what is brought back is asked for again and again."""
        self._most = _HELD

    def release(self) -> None:
        self._most = _GENERATION

    def add(self, trade_id: str) -> bool:
        """Whether the id is new. One that is met again is remembered anew."""
        if trade_id in self._current:
            return False
        known = self._was_met(trade_id)
        self._current.add(trade_id)
        if len(self._current) >= self._most:
            self._former.append(self._current)
            self._current = set()
            # By their ids, not their number: those of a time when they were held are many.
            while sum(map(len, self._former)) - len(self._former[0]) >= _KEPT:
                self._former.popleft()
        return not known

    def __contains__(self, trade_id: str) -> bool:
        return trade_id in self._current or self._was_met(trade_id)

    def discard(self, trade_id: str) -> None:
        self._current.discard(trade_id)
        for former in self._former:
            former.discard(trade_id)

    def _was_met(self, trade_id: str) -> bool:
        for former in self._former:  # noqa: SIM110 - for each trade, and `any` takes thrice as long
            if trade_id in former:
                return True
        return False
