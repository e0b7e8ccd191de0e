"""Answers that are given again: how long, to how many, and what happens when a load fails."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.cache import STALE_TIMES, CacheManager
from shared.config.live import Live
from shared.config.sections import Cache, CacheLimits
from shared.errors import ExchangeError, NetworkError
from tests.fakes import FakeClock

TYPES = {"ticker": CacheLimits(ttl_s=10, max_size=3)}


class Desk:
    """A cache whose loads the test counts, and lets fail."""

    def __init__(self, **fields: Any) -> None:
        self.clock = FakeClock()
        self.config = Live(Cache.model_validate({"types": TYPES, **fields}))
        self.cache = CacheManager(self.config, self.clock)
        self.loads = 0
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    def load(self, value: Any) -> Callable[[], Awaitable[Any]]:
        async def load() -> Any:
            self.loads += 1
            if self.gate is not None:
                await self.gate.wait()
            if self.error is not None:
                raise self.error
            return value

        return load

    async def ask(self, key: str = "k", value: Any = 1) -> tuple[Any, float, str]:
        return await self.cache.get_or_load("ticker", key, self.load(value))


async def test_an_answer_is_given_again_while_it_is_fresh() -> None:
    desk = Desk()
    assert await desk.ask(value=1) == (1, 0.0, "loaded")
    desk.clock.elapsed_s += 9
    assert await desk.ask(value=2) == (1, 9.0, "memory")
    desk.clock.elapsed_s += 1
    assert await desk.ask(value=2) == (2, 0.0, "loaded")


async def test_many_who_wait_share_one_load_and_one_failure() -> None:
    desk = Desk()
    desk.gate = asyncio.Event()
    asking = [asyncio.create_task(desk.ask()) for _ in range(50)]
    await asyncio.sleep(0.01)
    asking[0].cancel()
    desk.gate.set()
    found = await asyncio.gather(*asking[1:])
    assert {one[0] for one in found} == {1}
    desk.clock.elapsed_s += 1000
    desk.error, desk.gate = NetworkError("down"), asyncio.Event()
    asking = [asyncio.create_task(desk.ask()) for _ in range(5)]
    await asyncio.sleep(0.01)
    desk.gate.set()
    failed = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(one, NetworkError) for one in failed)
    assert desk.loads == 2


async def test_an_old_answer_is_given_where_a_load_fails_and_not_for_ever() -> None:
    desk = Desk()
    await desk.ask(value=1)
    desk.error = ExchangeError("no")
    desk.clock.elapsed_s += 10 * STALE_TIMES - 1
    assert await desk.ask() == (1, 10 * STALE_TIMES - 1, "stale")
    desk.clock.elapsed_s += 1
    with pytest.raises(ExchangeError):
        await desk.ask()
    assert desk.cache.get_cache_stats()["ticker"]["stale"] == 1


async def test_a_fault_of_ours_is_not_hidden_by_an_old_answer() -> None:
    desk = Desk()
    await desk.ask()
    desk.clock.elapsed_s += 11
    desk.error = KeyError("a fault")
    with pytest.raises(KeyError):
        await desk.ask()


async def test_the_least_recently_used_gives_way() -> None:
    desk = Desk()
    for key in "abc":
        await desk.ask(key)
    await desk.ask("a")
    await desk.ask("d")
    assert desk.cache.get("ticker", "b") is None
    assert desk.cache.get("ticker", "a") == 1
    stats = desk.cache.get_cache_stats()["ticker"]
    assert (stats["size"], stats["max_size"], stats["evicted"]) == (3, 3, 1)


async def test_statistics_in_known_words() -> None:
    desk = Desk()
    for _ in range(4):
        await desk.ask()
    stats = desk.cache.get_cache_stats()["ticker"]
    assert (stats["hits"], stats["misses"], stats["hit_rate"]) == (3, 1, 0.75)


async def test_by_hand() -> None:
    desk = Desk()
    cache = desk.cache
    cache.set("funding_rate", "x", 5)
    cache.set("funding_rate", "y", 6, ttl=1)
    desk.clock.elapsed_s += 2
    assert (cache.get("funding_rate", "x"), cache.get("funding_rate", "y")) == (5, None)
    assert (cache.delete("funding_rate", "x"), cache.delete("funding_rate", "x")) == (True, False)
    cache.set("ticker", "z", 7)
    cache.clear()
    assert cache.get("ticker", "z") is None


async def test_a_cache_that_is_off_keeps_nothing() -> None:
    desk = Desk(enabled=False)
    for _ in range(3):
        assert (await desk.ask())[2] == "loaded"


async def test_sizes_and_lives_can_be_others_while_it_runs() -> None:
    desk = Desk()
    for key in "abc":
        await desk.ask(key)
    desk.config.value = Cache(types={"ticker": CacheLimits(ttl_s=1, max_size=2)})
    await desk.ask("d")
    assert desk.cache.get_cache_stats()["ticker"]["size"] == 2
    desk.clock.elapsed_s += 2
    assert desk.cache.get("ticker", "d") is None


async def test_nothing_older_than_is_asked_for_is_given() -> None:
    desk = Desk()
    await desk.ask(value=1)
    desk.clock.elapsed_s += 5
    get = desk.cache.get_or_load
    assert (await get("ticker", "k", desk.load(2), 6.0)).value == 1
    assert (await get("ticker", "k", desk.load(2), 4.0)).value == 2
    desk.clock.elapsed_s += 15
    desk.error = NetworkError("away")
    assert (await get("ticker", "k", desk.load(3), 16.0)).where == "stale"
    with pytest.raises(NetworkError):
        await get("ticker", "k", desk.load(3), 14.0)


async def test_what_is_of_no_use_any_more_gives_way() -> None:
    desk = Desk(types={"ticker": CacheLimits(ttl_s=1, max_size=100_000)})
    for number in range(500):
        desk.cache.set("ticker", str(number), number)
    desk.clock.elapsed_s += STALE_TIMES + 1
    for number in range(256):
        desk.cache.set("ticker", f"new {number}", number)
    assert len(desk.cache._of("ticker")) <= 256
