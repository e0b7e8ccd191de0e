"""Facts that were handed out: by `message_id`, for kinds whose ids name one immutable fact."""

from futures_fleet._wire.kinds import KINDS, Kind

#: Ids remembered of a kind, at least half of them: some seconds of trades at 10,000 a second, and
#: far longer than two workers have the same symbol.
_IDS = 65_536

#: The table of kinds, by what a message says of itself; variants differ in their delivery.
_ROWS = {(kind.name, kind.lossless): kind for kind in KINDS.values()}


def row_of(kind: str, lossless: bool) -> Kind | None:
    """The row of the table of kinds; None for a kind that this version does not know."""
    return _ROWS.get((kind, lossless))


class Seen:
    """The last ids of each kind, in two generations of sets: cheap, and bounded."""

    def __init__(self, ids: int = _IDS) -> None:
        self._generation = max(1, ids // 2)
        self._current: dict[str, set[str]] = {}
        self._previous: dict[str, set[str]] = {}

    def add(self, kind: str, message_id: str) -> bool:
        """Whether it is new."""
        current = self._current.setdefault(kind, set())
        if message_id in current or message_id in self._previous.get(kind, ()):
            return False
        current.add(message_id)
        if len(current) >= self._generation:
            self._previous[kind], self._current[kind] = current, set()
        return True
