"""What everything that makes messages of events shares."""

from dataclasses import dataclass

from shared.clock import Clock
from shared.fact import Fact
from shared.kinds import Kind
from shared.outbox import Outbox
from workers.collector.quarantine import Quarantine


@dataclass(frozen=True, slots=True)
class Publishing:
    """The venue's name on the wire, the way out, where invalid things go, and the time."""

    exchange: str
    outbox: Outbox
    quarantine: Quarantine
    clock: Clock

    def put(self, fact: Fact) -> None:
        self.outbox.put(fact)

    def reject(self, kind: Kind, symbol: str, error: Exception, sample: object) -> None:
        """Count an event that gave no valid message, and set it aside."""
        counts = self.outbox.ledger[kind.label]
        counts.received += 1
        counts.invalid += 1
        self.quarantine.put(f"{kind.label} of {symbol}", error, sample)

    def repeated(self, kind: Kind) -> None:
        """Count an event that the venue sent a second time."""
        counts = self.outbox.ledger[kind.label]
        counts.received += 1
        counts.deduplicated += 1
