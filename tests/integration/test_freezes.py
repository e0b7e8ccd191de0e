"""Collectors that stand still for a while, and connections that are cut again and again."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from shared.broker import Broker
from shared.topology import topology
from simulator.universe import instrument, quote_of
from tests.collecting import Consumer, Fleet, collecting, reading
from tests.venues import VENUES, Simulator, listed, simulated_venues
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
SYMBOLS = (BTC, ETH)
SEED = 17
RATES = ("--ticker-rate", "5", "--book-rate", "5", "--trade-rate", "10", "--symbols", "2")
#: The bars: fresh data this long after the process goes on, or after connections have healed.
THAWED_S, HEALED_S = 5.0, 5.0
#: How old a book may be that goes into FuturesData; below the length of the freeze.
BOOK_AGE_S = 5.0
#: Venues that end the connections of a client which does not answer; the others wait for it.
GIVE_UP = ("htx", "okx", "coinbaseinternational")
#: What file descriptors and tasks may differ by at two moments: requests that are under way.
SPREAD = 12


def key(kind: str, venue: str, symbol: str) -> str:
    return f"{kind}.{venue}.{symbol.split('/')[0]}{quote_of(venue)}"


# --- a process that stands still


@pytest.mark.deadline(120)
async def test_a_collector_that_stood_still_goes_on_and_lost_nothing(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    await _freezes(("binance", "htx"), 10, broker_url, tmp_path, record_property)


@pytest.mark.long
@pytest.mark.deadline(900)
async def test_collectors_of_all_venues_that_stood_still_for_a_minute(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    await _freezes(VENUES, 60, broker_url, tmp_path, record_property)


async def _freezes(
    venues: tuple[str, ...],
    seconds: float,
    broker_url: str,
    directory: Path,
    record: Callable[[str, object], None],
) -> None:
    async with (
        simulated_venues(directory, *RATES) as simulator,
        reading(Broker(broker_url, "test", topology("futures_data"), declares=True)) as consumer,
        asyncio.TaskGroup() as tasks,
    ):
        played = {}
        for venue in venues:
            (directory / venue).mkdir()
            play = _frozen(venue, seconds, simulator, (consumer, broker_url), directory / venue)
            played[venue] = tasks.create_task(play)
    for venue, task in played.items():
        record(venue, task.result())


@asynccontextmanager
async def process_of(
    venue: str, simulator: Simulator, broker_url: str, directory: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    config = simulator.config((venue,), symbols=[listed(venue, one) for one in SYMBOLS])
    config["collection"] = {"max_age": {"orderbook_s": BOOK_AGE_S}}
    path = directory / "config.json"
    path.write_bytes(orjson.dumps(config))
    environment = {"AMQP_URL": broker_url, "FLEET_CONFIG": str(path), "FLEET_HOST_ID": "host.a"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.collector", venue),
        cwd=ROOT,
        env=os.environ | environment | {"FLEET_HOME": str(directory)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        await process.wait()


async def _frozen(
    venue: str,
    seconds: float,
    simulator: Simulator,
    broker: tuple[Consumer, str],
    directory: Path,
) -> dict[str, float]:
    consumer, broker_url = broker
    awaited = {key(k, venue, s) for k in ("trades", "futures", "orderbook") for s in SYMBOLS}
    async with process_of(venue, simulator, broker_url, directory) as process:
        await eventually(lambda: awaited <= consumer.routing_keys(), 40, f"{venue}: all up")
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds / 2)
        if venue in GIVE_UP:
            await simulator.fault(venue, "cut", seed=SEED)
        await asyncio.sleep(seconds / 2)
        thawed = time.time()
        process.send_signal(signal.SIGCONT)
        await eventually(lambda: _fresh(consumer, venue, thawed), 30, f"{venue}: fresh again", 0.1)
        fresh_s = time.time() - thawed
        assert fresh_s <= THAWED_S, f"{venue}: fresh {fresh_s:.1f} s after it went on"
        await eventually(
            lambda: not _open_gaps(consumer, venue), 60, f"{venue}: gaps are closed", 0.25
        )
        gaps = [gap for gap in _gaps(consumer, venue).values() if gap["kind"] == "trades"]
        assert all(gap["state"] == "repaired" for gap in gaps), f"{venue}: {gaps}"
        assert len(gaps) >= len(SYMBOLS) or venue not in GIVE_UP, f"{venue}: no gap is told"
        figures = {"fresh_s": round(fresh_s, 2), "gaps": float(len(gaps))}
        for symbol in SYMBOLS:
            await _every_trade(simulator, consumer, venue, symbol)
        assert process.returncode is None, f"{venue}: it ended"
    _nothing_false(consumer, venue)
    return figures


def _fresh(consumer: Consumer, venue: str, thawed: float) -> bool:
    """Whether every symbol has a quote, a trade and a book that the venue made since then."""
    return all(
        any(body["timestamp"] and body["timestamp"] / 1000 > thawed for body in bodies[-20:])
        for symbol in SYMBOLS
        for bodies in (
            consumer.bodies(key(k, venue, symbol)) for k in ("ticker", "trades", "orderbook")
        )
    )


def _gaps(consumer: Consumer, venue: str) -> dict[str, dict[str, Any]]:
    """By id, the latest revision."""
    gaps: dict[str, dict[str, Any]] = {}
    for symbol in SYMBOLS:
        for body in consumer.bodies(key("gap", venue, symbol)):
            if body["id"] not in gaps or gaps[body["id"]]["rev"] < body["rev"]:
                gaps[body["id"]] = body
    return gaps


def _open_gaps(consumer: Consumer, venue: str) -> list[dict[str, Any]]:
    return [gap for gap in _gaps(consumer, venue).values() if gap["state"] == "open"]


async def _every_trade(simulator: Simulator, consumer: Consumer, venue: str, symbol: str) -> None:
    """All that happened since the first one; one that came twice came under the same id."""
    market = symbol.split("/")[0]
    rows = await simulator.trades(venue, instrument(venue, market, "1").id)
    happened, name = [str(row["id"]) for row in rows], key("trades", venue, symbol)

    def came() -> list[str]:
        return [
            str(int(body["id"]) - fill) if body["fills"] > 1 else body["id"]
            for body in consumer.bodies(name)
            for fill in range(body["fills"])
        ]

    first = min(happened.index(i) for i in came()[:5] if i in happened)
    awaited = set(happened[first:])
    what = f"{venue}: trades of {symbol}"
    await eventually(lambda: awaited <= set(came()), 20, what, 0.25)
    ids = {m.message_id for m in consumer.messages if m.routing_key == name}
    assert len(ids) == len({body["id"] for body in consumer.bodies(name)}), f"{what}: twice"


def _nothing_false(consumer: Consumer, venue: str) -> None:
    """No book is crossed or goes back, and none that is too old is told as the book of now."""
    for symbol in SYMBOLS:
        before = 0
        for body in consumer.bodies(key("orderbook", venue, symbol)):
            assert body["bids"][0][0] <= body["asks"][0][0], f"{venue}: crossed"
            assert body["timestamp"] >= before, f"{venue}: {symbol}: a book of before"
            before = body["timestamp"]
        for body in consumer.bodies(key("futures", venue, symbol)):
            age_ms = body["timestamp"] - body["orderbook"]["timestamp"]
            assert age_ms <= 1000 * (BOOK_AGE_S + 1), f"{venue}: {symbol}: a book {age_ms} ms old"


# --- connections that hang, and heal


@pytest.mark.deadline(150)
async def test_connections_that_hung_speak_again_soon_after_they_heal(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    fleets: dict[str, Fleet] = {}
    async with (
        simulated_venues(tmp_path, *RATES) as simulator,
        _all_collecting(simulator, broker_url, tmp_path, fleets),
        asyncio.TaskGroup() as tasks,
    ):
        await eventually(lambda: all(map(_up, fleets.values())), 60, "all are up")
        await asyncio.sleep(2)
        hung = {
            venue: tasks.create_task(_hung(venue, simulator, fleet))
            for venue, fleet in fleets.items()
        }
        for venue, task in hung.items():
            record_property(venue, await task)


async def _hung(venue: str, simulator: Simulator, fleet: Fleet) -> float:
    """Connections and those that come later hang for longer than it takes to notice; seconds from
    their healing to fresh data."""
    id_ = await simulator.fault(venue, "half_open", all=True, seed=SEED)
    await eventually(lambda: not _up(fleet), 15, f"{venue}: noticed")
    await asyncio.sleep(4)
    await simulator.heal(id_)
    healed = time.time()
    await eventually(lambda: _fresh(fleet.consumer, venue, healed), 30, f"{venue}: fresh", 0.1)
    fresh_s = time.time() - healed
    assert fresh_s <= HEALED_S, f"{venue}, seed {SEED}: fresh {fresh_s:.1f} s after it healed"
    await eventually(lambda: _whole(fleet), 60, f"{venue}: whole")
    for symbol in SYMBOLS:
        await _every_trade(simulator, fleet.consumer, venue, symbol)
    _once(fleet, venue)
    return round(fresh_s, 2)


# --- connections that are cut


@pytest.mark.deadline(150)
async def test_three_cuts_lose_no_trade_and_leave_nothing_behind(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    await _cuts(3, 3.0, broker_url, tmp_path, record_property)


@pytest.mark.long
@pytest.mark.deadline(900)
async def test_fifty_cuts_in_five_minutes(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    await _cuts(50, 6.0, broker_url, tmp_path, record_property)


async def _cuts(
    count: int,
    pause_s: float,
    broker_url: str,
    directory: Path,
    record: Callable[[str, object], None],
) -> None:
    fleets: dict[str, Fleet] = {}
    async with (
        simulated_venues(directory, *RATES) as simulator,
        _all_collecting(simulator, broker_url, directory, fleets),
    ):
        await eventually(lambda: all(map(_up, fleets.values())), 60, "all are up")
        await asyncio.sleep(2)
        subscribed = {venue: await _subscribed(simulator, venue) for venue in VENUES}
        before, moments = _resources(), random.Random(SEED)
        for _ in range(count):
            for venue in VENUES:
                await simulator.fault(venue, "cut")
            await asyncio.sleep(pause_s * moments.uniform(0.8, 1.2))
        what = f"after {count} cuts, seed {SEED}"
        await eventually(lambda: all(map(_whole, fleets.values())), 60, f"{what}: all whole")
        for venue, fleet in fleets.items():
            assert await _subscribed(simulator, venue) == subscribed[venue], f"{venue} {what}"
            for symbol in SYMBOLS:
                await _every_trade(simulator, fleet.consumer, venue, symbol)
            _once(fleet, venue)
        await eventually(lambda: _flat(before), 20, f"{what}: {before} became {_resources()}")
        record("resources", {"before": before, "after": _resources()})


@asynccontextmanager
async def _all_collecting(
    simulator: Simulator, broker_url: str, directory: Path, fleets: dict[str, Fleet]
) -> AsyncIterator[None]:
    """A collector of each venue in this process, started and ended together."""
    ready, end = asyncio.Barrier(len(VENUES) + 1), asyncio.Event()

    async def keep(venue: str) -> None:
        (directory / venue).mkdir()
        config = simulator.config((venue,), symbols=[listed(venue, one) for one in SYMBOLS])
        async with collecting(venue, config, broker_url, directory / venue) as fleet:
            fleets[venue] = fleet
            await ready.wait()
            await end.wait()

    async with asyncio.TaskGroup() as tasks:
        for venue in VENUES:
            tasks.create_task(keep(venue))
        await ready.wait()
        try:
            yield
        finally:
            end.set()


async def _subscribed(simulator: Simulator, venue: str) -> dict[str, list[str]]:
    return {s: sorted(names) for s, names in (await simulator.subscriptions(venue)).items()}


def _up(fleet: Fleet) -> bool:
    parts = fleet.collector.intake.parts.values()
    return len(parts) == len(SYMBOLS) and all(
        one.book is not None and not one.waiting & set(one.pulses) for one in parts
    )


def _whole(fleet: Fleet) -> bool:
    gaps: Any = fleet.collector.continuity.gaps
    return _up(fleet) and not len(gaps)


def _once(fleet: Fleet, venue: str) -> None:
    for symbol in SYMBOLS:
        ids = [body["id"] for body in fleet.consumer.bodies(key("trades", venue, symbol))]
        assert len(ids) == len(set(ids)), f"{venue}: {symbol}: trades came twice"


def _resources() -> tuple[int, int]:
    """File descriptors and tasks."""
    return psutil.Process().num_fds(), len(asyncio.all_tasks())


def _flat(before: tuple[int, int]) -> bool:
    return all(now <= then + SPREAD for now, then in zip(_resources(), before, strict=True))
