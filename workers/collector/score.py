"""How well a collector and its venue are, as one number, and what it is made of."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.collector.collector import Collector

#: REST that answers within the first is quick; one that takes the second or longer counts half.
_QUICK_S, _SLOW_S = 1.0, 5.0
#: What is left of the score of a venue whose REST is left alone.
_OPEN = 0.3


def health_of(of: "Collector") -> dict[str, Any]:
    """`score` from 0 to 1: the lower of freshness and success, less for slow answers and for REST
    that is left alone. In heartbeats; requests are routed by it."""
    freshness, success = _freshness(of), _success(of)
    latency_s = of.client.rest_trace.latency_s
    score = min(freshness, success) * _promptness(latency_s)
    if of.client.breakers.state != "CLOSED":
        score *= _OPEN
    return {
        "score": round(score, 3),
        "freshness": round(freshness, 3),
        "success": round(success, 3),
        "latency_ms": None if latency_s is None else round(1000 * latency_s, 1),
    }


def _freshness(of: "Collector") -> float:
    """The share of symbols whose best prices are fresh; 1 where none is collected."""
    parts = of.intake.parts.values()
    if not parts:
        return 1.0
    since = of.clock.monotonic() - of.collection.value.max_age.ticker_s
    return sum(p.quote is not None and p.quote.at >= since for p in parts) / len(parts)


def _success(of: "Collector") -> float:
    """Of the latest REST requests."""
    whole = of.client.breakers.whole
    ended = whole.success_count + whole.failure_count
    return whole.success_count / ended if ended else 1.0


def _promptness(latency_s: float | None) -> float:
    if latency_s is None or latency_s <= _QUICK_S:
        return 1.0
    return max(0.5, 1.0 - 0.5 * (latency_s - _QUICK_S) / (_SLOW_S - _QUICK_S))
