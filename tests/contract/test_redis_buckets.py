"""Buckets in Redis and buckets in a process keep the same arithmetic; whatever happens to the
server, nobody gets more than there is."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import redis_buckets
from shared.bans import Bans
from shared.buckets import Buckets, Take
from shared.budget import Budget, RequestClass
from shared.clock import SystemClock
from shared.errors import ConfigurationError, StoreError
from shared.limits import SHARE, Rule, Used, VenueLimits
from shared.redis_buckets import RedisBuckets, connected
from tests.fakes import FakeClock
from tests.redis_server import RedisServer, private_redis
from tests.waiting import eventually

#: 100 requests a second, of which 80 are ours.
RULE = Rule("weight", 100, 1.0)
LIMITS = VenueLimits("v", (RULE,))
ONE = LIMITS.charges("")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    try:
        with private_redis(tmp_path_factory.mktemp("redis")) as server:
            yield server
    except ConfigurationError as error:
        from tests.conftest import missing

        missing(str(error))


#: What is about the deadline of an answer.
_QUICK = ("test_three_share_one_limit_whatever_happens_to_redis", "test_the_fallback_is_quick")


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All others are about what is answered, on a machine that may be busy."""
    if request.node.name not in _QUICK:
        monkeypatch.setattr(redis_buckets, "ANSWER_S", 5.0)


@asynccontextmanager
async def buckets_at(server: RedisServer, name: str) -> AsyncIterator[RedisBuckets]:
    buckets = RedisBuckets(connected(server.config), "v", name)
    try:
        yield buckets
    finally:
        await buckets.close()


steps = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "ab"]),
        st.floats(0.001, 2.0),  # cost, seconds of flow
        st.sampled_from([0.0, 0.1, 0.5]),  # reserve
        st.floats(0.0, 1.5),  # time that passes first
        st.booleans(),  # whether somebody else had it
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
async def test_both_grant_the_same_on_any_schedule(
    server: RedisServer, schedule: list[tuple[str, float, float, float, bool]]
) -> None:
    """Time passes on the server by what is stored in it: each bucket is full so much sooner."""
    clock = FakeClock()
    model = Buckets(clock)
    async with buckets_at(server, f"{id(schedule)}") as buckets:
        server.empty()
        both = [Take(name, 0.0, 1.0, 0.0) for name in "ab"]
        started = await _now_us(buckets)
        model.take(both)  # seen for the first time, and empty
        await buckets.take(both, 0.0)
        for names, cost_s, reserve_s, pause_s, caps in schedule:
            clock.elapsed_s += pause_s
            takes = [Take(name, cost_s, 1.0, reserve_s) for name in names]
            if caps:
                model.cap(takes)
                await _pretend_s_later(buckets, pause_s)
                await buckets.cap(takes)
                continue
            wait_s = model.wait_s(takes)
            if wait_s <= 0:
                model.take(takes)
            await _pretend_s_later(buckets, pause_s)
            answer = await buckets.take(takes, 0.0)
            drift_s = (await _now_us(buckets) - started) / 1e6
            assert answer.wait_s == pytest.approx(wait_s, abs=drift_s + 0.001) or (
                min(answer.wait_s, wait_s) == 0 and max(answer.wait_s, wait_s) <= drift_s + 0.001
            )
            if (answer.wait_s > 0) != (wait_s > 0):
                return  # within the drift: what follows is another schedule


async def _now_us(buckets: RedisBuckets) -> int:
    seconds, micros = await buckets._redis.time()
    return int(seconds) * 1_000_000 + int(micros)


async def _pretend_s_later(buckets: RedisBuckets, seconds: float) -> None:
    shift = round(seconds * 1_000_000)
    for name in ("a", "b"):
        key = f"{buckets._prefix}{name}"
        value = await buckets._redis.get(key)
        if value is not None:
            assert isinstance(value, bytes)
            run, full_at = value.decode().split(":")
            await buckets._redis.set(key, f"{run}:{int(full_at) - shift}")
        if name in buckets.seen:
            buckets.seen[name] -= shift


