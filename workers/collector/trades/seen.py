"""Which ids were met lately."""

#: Ids remembered, at least. Venues repeat up to some hundred trades on a new subscription, and the
#: newest page of REST has up to 2000.
_KEPT = 2000
#: While nothing may be forgotten: what a gap is paged back for, and what happens meanwhile.
_HELD = 100_000


class SeenIds:
    """The last ids of one symbol: two generations of sets, which is cheap and bounded."""

    __slots__ = ("_current", "_generation", "_previous")

    def __init__(self) -> None:
        self._current: set[str] = set()
        self._previous: set[str] = set()
        self._generation = _KEPT

    def hold(self) -> None:
        """Forget nothing until `release`: what is brought back is asked for again and again."""
        self._generation = _HELD

    def release(self) -> None:
        self._generation = _KEPT

    def add(self, trade_id: str) -> bool:
        """Whether the id is new. One that is met again is remembered anew."""
        if trade_id in self._current:
            return False
        known = trade_id in self._previous
        self._current.add(trade_id)
        if len(self._current) >= self._generation:
            self._previous, self._current = self._current, set()
        return not known

    def __contains__(self, trade_id: str) -> bool:
        return trade_id in self._current or trade_id in self._previous

    def discard(self, trade_id: str) -> None:
        self._current.discard(trade_id)
        self._previous.discard(trade_id)
