"""What became of every fact, counted by kind and never reset within a run."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class KindCounts:
    """Facts of one kind.

    received + spooled_at_start
        = confirmed + conflated + deduplicated + invalid + Σ dropped + in flight + spooled

    The last two are not kept here: they are counted where the facts are, see `Census`.
    """

    received: int = 0  # taken from a frame, or made by the fleet itself
    spooled_at_start: int = 0  # found in spools of runs before, adopted ones as well
    confirmed: int = 0
    conflated: int = 0  # replaced by a newer value before they were sent
    deduplicated: int = 0  # the venue sent them a second time
    invalid: int = 0  # did not validate
    dropped: Counter[str] = field(default_factory=Counter)  # by reason

    @property
    def open(self) -> int:
        """Facts that came and have not ended."""
        settled = self.confirmed + self.conflated + self.deduplicated + self.invalid
        return self.received + self.spooled_at_start - settled - self.dropped.total()


@dataclass(frozen=True, slots=True)
class Census:
    """Where facts are that have not ended, by kind: in memory, and on disk."""

    in_flight: Counter[str] = field(default_factory=Counter)
    spooled: Counter[str] = field(default_factory=Counter)


class Ledger:
    """The counts of a process, by label of kind. `take_census` looks into its containers."""

    def __init__(self) -> None:
        self.take_census: Callable[[], Census] = Census
        self._kinds: dict[str, KindCounts] = {}

    def __getitem__(self, kind: str) -> KindCounts:
        if kind not in self._kinds:
            self._kinds[kind] = KindCounts()
        return self._kinds[kind]

    @property
    def open(self) -> int:
        """Facts of all kinds that came and have not ended, by the books alone: whoever asks often
        need not wait for a census."""
        return sum(counts.open for counts in self._kinds.values())

    def received_and_invalid(self) -> tuple[int, int]:
        """Facts of all kinds that came, and those of them that did not validate."""
        kinds = self._kinds.values()
        return sum(kind.received for kind in kinds), sum(kind.invalid for kind in kinds)

    def unbalanced(self) -> dict[str, int]:
        """By how many facts the books are wrong, of kinds where they are: lost without a count
        above zero, counted twice below."""
        census = self.take_census()
        kinds = {*self._kinds, *census.in_flight, *census.spooled}
        return {kind: off for kind in kinds if (off := self._off(kind, census))}

    def as_dict(self) -> dict[str, dict[str, object]]:
        """For heartbeats: counts that are not zero."""
        census = self.take_census()
        return {kind: self._told(kind, census) for kind in list(self._kinds)}

    def _off(self, kind: str, census: Census) -> int:
        return self[kind].open - census.in_flight[kind] - census.spooled[kind]

    def _told(self, kind: str, census: Census) -> dict[str, object]:
        counts = self[kind]
        told = {
            "received": counts.received,
            "spooled_at_start": counts.spooled_at_start,
            "confirmed": counts.confirmed,
            "conflated": counts.conflated,
            "deduplicated": counts.deduplicated,
            "invalid": counts.invalid,
            "dropped": dict(counts.dropped),
            "in_flight": census.in_flight[kind],
            "spooled": census.spooled[kind],
            "unbalanced": self._off(kind, census),
        }
        return {name: count for name, count in told.items() if count}