async def test_a_bucket_starts_empty_and_one_that_was_emptied_does(server: RedisServer) -> None:
    take = Take("x", 0.5, 1.0, 0.0)
    async with buckets_at(server, "empty") as one:
        assert (await one.take([take], 0.0)).wait_s == pytest.approx(0.5, abs=0.05)
    server.empty()
    async with buckets_at(server, "empty") as another:
        assert (await another.take([take], 0.0)).wait_s == pytest.approx(0.5, abs=0.05)


async def test_what_a_process_has_seen_survives_an_emptied_and_a_restored_server(
    server: RedisServer,
) -> None:
    take = Take("x", 1.0, 1.0, 0.0)
    async with buckets_at(server, "seen") as buckets:
        await buckets.take([take], 0.0)
        await asyncio.sleep(1.05)
        server.save()
        assert (await buckets.take([take], 0.0)).wait_s == 0
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)  # as it was before that
        await _answers(buckets)
        assert (await buckets.take([take], 0.0)).wait_s > 0.5
        server.empty()
        assert (await buckets.take([take], 0.0)).wait_s > 0.4


async def test_what_a_backup_has_is_worth_nothing_to_who_comes_first(server: RedisServer) -> None:
    take = Take("x", 0.5, 1.0, 0.0)
    async with buckets_at(server, "backup") as before:
        await before.take([take], 0.0)
    await asyncio.sleep(1.05)  # a bucket that is as good as full
    server.save()
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    async with buckets_at(server, "backup") as first:
        assert (await first.take([take], 0.0)).wait_s > 0.4


async def test_one_who_saw_it_long_ago_fills_no_bucket_that_was_lost(server: RedisServer) -> None:
    take = Take("x", 0.5, 1.0, 0.0)
    async with buckets_at(server, "idle") as idle:
        await idle.take([take], 0.0)
        await asyncio.sleep(1.05)
        server.empty()
        assert (await idle.take([take], 0.0)).wait_s > 0.4


async def test_a_ban_that_redis_missed_is_told_when_it_is_back(
    server: RedisServer, tmp_path: Path
) -> None:
    [one] = budgets(server, "missed", 1, tmp_path / "near")
    [far] = budgets(server, "missed", 1, tmp_path / "far")
    await asyncio.to_thread(server.kill)
    one.ban(4)
    waiting = asyncio.create_task(one.acquire(ONE, RequestClass.CONTROL))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(server.start)
    await asyncio.sleep(1.7)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await far.acquire(ONE, RequestClass.CONTROL)
    assert loop.time() - began >= 1.0
    await waiting
    await _closed([one, far])


async def _answers(buckets: RedisBuckets) -> None:
    for _ in range(100):
        try:
            await buckets.take([], 0.0)
            return
        except StoreError:
            await asyncio.sleep(0.02)


async def test_all_of_several_buckets_or_none(server: RedisServer) -> None:
    async with buckets_at(server, "several") as buckets:
        await buckets.take([Take("a", 1, 1, 0), Take("b", 1, 1, 0)], 0.0)
        await asyncio.sleep(1.05)
        assert (await buckets.take([Take("a", 1, 1, 0)], 0.0)).wait_s == 0
        both = [Take("a", 0.5, 1, 0), Take("b", 1, 1, 0)]
        assert (await buckets.take(both, 0.0)).wait_s > 0.3
        assert (await buckets.take([Take("b", 1, 1, 0)], 0.0)).wait_s == 0


async def test_a_ban_holds_for_everybody_and_a_shorter_one_does_not_lift_it(
    server: RedisServer,
) -> None:
    async with buckets_at(server, "ban") as one, buckets_at(server, "ban") as other:
        await one.ban(30)
        await one.ban(1)
        answer = await other.take([], 0.0)
        assert answer.ban_s == pytest.approx(30, abs=0.5)
        assert answer.wait_s == answer.ban_s


