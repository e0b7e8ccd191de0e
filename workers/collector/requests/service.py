"""The requests of other processes, as the configuration has them: cached, by priority, bounded."""

from typing import Any

from shared.broker import Broker
from shared.budget import LEAST_USER_RESERVE, USER_RESERVE, Standing
from shared.cache import CacheManager
from shared.clock import Clock
from shared.config import Settings
from shared.config.live import Live
from shared.errors import RateLimitedError
from shared.redis_buckets import connected
from shared.requests import METHODS, Method, Priority, Request
from workers.collector.client import VenueClient
from workers.collector.requests.desk import RequestDesk
from workers.collector.requests.live import LiveAnswers

#: Places in the queue of the budget: HIGH beside funding, LOW beside backfills.
#: Waiting lifts none of them above what is live.
_HIGHEST = 1.5
#: A ban that lasts longer is no wait but an answer.
_BRIEFLY_S = 1.0
_RANKS = {Priority.HIGH: 2.0, Priority.NORMAL: 3.0, Priority.LOW: 4.0}


class RequestService:
    """Wires the desk to the venue; `run` serves for ever."""

    def __init__(
        self, settings: Settings, exchange: str, worker: str, client: VenueClient, live: LiveAnswers
    ) -> None:
        config = settings.config
        clock: Clock = client.clock
        self._client = client
        self._cache_config = Live(config.cache)
        self._redis = connected(config.redis) if config.redis.host is not None else None
        self.cache = CacheManager(self._cache_config, clock, self._redis)
        self.desk = RequestDesk(exchange, worker, live, self.cache, self._ask, clock)
        self.desk.at_once = config.performance.max_concurrent_requests
        self._multipliers = config.rate_limiting.priority_multiplier

    def reconfigure(self, settings: Settings) -> None:
        """Take up what needs no restart."""
        self._cache_config.value = settings.config.cache
        self._multipliers = settings.config.rate_limiting.priority_multiplier

    async def run(self, broker: Broker) -> None:
        await self.desk.run(broker)

    async def close(self) -> None:
        await self.desk.close()
        if self._redis is not None:
            await self._redis.aclose()

    def as_dict(self) -> dict[str, Any]:
        """For heartbeats; empty where nothing was asked."""
        counts = dict(self.desk.counts)
        return counts | {"busy": self.desk.busy} if counts else {}

    async def _ask(self, method: Method, request: Request) -> Any:
        multiplier = getattr(self._multipliers, request.priority.value)
        reserve = min(0.9, max(LEAST_USER_RESERVE, USER_RESERVE * multiplier))
        standing = Standing(_RANKS[request.priority], reserve, _HIGHEST)
        if not method.of_budget:
            banned_s = self._client.budget.banned_s
            if banned_s > _BRIEFLY_S:
                raise RateLimitedError("the venue asked us to wait", banned_s)
            return await self._client.call(method, request, standing)
        subject, symbol = METHODS[request.arguments["method"]], request.arguments.get("symbol")
        charges = await self._client.price(subject, symbol)
        budget = self._client.budget
        if method.name == "acquire_permit":
            return await budget.attempt(charges, standing)
        return await budget.remaining(charges, standing)
