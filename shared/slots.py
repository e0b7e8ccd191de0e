"""Latest facts that wait for room or for their pace, one a routing key: the newest."""

from collections.abc import Iterator

from shared.fact import Fact
from shared.kinds import FUTURES
from shared.pace import Pace


class Slots:
    """What is put on a key replaces what waits there."""

    def __init__(self) -> None:
        self._facts: dict[str, Fact] = {}
        self._paces: dict[str, Pace] = {}  # by label

    def __len__(self) -> int:
        return len(self._facts)

    def __contains__(self, key: str) -> bool:
        return key in self._facts

    def facts(self) -> Iterator[Fact]:
        yield from self._facts.values()

    def put(self, key: str, fact: Fact) -> bool:
        """Whether another fact gave way."""
        replaced = key in self._facts
        self._facts[key] = fact
        return replaced

    def due(self, key: str, fact: Fact, now: float) -> bool:
        """Whether a fact may go out now, by the pace of its kind; it is taken to have gone."""
        interval_s = fact.kind.min_interval_s
        if interval_s is None:
            return True
        pace = self._paces.get(fact.kind.label)
        if pace is None:
            pace = self._paces[fact.kind.label] = Pace(interval_s)
        if pace.wait_s(key, now):
            return False
        pace.use(key, now)
        return True

    def take(self, now: float) -> list[Fact]:
        """The facts that may go out now."""
        taken = [key for key, fact in self._facts.items() if self.due(key, fact, now)]
        return [self._facts.pop(key) for key in taken]

    def expire(self) -> int:
        """Forget FuturesData, which is of its grid point and nothing later; how many."""
        gone = [key for key, fact in self._facts.items() if fact.kind is FUTURES]
        for key in gone:
            del self._facts[key]
        return len(gone)