def budgets(server: RedisServer, egress: str, count: int, directory: Path) -> list[Budget]:
    made = []
    for _ in range(count):
        shared = RedisBuckets(connected(server.config), "v", egress)
        bans = Bans(directory / f"{egress}.json", SystemClock())
        made.append(Budget(LIMITS, SystemClock(), shared=shared, bans=bans))
        made[-1].share(1 / count)
    return made


async def _closed(many: list[Budget]) -> None:
    for budget in many:
        await budget.close()


async def _spend(budget: Budget, granted: list[float], until: float) -> None:
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        await budget.acquire(ONE, RequestClass.CONTROL)
        granted.append(loop.time())


async def test_three_share_one_limit_whatever_happens_to_redis(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, started empty, frozen: in no second more than the venue allows."""
    many = budgets(server, "three", 3, tmp_path)
    loop = asyncio.get_running_loop()
    granted: list[float] = []
    began = loop.time()

    async def trouble() -> None:
        monkeypatch.setattr(redis_buckets, "ANSWER_S", 5.0)  # a busy machine is no trouble of ours
        await asyncio.sleep(2)
        monkeypatch.undo()
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(2)
        await asyncio.to_thread(server.start)
        await asyncio.sleep(2)
        server.empty()
        await asyncio.sleep(1)
        server.freeze()
        await asyncio.sleep(1)
        server.thaw()

    spending = [_spend(budget, granted, began + 10) for budget in many]
    await asyncio.gather(trouble(), *spending)
    granted.sort()
    most = max(sum(at <= other < at + 1.0 for other in granted) for at in granted[::5])
    assert most <= RULE.weight
    healthy = [at for at in granted if began + 0.5 < at < began + 2]
    limit = RULE.limit()
    assert len(healthy) >= 0.9 * 1.5 * limit.per_second
    assert all(budget.fallbacks >= 1 for budget in many)
    for budget in many:  # one learns that Redis is back by its next request only
        await eventually(partial(_shared_again, budget))
    await _closed(many)


async def _shared_again(budget: Budget) -> bool:
    await budget.acquire(ONE, RequestClass.CONTROL)
    return budget.mode == "shared"


async def test_the_fallback_is_quick(server: RedisServer, tmp_path: Path) -> None:
    [budget] = budgets(server, "quick", 1, tmp_path)
    await budget.acquire(ONE, RequestClass.CONTROL)
    await asyncio.sleep(1.2)  # its own part is there as well
    server.freeze()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await budget.acquire(ONE, RequestClass.CONTROL)
    assert loop.time() - began <= 0.1
    assert budget.mode == "fallback"
    server.thaw()
    await _closed([budget])


async def test_a_ban_reaches_those_who_share_redis_and_those_who_share_the_host(
    server: RedisServer, tmp_path: Path
) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    [one], [by_redis] = budgets(server, "b", 1, near), budgets(server, "b", 1, far)
    by_file = Budget(LIMITS, SystemClock(), bans=Bans(near / "b.json", SystemClock()))
    one.ban(2)
    await asyncio.sleep(0.2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(by_redis.acquire(ONE), by_file.acquire(ONE), one.acquire(ONE))
    assert loop.time() - began >= 1.6
    await _closed([one, by_redis])


async def test_what_others_spent_behind_this_address_is_not_ours(
    server: RedisServer, tmp_path: Path
) -> None:
    [budget] = budgets(server, "foreign", 1, tmp_path)
    await budget.acquire(ONE, RequestClass.CONTROL)
    await asyncio.sleep(1.0)
    budget.used(ONE[0], Used(SHARE * RULE.weight, 0.9))
    await asyncio.sleep(0.05)  # it is told beside all else
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(5):
        await budget.acquire(ONE, RequestClass.CONTROL)
    assert loop.time() - began >= 0.4
    await _closed([budget])
