"""Last values of slow kinds, said again for readers who came later or lost them."""

from dataclasses import dataclass

from shared.kinds import Kind

#: A row that nothing replaced is repeated this often, and for so long: then it is too old to be
#: told as the latest (`collection.max_age.funding_s` by default).
EVERY_S = 30.0
FOR_S = 900.0


@dataclass(slots=True)
class _Last:
    kind: Kind
    row: bytes
    made_at: float
    said_at: float


class Repeats:
    """One row a routing key. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._last: dict[str, _Last] = {}

    def remember(self, key: str, kind: Kind, row: bytes, now: float) -> None:
        self._last[key] = _Last(kind, row, now, now)

    def due(self, now: float) -> list[tuple[Kind, bytes]]:
        """Rows to say again, marked `repeat`."""
        old = [key for key, last in self._last.items() if now - last.made_at > FOR_S]
        for key in old:
            del self._last[key]
        due = [last for last in self._last.values() if now - last.said_at >= EVERY_S]
        for last in due:
            last.said_at = now
        return [(last.kind, b'{"repeat":true,' + last.row[1:]) for last in due]
