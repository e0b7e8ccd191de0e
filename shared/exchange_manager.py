"""Requests to any venue of the fleet, from any process: answered by the collector of the venue, or
of whichever can, chosen by a strategy, with the next one where it fails.

    async with ExchangeManager(broker) as manager:
        ticker = await manager.execute_request("fetch_ticker", "BTC/USDT:USDT")
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import orjson
from aio_pika.abc import AbstractConnection
from pydantic import ValidationError

from shared import errors
from shared.breaker import BreakerPolicy, CircuitBreaker
from shared.broker import Broker, own_queue
from shared.cache import CacheManager
from shared.clock import Clock, SystemClock
from shared.requester import Requester
from shared.requests import (
    ELSEWHERE,
    METHODS,
    TRANSIENT,
    Method,
    Priority,
    Reply,
    Trouble,
    named,
)
from shared.routing import Candidate, ConnectionStrategy, Router
from shared.status import Heartbeat, MarketList
from shared.symbols import expand_short
from shared.tasks import ended
from shared.topology import STATUS

#: A collector that is silent for so long is not asked.
_SILENT_S = 6.0
#: How long one venue may take while there is another to ask.
_LEAST_S, _MOST_S = 0.5, 2.0
#: Where all have failed and time is left, all are asked once more after this.
_AGAIN_S = 0.25
_ROUNDS = 2
#: How long `initialize` waits for a first collector.
_FIRST_S = 5.0
_LEARNING = 0.2

log = logging.getLogger("main")


@dataclass(slots=True)
class _Venue:
    """What is known of one venue, by its name on the wire."""

    exchange: str
    breaker: CircuitBreaker
    seen_at: dict[str, float] = field(default_factory=dict)  # by worker, monotonic seconds
    symbols: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
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
        return score if self.breaker.state == "CLOSED" else 0.1 * score


class ExchangeManager:
    """`initialize` and `close`, or a block. Raises ExchangeError and its subclasses for requests
    that can not be answered, DataProcessingError for what is no request."""

    def __init__(
        self,
        broker: Broker,
        strategy: ConnectionStrategy | str = ConnectionStrategy.WEIGHTED_ROUND_ROBIN,
        *,
        weights: Mapping[str, float] | None = None,
        cache: CacheManager | None = None,
        clock: Clock | None = None,
        role: str = "client",
    ) -> None:
        """`weights` are by the venues' names on the wire, 100 where none is given."""
        self._broker = broker
        self._role = role
        self._clock = clock or SystemClock()
        self._requester = Requester(broker, role)
        self._router = Router(ConnectionStrategy(strategy))
        self._weights = dict(weights or {})
        self._cache = cache
        self._venues: dict[str, _Venue] = {}
        self._first = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._requests = self._successes = 0
        self._took_s = 0.0

    async def __aenter__(self) -> "ExchangeManager":
        await self.initialize()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def initialize(self) -> None:
        """Listen to the fleet; returns when a collector was heard, or after some seconds."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._broker.keep("fleet", self._listen))
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_S):
                await self._first.wait()

    async def close(self) -> None:
        await self._requester.close()
        if self._listening is not None:
            await ended(self._listening)
            self._listening = None

    def set_strategy(self, strategy: ConnectionStrategy | str) -> None:
        """Raises ValueError for an unknown one."""
        self._router.strategy = ConnectionStrategy(strategy)

    @property
    def strategy(self) -> ConnectionStrategy:
        return self._router.strategy

    async def execute_request(
        self,
        method: str,
        *args: Any,
        exchange_id: str | None = None,
        priority: Priority = Priority.NORMAL,
        timeout: float = 10.0,  # noqa: ASYNC109 - the name that users know
        max_age: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """What a method of ccxt answers, sizes in base units. Of `exchange_id`, else of the venue
        that the strategy chooses; the next one is asked where that fails or is late. `max_age`
        bounds, in seconds, how old an answer out of live state or a cache may be."""
        known = METHODS.get(_snake(method))
        if known is None:
            raise errors.DataProcessingError(f"{method!r} can not be called")
        arguments = _unified(named(known, args, kwargs))
        request: dict[str, Any] = {
            "method": known.name,
            "arguments": arguments,
            "priority": priority.value,
        }
        if max_age is not None:
            request["max_age_ms"] = round(1000 * max_age)
        if self._cache is None or known.cache is None or max_age == 0:
            return await self._timed(known, request, exchange_id, timeout)
        key = f"{exchange_id}:{known.name}:{orjson.dumps(arguments).decode()}"
        found = await self._cache.get_or_load(
            known.cache, key, lambda: self._timed(known, request, exchange_id, timeout)
        )
        return found.value

    async def get_exchange_status(self, exchange_id: str) -> dict[str, Any]:
        """How one venue is. Raises ExchangeError for one that was never heard of."""
        venue = self._venues.get(exchange_id)
        if venue is None:
            raise errors.ExchangeError(f"nothing was heard of {exchange_id!r}")
        return self._status(venue)

    async def get_all_exchanges(self) -> dict[str, dict[str, Any]]:
        return {name: self._status(venue) for name, venue in sorted(self._venues.items())}

    def get_statistics(self) -> dict[str, Any]:
        healthy = sum(self._is_healthy(venue) for venue in self._venues.values())
        return {
            "total_exchanges": len(self._venues),
            "healthy_exchanges": healthy,
            "failed_exchanges": len(self._venues) - healthy,
            "total_requests": self._requests,
            "successful_requests": self._successes,
            "failed_requests": self._requests - self._successes,
            "average_response_time": self._took_s / self._requests if self._requests else 0.0,
        }

    async def _timed(
        self, method: Method, request: dict[str, Any], exchange_id: str | None, timeout_s: float
    ) -> Any:
        began = self._clock.monotonic()
        self._requests += 1
        try:
            result = await self._executed(method, request, exchange_id, began + timeout_s)
        finally:
            self._took_s += self._clock.monotonic() - began
        self._successes += 1
        return result

    async def _executed(
        self, method: Method, request: dict[str, Any], exchange_id: str | None, deadline: float
    ) -> Any:
        trouble = Trouble("unavailable", f"nobody serves {exchange_id or method.name}")
        for round_ in range(_ROUNDS):
            if round_:
                if trouble.code not in TRANSIENT or self._left_s(deadline) <= _AGAIN_S:
                    break
                await self._clock.sleep(_AGAIN_S)
            order = self._order(method, request["arguments"], exchange_id)
            for number, exchange in enumerate(order):
                left_s = self._left_s(deadline)
                if left_s <= 0:
                    break
                is_last = number == len(order) - 1
                most_s = left_s if is_last else min(left_s, _patience_s(left_s))
                reply = await self._asked(exchange, request, most_s)
                if reply.error is None:
                    return reply.result
                trouble = reply.error
                if trouble.code not in ELSEWHERE:
                    raise _raised(trouble)
        raise _raised(trouble)

    async def _asked(self, exchange: str, request: dict[str, Any], timeout_s: float) -> Reply:
        """The reply, or one that is made here where none comes. Never raises for the venue."""
        venue = self._venue(exchange)
        began = self._clock.monotonic()
        venue.in_flight += 1
        try:
            reply = await self._requester.ask(exchange, request, timeout_s)
        except TimeoutError:
            trouble = Trouble("timeout", f"{exchange} did not answer within {timeout_s:.1f} s")
            reply = Reply("", exchange, "", error=trouble)
        except errors.BrokerError as error:
            reply = Reply("", exchange, "", error=Trouble("unavailable", str(error)))
        finally:
            venue.in_flight -= 1
        well = reply.error is None or reply.error.code not in TRANSIENT
        venue.ended(well, self._clock.monotonic() - began)
        if well:
            venue.breaker.succeeded()
        else:
            venue.breaker.failed()
        return reply

    def _order(
        self, method: Method, arguments: Mapping[str, Any], exchange_id: str | None
    ) -> list[str]:
        if exchange_id is not None:
            return [exchange_id]
        symbols = arguments.get("symbols") or [arguments.get("symbol")]
        able = [
            Candidate(
                venue.exchange,
                self._weights.get(venue.exchange, 100.0),
                venue.score,
                venue.latency_s,
                venue.in_flight,
            )
            for venue in self._venues.values()
            if self._is_there(venue) and method.name in venue.methods
            if all(symbol is None or symbol in venue.symbols for symbol in symbols)
        ]
        return [one.exchange for one in self._router.order(able)]

    def _left_s(self, deadline: float) -> float:
        return deadline - self._clock.monotonic()

    def _is_there(self, venue: _Venue) -> bool:
        since = self._clock.monotonic() - _SILENT_S
        return any(at >= since for at in venue.seen_at.values())

    def _is_healthy(self, venue: _Venue) -> bool:
        return self._is_there(venue) and venue.score >= 0.5

    def _status(self, venue: _Venue) -> dict[str, Any]:
        there = self._is_there(venue)
        status = "unavailable"
        if there:
            status = "healthy" if self._is_healthy(venue) else "degraded"
        rate = venue.successes / venue.requests if venue.requests else None
        return {
            "exchange_id": venue.exchange,
            "status": status,
            "health_score": round(venue.score, 3) if there else 0.0,
            "latency": round(venue.latency_s, 6),
            "active_connections": venue.in_flight,
            "total_requests": venue.requests,
            "success_rate": rate,
            "circuit_breaker": venue.told.get("rest", "UNKNOWN"),
            "symbols": len(venue.symbols),
            "methods": sorted(venue.methods),
            "workers": sorted(venue.seen_at),
            "weight": self._weights.get(venue.exchange, 100.0),
        }

    def _venue(self, exchange: str) -> _Venue:
        venue = self._venues.get(exchange)
        if venue is None:
            breaker = CircuitBreaker(f"requests to {exchange}", BreakerPolicy(), self._clock)
            venue = self._venues[exchange] = _Venue(exchange, breaker)
        return venue

    async def _listen(self, connection: AbstractConnection) -> None:
        channel = await connection.channel()
        bindings = [(STATUS, "heartbeat.collector.#"), (STATUS, "markets.collector.#")]
        queue = await own_queue(channel, self._role, self._broker.name, bindings)
        async with queue.iterator(no_ack=True) as messages:
            async for message in messages:
                hear = self._hear_beat if _is_beat(message.routing_key) else self._hear_markets
                with suppress(ValidationError):
                    hear(message.body)
        raise errors.BrokerError("the subscription ended")

    def _hear_beat(self, body: bytes) -> None:
        beat = Heartbeat.model_validate_json(body)
        if beat.exchange is None:
            return
        venue = self._venue(beat.exchange)
        if beat.state != "running":
            venue.seen_at.pop(beat.worker, None)
            return
        venue.seen_at[beat.worker] = self._clock.monotonic()
        venue.told = beat.details
        if venue.methods:
            self._first.set()

    def _hear_markets(self, body: bytes) -> None:
        markets = MarketList.model_validate_json(body)
        venue = self._venue(markets.exchange)
        venue.symbols, venue.methods = frozenset(markets.symbols), frozenset(markets.methods)


def _patience_s(left_s: float) -> float:
    return max(_LEAST_S, min(_MOST_S, left_s / 2))


def _is_beat(key: str | None) -> bool:
    return key is not None and key.startswith("heartbeat.")


def _raised(trouble: Trouble) -> errors.CryptoCollectorException:
    if trouble.code == "rate_limited":
        return errors.RateLimitedError(trouble.message, trouble.retry_after_s or 0.0)
    made: dict[str, Callable[[str], errors.CryptoCollectorException]] = {
        "invalid_request": errors.DataProcessingError,
        "symbol_not_listed": errors.SymbolNotListedError,
        "unavailable": errors.CircuitBreakerOpenError,
        "network": errors.NetworkError,
        "timeout": errors.NetworkError,
    }
    return made.get(trouble.code, errors.ExchangeError)(trouble.message)


def _snake(method: str) -> str:
    """`fetchTicker` is `fetch_ticker`."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in method)


def _unified(arguments: dict[str, Any]) -> dict[str, Any]:
    """A short symbol means the linear perpetual: `BTC/USDT` is `BTC/USDT:USDT`. Raises
    DataProcessingError."""
    if "symbol" in arguments:
        return arguments | {"symbol": expand_short(arguments["symbol"])}
    if "symbols" in arguments:
        return arguments | {"symbols": [expand_short(symbol) for symbol in arguments["symbols"]]}
    return arguments
