"""What became of every fact, counted by kind and never reset within a run."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class KindCounts:
    """Facts of one kind.

    produced = confirmed + conflated + Σ dropped + in flight; `invalid` never became a fact.
    """

    produced: int = 0
    confirmed: int = 0
    conflated: int = 0  # replaced by a newer value before they were sent
    invalid: int = 0  # did not validate
    dropped: Counter[str] = field(default_factory=Counter)  # by reason

    @property
    def in_flight(self) -> int:
        return self.produced - self.confirmed - self.conflated - self.dropped.total()

    def as_dict(self) -> dict[str, object]:
        return {
            "produced": self.produced,
            "confirmed": self.confirmed,
            "conflated": self.conflated,
            "invalid": self.invalid,
            "dropped": dict(self.dropped),
            "in_flight": self.in_flight,
        }


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
