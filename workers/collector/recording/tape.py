"""What was seen on the wire and is not written yet: the side that the hot path touches."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Direction = Literal["recv", "send", "open", "close", "rest", "lost"]

#: Bytes that may wait for the disk: a minute of a venue that sends 4 Mbit/s.
WAITING_BYTES = 32 * 2**20
#: What an entry takes beside its data.
_OVERHEAD = 200


@dataclass(slots=True, eq=False)
class Wire:
    """A websocket connection, numbered within a run; 0 stands for REST and for what is of none."""

    number: int
    url: str


NO_WIRE = Wire(0, "")


class Entry(NamedTuple):
    """One line of a recording, before it is encoded."""

    at_ns: int
    wire: Wire
    direction: Direction
    data: str | bytes
    facts: dict[str, Any] | None  # beside the data


class Tape:
    """Appended to by the event loop, emptied by the writer's thread; without a lock, since each
    counter has one writer and a deque's ends are safe.

    Where the disk is slow, entries are lost to the recording once the bound is reached: counted,
    and marked by a line where they are missing.
    """

    __slots__ = (
        "_append",
        "_bound",
        "_missing",
        "_missing_since",
        "_now_ns",
        "_put",
        "_released",
        "entries",
        "lost",
    )

    def __init__(self, now_ns: Callable[[], int], waiting_bytes: int = WAITING_BYTES) -> None:
        self.entries: deque[Entry] = deque()
        self.lost = 0
        self._append: Callable[[Any], None] = self.entries.append
        self._now_ns = now_ns
        self._bound = waiting_bytes
        self._put = 0
        self._released = 0
        self._missing = 0  # entries since the last one that found room
        self._missing_since = 0

    def frame(self, wire: Wire, direction: Direction, data: str | bytes) -> None:
        """A message of a websocket: 0.4-0.8 µs, the tap's part included. What can be counted
        later is."""
        if self._missing or self._put - self._released > self._bound:
            self._put_late(Entry(self._now_ns(), wire, direction, data, None))
            return
        self._put += len(data) + _OVERHEAD
        # A plain tuple: Entry's own constructor would cost as much as all the rest.
        self._append((self._now_ns(), wire, direction, data, None))

    def body(self, data: bytes, facts: dict[str, Any]) -> None:
        """An answer of REST; `facts` may name the address as `url`."""
        self._put_late(Entry(self._now_ns(), NO_WIRE, "rest", data, facts))

    def event(self, wire: Wire, direction: Direction, **facts: Any) -> None:
        """Something without data."""
        self._put_late(Entry(self._now_ns(), wire, direction, "", facts))

    def release(self, size: int) -> None:
        """Entries of this `weight` need no memory any more. Called by the writer's thread."""
        self._released += size

    def end(self) -> None:
        """Nothing more comes: mark what is missing at the end."""
        if self._missing:
            self._mark()

    def _put_late(self, entry: Entry) -> None:
        if self._put - self._released > self._bound:
            self.lost += 1
            self._missing_since = self._missing_since or entry.at_ns
            self._missing += 1
            return
        if self._missing:
            self._mark()
        self._put += weight(entry)
        self._append(entry)

    def _mark(self) -> None:
        facts = {"count": self._missing, "since": self._missing_since}
        self._put += _OVERHEAD
        self._append(Entry(self._now_ns(), NO_WIRE, "lost", "", facts))
        self._missing = self._missing_since = 0


def weight(entry: Entry) -> int:
    """What an entry takes of the tape's bound."""
    return len(entry[3]) + _OVERHEAD
