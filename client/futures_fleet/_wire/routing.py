# Copied from shared/routing.py by scripts/wire.py: change that one.
"""Which venue is asked first, and which next: five strategies over venues that can answer.

Decides only; nothing here asks.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

#: A venue of a lower score is asked only where no other can be.
POOR = 0.3


class ConnectionStrategy(Enum):
    ROUND_ROBIN = "round_robin"  # each in turn
    LEAST_LATENCY = "least_latency"  # who answers soonest
    WEIGHTED_ROUND_ROBIN = "weighted_round_robin"  # in turn, by weight times health
    FAILOVER = "failover"  # the heaviest, the next only where that fails
    LEAST_CONNECTIONS = "least_connections"  # who has the fewest of our requests


@dataclass(frozen=True, slots=True)
class Candidate:
    """A venue that lists what is asked about, and can be asked."""

    exchange: str
    weight: float = 100.0
    score: float = 1.0  # health, 0 to 1
    latency_s: float = 0.0  # of late; 0: not known yet
    in_flight: int = 0  # of our requests


class Router:
    """Keeps whose turn it is."""

    def __init__(self, strategy: ConnectionStrategy) -> None:
        self.strategy = strategy
        self._turns = itertools.count()
        self._credit: dict[str, float] = {}

    def order(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """All of them, who is asked first first; those of poor health last."""
        by_name = sorted(candidates, key=lambda one: one.exchange)
        ordered = self._ordered(by_name)
        return sorted(ordered, key=lambda one: one.score < POOR)

    def _ordered(self, candidates: list[Candidate]) -> list[Candidate]:
        match self.strategy:
            case ConnectionStrategy.ROUND_ROBIN:
                first = next(self._turns) % max(1, len(candidates))
                return candidates[first:] + candidates[:first]
            case ConnectionStrategy.LEAST_LATENCY:
                return sorted(candidates, key=lambda one: one.latency_s / max(one.score, 0.01))
            case ConnectionStrategy.WEIGHTED_ROUND_ROBIN:
                return self._by_credit(candidates)
            case ConnectionStrategy.FAILOVER:
                return sorted(candidates, key=lambda one: -one.weight)
            case ConnectionStrategy.LEAST_CONNECTIONS:
                return sorted(candidates, key=lambda one: (one.in_flight, -one.weight))

    def _by_credit(self, candidates: list[Candidate]) -> list[Candidate]:
        """Smooth: each turn all gain what they weigh, and who is chosen pays for all."""
        weights = {one.exchange: one.weight * one.score for one in candidates}
        for exchange, weight in weights.items():
            self._credit[exchange] = self._credit.get(exchange, 0.0) + weight
        ordered = sorted(candidates, key=lambda one: -self._credit[one.exchange])
        if ordered:
            self._credit[ordered[0].exchange] -= sum(weights.values())
        return ordered
