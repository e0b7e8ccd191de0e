# Copied from shared/known_venues.py by scripts/wire.py: change that one.
"""The venues of a fleet, as their collectors tell of them: who is there, what each lists and can
be asked, how well it is; and what became of our requests to it."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aio_pika.abc import AbstractConnection
from pydantic import ValidationError

from futures_fleet._wire.breaker import BreakerPolicy, CircuitBreaker
from futures_fleet._wire.broker import Broker, own_queue
from futures_fleet._wire.clock import Clock
from futures_fleet._wire.errors import BrokerError
from futures_fleet._wire.status import Heartbeat, MarketList
from futures_fleet._wire.tasks import ended
from futures_fleet._wire.topology import STATUS
from futures_fleet._wire.venues import ALIASES

#: A collector that is silent for so long is not asked.
_SILENT_S = 6.0
#: From which score on a venue counts as healthy.
_HEALTHY = 0.5
_LEARNING = 0.2
#: Half of eight: who is asked in turn with others is left alone within two seconds of failing.
_POLICY = BreakerPolicy(failure_threshold=4, window_calls=8)


@dataclass(slots=True)
class KnownVenue:
    """What is known of one venue, by its name on the wire."""

    exchange: str
    breaker: CircuitBreaker
    seen_at: dict[str, float] = field(default_factory=dict)  # by worker, monotonic seconds
    symbols: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    turnover: dict[str, float] = field(default_factory=dict)  # of 24 hours, quote currency
    told: dict[str, Any] = field(default_factory=dict)  # details of the newest heartbeat
    latency_s: float = 0.0
    in_flight: int = 0
    requests: int = 0
    successes: int = 0

    def ended(self, well: bool, took_s: float) -> None:
        self.requests += 1
        self.successes += well
        if well:
            known = self.latency_s
            self.latency_s = took_s if not known else known + _LEARNING * (took_s - known)

    @property
    def score(self) -> float:
        told = self.told.get("health", {}).get("score")
        score = float(told) if isinstance(told, int | float) else 1.0
        return 0.1 * score if self.is_left_alone else score

    @property
    def is_left_alone(self) -> bool:
        """After failures; then one request tries, before any other is let in."""
        state = self.breaker.state
        return state == "HALF_OPEN" or (state == "OPEN" and self.breaker.open_for_s > 0)

    def is_there(self, now: float) -> bool:
        """Whether a collector of it was heard of late."""
        return any(at >= now - _SILENT_S for at in self.seen_at.values())

    def is_healthy(self, now: float) -> bool:
        return self.is_there(now) and self.score >= _HEALTHY

    def status(self, now: float, weight: float) -> dict[str, Any]:
        """`latency` in seconds, of late; `active_connections` are requests on their way; of 0 to 1
        `health_score` and `success_rate`; `circuit_breaker` is that of its collector."""
        there = self.is_there(now)
        status = "unavailable"
        if there:
            status = "healthy" if self.is_healthy(now) else "degraded"
        return {
            "exchange_id": self.exchange,
            "status": status,
            "health_score": round(self.score, 3) if there else 0.0,
            "latency": round(self.latency_s, 6),
            "active_connections": self.in_flight,
            "total_requests": self.requests,
            "success_rate": self.successes / self.requests if self.requests else None,
            "circuit_breaker": self.told.get("rest", "UNKNOWN"),
            "symbols": len(self.symbols),
            "methods": sorted(self.methods),
            "workers": sorted(self.seen_at),
            "weight": weight,
        }


class KnownVenues:
    """Listens on a connection of its own from `start` to `close`."""

    def __init__(self, broker: Broker, role: str, clock: Clock) -> None:
        self.each: dict[str, KnownVenue] = {}  # by its name on the wire
        self._broker, self._role, self._clock = broker, role, clock
        self._first = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._broker.keep("fleet", self._listen))

    async def first(self, timeout_s: float) -> None:
        """Wait until one was heard of that can be asked, or so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._first.wait()

    async def close(self) -> None:
        if self._listening is not None:
            await ended(self._listening)
            self._listening = None

    def heard(self, exchange: str) -> KnownVenue | None:
        """That of this name, or of another name of its, where it can be asked."""
        venue = self.each.get(self.named(exchange) or "")
        return venue if venue is not None and venue.methods else None

    def named(self, exchange: str | None) -> str | None:
        """The name on the wire of a venue that is called by any of its names."""
        if exchange is None or exchange in self.each:
            return exchange
        venue = ALIASES.get(exchange, exchange)
        return next((name for name in self.each if ALIASES.get(name, name) == venue), exchange)

    def unknown(self, exchange: str) -> KnownVenue:
        """One that nobody has told of."""
        breaker = CircuitBreaker(f"requests to {exchange}", _POLICY, self._clock)
        return KnownVenue(exchange, breaker)

    def _of(self, exchange: str) -> KnownVenue:
        if exchange not in self.each:
            self.each[exchange] = self.unknown(exchange)
        return self.each[exchange]

    async def _listen(self, connection: AbstractConnection) -> None:
        channel = await connection.channel()
        bindings = [(STATUS, "heartbeat.collector.#"), (STATUS, "markets.collector.#")]
        queue = await own_queue(channel, self._role, self._broker.name, bindings)
        async with queue.iterator(no_ack=True) as messages:
            async for message in messages:
                hear = self._hear_beat if _is_beat(message.routing_key) else self._hear_markets
                with suppress(ValidationError):
                    hear(message.body)
        raise BrokerError("the subscription ended")

    def _hear_beat(self, body: bytes) -> None:
        beat = Heartbeat.model_validate_json(body)
        if beat.exchange is None:
            return
        venue = self._of(beat.exchange)
        if beat.state != "running":
            venue.seen_at.pop(beat.worker, None)
            return
        venue.seen_at[beat.worker] = self._clock.monotonic()
        venue.told = beat.details
        if venue.methods:
            self._first.set()

    def _hear_markets(self, body: bytes) -> None:
        markets = MarketList.model_validate_json(body)
        venue = self._of(markets.exchange)
        venue.symbols, venue.methods = frozenset(markets.symbols), frozenset(markets.methods)
        if venue.seen_at:
            self._first.set()
        venue.turnover = markets.volumes or venue.turnover


def _is_beat(key: str | None) -> bool:
    return key is not None and key.startswith("heartbeat.")
