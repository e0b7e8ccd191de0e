"""What the workers of a fleet count themselves, from their heartbeats."""

from dataclasses import dataclass, field
from typing import Any

from bench.listener import Headers
from shared.status import Heartbeat
from shared.topology import STATUS

BINDINGS = ((STATUS, "heartbeat.#"),)


@dataclass(slots=True)
class Beats:
    """The last heartbeat of each collector, by exchange."""

    last: dict[str, Heartbeat] = field(default_factory=dict)

    def take(self, _routing_key: str, body: bytes, _headers: Headers, _now_s: float) -> None:
        beat = Heartbeat.model_validate_json(body)
        if beat.exchange is not None:
            self.last[beat.exchange] = beat

    def total(self, count: str, *kinds: str) -> int:
        """Of a count of messages of some kinds, over all collectors."""
        return sum(
            _sum(beat.details.get("kinds", {}).get(kind, {}).get(count, 0))
            for beat in self.last.values()
            for kind in kinds
        )

    def gaps(self) -> int:
        return sum(
            int(beat.details.get("continuity", {}).get("gaps", 0)) for beat in self.last.values()
        )


def _sum(count: Any) -> int:
    """Drops are counted by reason."""
    return sum(count.values()) if isinstance(count, dict) else int(count)
