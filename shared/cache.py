"""Answers that are given again for a while: in this process, then in Redis.

Many who wait for one answer share one load. Where a load fails, the answer before it is given once
more, for a bounded time, and counted.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from cachetools import LRUCache

from shared.clock import Clock
from shared.config.live import Live
from shared.config.sections import Cache as CacheConfig
from shared.config.values import CacheType
from shared.errors import ExchangeError
from shared.reactions import row_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: An answer that is too old is given for so many times its life where a load fails.
STALE_TIMES = 10
#: Redis is not worth a longer wait.
_ANSWER_S = 0.05
#: How long Redis is left alone that did not answer.
_PAUSE_S = 1.0
_PREFIX = "fleet:cache:1"
#: So many values are set between two looks for those that are of no use any more.
_SWEEP_EACH = 256

log = logging.getLogger("main")


class Entry(NamedTuple):
    """A value, when it was loaded and until when it is fresh (monotonic seconds)."""

    value: Any
    at: float
    until: float

    @property
    def forgotten_at(self) -> float:
        """From when on it is of no use even where a load fails."""
        return self.at + STALE_TIMES * (self.until - self.at)


class Found(NamedTuple):
    """A value, how old it is in seconds, and where it was: memory, redis, loaded, stale."""

    value: Any
    age_s: float
    where: str


@dataclass(slots=True)
class _Counts:
    hits: int = 0
    misses: int = 0
    redis_hits: int = 0
    stale: int = 0
    evicted: int = 0


class _Entries(LRUCache[str, Entry]):
    """The least recently used gives way, and is counted."""

    def __init__(self, size: int, counts: _Counts) -> None:
        super().__init__(maxsize=size)
        self._counts = counts

    def popitem(self) -> tuple[str, Entry]:
        self._counts.evicted += 1
        return super().popitem()


class CacheManager:
    """By type (`ticker`, `funding_rate`, `order_book`, `market_data`) and key; each type has its
    own life and size, see `cache` in the configuration."""

    def __init__(
        self, config: Live[CacheConfig], clock: Clock, redis: "Redis | None" = None
    ) -> None:
        self._config = config
        self._clock = clock
        self._redis = redis
        self._redis_again_at = 0.0
        self._counts: dict[CacheType, _Counts] = {}
        self._entries: dict[CacheType, _Entries] = {}
        self._loads: dict[tuple[CacheType, str, float | None], asyncio.Future[Found]] = {}
        self._puts = 0

    def get(self, cache_type: CacheType, key: str) -> Any | None:
        """A fresh value of this process, else None. Counts."""
        entry = self._fresh(cache_type, key)
        self._count(cache_type, hit=entry is not None)
        return entry.value if entry is not None else None

    def set(self, cache_type: CacheType, key: str, value: Any, ttl: float | None = None) -> None:
        """Keep a value for `ttl` seconds, by default as long as its type lives."""
        if not self._config.value.enabled:
            return
        now = self._clock.monotonic()
        life_s = self._config.value.limits(cache_type)[0] if ttl is None else ttl
        self._put(cache_type, key, Entry(value, now, now + life_s))

    def delete(self, cache_type: CacheType, key: str) -> bool:
        """Whether there was one, fresh or not."""
        return self._of(cache_type).pop(key, None) is not None

    def clear(self, cache_type: CacheType | None = None) -> None:
        for one in [cache_type] if cache_type else list(self._entries):
            self._of(one).clear()

    async def get_or_load(
        self,
        cache_type: CacheType,
        key: str,
        load: Callable[[], Awaitable[Any]],
        max_age_s: float | None = None,
    ) -> Found:
        """A fresh value, else what `load` gives, which all share who ask meanwhile; where that
        fails an old one. None is older than `max_age_s`. Raises what `load` raises where there is
        none. `load` goes on when who asks is cancelled: it has to end by itself."""
        entry = self._fresh(cache_type, key)
        if entry is not None and self._is_older(entry, max_age_s):
            entry = None
        self._count(cache_type, hit=entry is not None)
        if entry is not None:
            return Found(entry.value, self._clock.monotonic() - entry.at, "memory")
        of = (cache_type, key, max_age_s)
        loading = self._loads.get(of)
        if loading is None:
            loading = asyncio.ensure_future(self._loaded(cache_type, key, load, max_age_s))
            self._loads[of] = loading
            loading.add_done_callback(lambda _: self._loads.pop(of, None))
            loading.add_done_callback(_heard)
        return await asyncio.shield(loading)

    def get_cache_stats(self) -> dict[str, dict[str, Any]]:
        """By type: hits, misses, hit_rate, size, max_size and more."""
        stats = {}
        for cache_type, counts in self._counts.items():
            asked = counts.hits + counts.misses
            stats[str(cache_type)] = {
                "hits": counts.hits,
                "misses": counts.misses,
                "hit_rate": round(counts.hits / asked, 3) if asked else 0.0,
                "size": len(self._of(cache_type)),
                "max_size": self._of(cache_type).maxsize,
                "redis_hits": counts.redis_hits,
                "stale": counts.stale,
                "evicted": counts.evicted,
            }
        return stats

    async def _loaded(
        self,
        cache_type: CacheType,
        key: str,
        load: Callable[[], Awaitable[Any]],
        max_age_s: float | None,
    ) -> Found:
        shared = await self._from_redis(cache_type, key)
        if shared is not None and (max_age_s is None or shared.age_s <= max_age_s):
            self._counts[cache_type].redis_hits += 1
            return shared
        try:
            value = await load()
        except ExchangeError:
            old = self._old(cache_type, key)
            if old is None or self._is_older(old, max_age_s):
                raise
            self._counts[cache_type].stale += 1
            return Found(old.value, self._clock.monotonic() - old.at, "stale")
        self.set(cache_type, key, value)
        await self._to_redis(cache_type, key, value)
        return Found(value, 0.0, "loaded")

    def _fresh(self, cache_type: CacheType, key: str) -> Entry | None:
        if not self._config.value.enabled:
            return None
        entry = self._of(cache_type).get(key)
        if entry is None or self._clock.monotonic() >= entry.until:
            return None
        return entry

    def _old(self, cache_type: CacheType, key: str) -> Entry | None:
        entry = self._of(cache_type).get(key)
        return entry if entry is not None and self._clock.monotonic() < entry.forgotten_at else None

    def _is_older(self, entry: Entry, max_age_s: float | None) -> bool:
        return max_age_s is not None and self._clock.monotonic() - entry.at > max_age_s

    def _put(self, cache_type: CacheType, key: str, entry: Entry) -> None:
        """Now and then what is of no use to anybody gives way."""
        entries, self._puts = self._of(cache_type), self._puts + 1
        entries[key] = entry
        if self._puts % _SWEEP_EACH:
            return
        now = self._clock.monotonic()
        for key in [key for key, entry in entries.items() if now >= entry.forgotten_at]:
            del entries[key]

    def _of(self, cache_type: CacheType) -> _Entries:
        size = self._config.value.limits(cache_type)[1]
        entries = self._entries.get(cache_type)
        if entries is None or entries.maxsize != size:
            counts = self._counts.setdefault(cache_type, _Counts())
            old, entries = entries, _Entries(size, counts)
            entries.update(old or {})
            self._entries[cache_type] = entries
        return entries

    def _count(self, cache_type: CacheType, *, hit: bool) -> None:
        counts = self._counts.setdefault(cache_type, _Counts())
        if hit:
            counts.hits += 1
        else:
            counts.misses += 1

    async def _from_redis(self, cache_type: CacheType, key: str) -> Found | None:
        """What another process loaded. It goes on living here for what is left of its life."""
        raw = await self._asked("get", _name(cache_type, key))
        if raw is None:
            return None
        try:
            loaded_ms, until_ms, value = orjson.loads(raw)
        except (orjson.JSONDecodeError, ValueError):
            return None
        left_s = (until_ms - self._clock.now_ms()) / 1000
        if left_s <= 0:
            return None
        age_s = max(0.0, (self._clock.now_ms() - loaded_ms) / 1000)
        now = self._clock.monotonic()
        self._put(cache_type, key, Entry(value, now - age_s, now + left_s))
        return Found(value, age_s, "redis")

    async def _to_redis(self, cache_type: CacheType, key: str, value: Any) -> None:
        life_ms = round(1000 * self._config.value.limits(cache_type)[0])
        now_ms = self._clock.now_ms()
        raw = orjson.dumps((now_ms, now_ms + life_ms, value), default=str)
        await self._asked("set", _name(cache_type, key), raw, px=max(1, life_ms))

    async def _asked(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A Redis that is away costs its deadline once in a while, and nothing else."""
        if self._redis is None or self._clock.monotonic() < self._redis_again_at:
            return None
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await getattr(self._redis, method)(*arguments, **options)
        except Exception as error:
            if row_of(error) is None:
                raise
            log.debug("The cache does without Redis: %r", error)
            self._redis_again_at = self._clock.monotonic() + _PAUSE_S
            return None


def _name(cache_type: CacheType, key: str) -> str:
    return f"{_PREFIX}:{cache_type}:{key}"


def _heard(load: "asyncio.Future[Found]") -> None:
    """Whoever waited may be gone."""
    if not load.cancelled():
        load.exception()
