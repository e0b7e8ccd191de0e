"""Requests to any venue of the fleet, from any process: answered by the collector of the venue, or
of whichever can, chosen by a strategy, with the next one where it fails.

    async with ExchangeManager(broker) as manager:
        ticker = await manager.execute_request("fetch_ticker", "BTC/USDT:USDT")
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Protocol

import orjson

from shared import errors
from shared.broker import Broker
from shared.clock import Clock, SystemClock
from shared.known_venues import KnownVenue, KnownVenues
from shared.requester import Requester, UnservedError
from shared.requests import (
    ELSEWHERE,
    METHODS,
    TRANSIENT,
    CacheName,
    Method,
    Priority,
    Reply,
    Trouble,
    named,
)
from shared.routing import Candidate, ConnectionStrategy, Router
from shared.symbols import expand_short

#: How long one venue may take while there is another to ask.
_LEAST_S, _MOST_S = 0.5, 0.8
#: Where all have failed and time is left, all are asked once more after this.
_AGAIN_S = 0.25
_ROUNDS = 2
_LOOK_S = 0.1
#: How long a request to no venue in particular waits for a first collector.
_FIRST_S = 6.0


class Answers(Protocol):
    """A cache of this process, as `shared.cache.CacheManager` is."""

    async def get_or_load(
        self,
        cache_type: CacheName,
        key: str,
        load: Callable[[], Awaitable[Any]],
        max_age_s: float | None = None,
    ) -> Any:
        """Something with the answer as `value`, no older than that."""


class ExchangeManager:
    """`initialize` and `close`, or a block. Raises ExchangeError and its subclasses for requests
    that can not be answered, DataProcessingError for what is no request."""

    def __init__(
        self,
        broker: Broker,
        strategy: ConnectionStrategy | str = ConnectionStrategy.WEIGHTED_ROUND_ROBIN,
        *,
        weights: Mapping[str, float] | None = None,
        cache: Answers | None = None,
        clock: Clock | None = None,
        role: str = "client",
    ) -> None:
        """`weights` are by the venues' names on the wire, 100 where none is given."""
        self._clock = clock or SystemClock()
        self._requester = Requester(broker, role)
        self._router = Router(ConnectionStrategy(strategy))
        self._weights = dict(weights or {})
        self._cache = cache
        self._venues = KnownVenues(broker, role, self._clock)
        self._requests = self._ended = self._successes = 0
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
        """Listen to the fleet."""
        self._venues.start()

    async def close(self) -> None:
        await self._requester.close()
        await self._venues.close()

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
        priority: Priority | str = Priority.NORMAL,
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
            "priority": Priority(priority).value,
        }
        exchange_id = self._venues.named(exchange_id)
        if max_age is not None:
            request["max_age_ms"] = round(1000 * max_age)
        if self._cache is None or known.cache is None or max_age == 0:
            return await self._timed(known, request, exchange_id, timeout)
        key = f"{exchange_id}:{known.name}:{orjson.dumps(arguments).decode()}"
        try:
            async with asyncio.timeout(timeout):
                found = await self._cache.get_or_load(
                    known.cache,
                    key,
                    lambda: self._timed(known, request, exchange_id, timeout),
                    max_age,
                )
        except TimeoutError:
            raise errors.NetworkError(f"no answer within {timeout:g} s") from None
        return found.value

    async def acquire_permit(
        self, exchange_id: str, method: str, priority: Priority | str = Priority.NORMAL
    ) -> bool:
        """Whether a request like `method` may go to a venue now; then it counts as made. For who
        speaks to the venue himself, from behind the address of its collector."""
        return bool(
            await self.execute_request(
                "acquire_permit", _snake(method), exchange_id=exchange_id, priority=priority
            )
        )

    async def get_remaining_requests(
        self, exchange_id: str, method: str, priority: Priority | str = Priority.NORMAL
    ) -> int:
        """How many such requests the venue's budget has for somebody of that priority, at once."""
        return int(
            await self.execute_request(
                "get_remaining_requests", _snake(method), exchange_id=exchange_id, priority=priority
            )
        )

    async def get_exchange_status(self, exchange_id: str) -> dict[str, Any]:
        """How one venue is, see `KnownVenue.status`. Raises ExchangeError for one that is not heard
        of within some seconds."""
        end = self._clock.monotonic() + _FIRST_S
        while (venue := self._venues.heard(exchange_id)) is None:
            if self._clock.monotonic() > end:
                raise errors.ExchangeError(f"nothing was heard of {exchange_id!r}")
            await self._clock.sleep(_LOOK_S)
        return self._status(venue)

    def _status(self, venue: KnownVenue) -> dict[str, Any]:
        weight = self._weights.get(venue.exchange, 100.0)
        return venue.status(self._clock.monotonic(), weight)

    def top_symbols(self, exchange_id: str, count: int) -> list[str]:
        """Those with the largest turnover of 24 hours, as its collector knows it."""
        venue = self._venues.heard(exchange_id)
        turnover = venue.turnover if venue else {}
        return sorted(turnover, key=lambda symbol: -turnover[symbol])[:count]

    async def get_all_exchanges(self) -> dict[str, dict[str, Any]]:
        """The same of all that are heard of; of none only after some seconds without one."""
        await self._venues.first(_FIRST_S)
        return {name: self._status(venue) for name, venue in sorted(self._venues.each.items())}

    def get_statistics(self) -> dict[str, Any]:
        """Of this manager; `average_response_time` in seconds, of the requests that have ended."""
        now, venues = self._clock.monotonic(), self._venues.each
        healthy = sum(venue.is_healthy(now) for venue in venues.values())
        return {
            "total_exchanges": len(venues),
            "healthy_exchanges": healthy,
            "failed_exchanges": len(venues) - healthy,
            "total_requests": self._requests,
            "successful_requests": self._successes,
            "failed_requests": self._ended - self._successes,
            "average_response_time": self._took_s / self._ended if self._ended else 0.0,
        }

    async def _timed(
        self, method: Method, request: dict[str, Any], exchange_id: str | None, timeout_s: float
    ) -> Any:
        began = self._clock.monotonic()
        self._requests += 1
        try:
            result = await self._executed(method, request, exchange_id, began + timeout_s)
            self._successes += 1
            return result
        finally:
            self._ended += 1
            self._took_s += self._clock.monotonic() - began

    async def _executed(
        self, method: Method, request: dict[str, Any], exchange_id: str | None, deadline: float
    ) -> Any:
        if exchange_id is None:
            await self._venues.first(min(_FIRST_S, self._left_s(deadline)))
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
        venue = self._venues.each.get(exchange) or self._venues.unknown(exchange)
        began = self._clock.monotonic()
        venue.in_flight += 1
        if venue.breaker.state == "OPEN" and venue.breaker.open_for_s == 0:
            venue.breaker.admit()
        try:
            reply = await self._requester.ask(exchange, request, timeout_s)
        except TimeoutError:
            trouble = Trouble("timeout", f"{exchange} did not answer within {timeout_s:.1f} s")
            reply = Reply("", exchange, "", error=trouble)
        except UnservedError as error:
            reply = Reply("", exchange, "", error=Trouble("unavailable", str(error)))
        except errors.BrokerError as error:
            reply = Reply("", exchange, "", error=Trouble("network", str(error)))
        except asyncio.CancelledError:
            venue.breaker.dropped()
            raise
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
        now = self._clock.monotonic()
        symbols = arguments.get("symbols") or [arguments.get("symbol")]
        able = [
            Candidate(
                venue.exchange,
                self._weights.get(venue.exchange, 100.0),
                venue.score,
                venue.latency_s,
                venue.in_flight,
            )
            for venue in self._venues.each.values()
            if venue.is_there(now) and method.name in venue.methods
            if all(symbol is None or symbol in venue.symbols for symbol in symbols)
        ]
        return [one.exchange for one in self._router.order(able)]

    def _left_s(self, deadline: float) -> float:
        return deadline - self._clock.monotonic()


def _patience_s(left_s: float) -> float:
    return max(_LEAST_S, min(_MOST_S, left_s / 2))


def _raised(trouble: Trouble) -> errors.CryptoCollectorException:
    if trouble.code == "rate_limited":
        return errors.RateLimitedError(trouble.message, trouble.retry_after_s or 0.0)
    made: dict[str, Callable[[str], errors.CryptoCollectorException]] = {
        "invalid_request": errors.DataProcessingError,
        "symbol_not_listed": errors.SymbolNotListedError,
        "unavailable": errors.CircuitBreakerOpenError,
        "overloaded": errors.CircuitBreakerOpenError,
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
