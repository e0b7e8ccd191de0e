"""Whether a collector's venue is well: its REST, the share of valid messages, its score."""

from typing import TYPE_CHECKING

from shared.health import Check, Finding
from workers.collector.score import health_of

if TYPE_CHECKING:
    from workers.collector.collector import Collector

#: Below this a venue is degraded.
_POOR = 0.5
#: So many messages say something about their share.
_ENOUGH = 100


def venue_probe(of: "Collector") -> Check:
    """Counts messages from one call to the next."""
    seen = [0, 0]

    async def probe() -> Finding | None:
        breakers = of.client.breakers
        if breakers.state == "OPEN":
            return Finding("UNHEALTHY", breakers.whole.reason)
        quality = _quality(of, seen)
        if quality is not None and quality < of.health.value.quality_threshold:
            return Finding("DEGRADED", f"{quality:.1%} of its messages are valid")
        told = health_of(of)
        if told["score"] < _POOR:
            return Finding("DEGRADED", f"its score is {told['score']}")
        return None

    return probe


def _quality(of: "Collector", seen: list[int]) -> float | None:
    """The valid share of what came since the last call; None where that is little."""
    now = of.outbox.ledger.received_and_invalid()
    received, invalid = now[0] - seen[0], now[1] - seen[1]
    if received < _ENOUGH:
        return None
    seen[:] = now
    return 1 - invalid / received
