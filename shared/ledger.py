"""What became of every fact, counted by kind and never reset within a run."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class KindCounts:
    """Facts of one kind.

    received = confirmed + conflated + deduplicated + invalid + Σ dropped + in flight
    """

    received: int = 0  # taken from a frame, or made by the fleet itself
    confirmed: int = 0
    conflated: int = 0  # replaced by a newer value before they were sent
    deduplicated: int = 0  # the venue sent them a second time
    invalid: int = 0  # did not validate
    dropped: Counter[str] = field(default_factory=Counter)  # by reason

    @property
    def in_flight(self) -> int:
        settled = self.confirmed + self.conflated + self.deduplicated + self.invalid
        return self.received - settled - self.dropped.total()

    def as_dict(self) -> dict[str, object]:
        """The counts that are not zero."""
        counts = {
            "received": self.received,
            "confirmed": self.confirmed,
            "conflated": self.conflated,
            "deduplicated": self.deduplicated,
            "invalid": self.invalid,
            "dropped": dict(self.dropped),
            "in_flight": self.in_flight,
        }
        return {name: count for name, count in counts.items() if count}


class Ledger:
    """The counts of a process, by name of kind."""

    def __init__(self) -> None:
        self._kinds: dict[str, KindCounts] = {}

    def __getitem__(self, kind: str) -> KindCounts:
        if kind not in self._kinds:
            self._kinds[kind] = KindCounts()
        return self._kinds[kind]

    def as_dict(self) -> dict[str, dict[str, object]]:
        return {kind: counts.as_dict() for kind, counts in self._kinds.items()}
