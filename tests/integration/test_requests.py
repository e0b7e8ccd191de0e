"""Requests to venues over the bus: out of live state, of the venue itself, and of the next one where
a venue fails; judged by the venues' own logs."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aio_pika
import orjson
import pytest

from shared import errors
from shared.broker import Broker
from shared.exchange_manager import ExchangeManager
from shared.requests import METHODS, Priority
from shared.routing import POOR
from shared.topology import REQUESTS, topology
from tests.collecting import Fleet, collecting, each_venue
from tests.venues import Simulator, listed, simulated_venues
from tests.waiting import eventually
from workers.collector.heartbeat import heartbeat

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
#: How soon a venue that fails has to be left alone.
SEEN_S = 2.0
#: Buckets start empty, and that of the funding rates of binance (500 in 5 minutes) fills slowly.
PATIENCE_S = 100
#: Other arguments than symbols.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "fetch_ohlcv": {"timeframe": "1m", "limit": 5},
    "fetch_trades": {"limit": 5},
    "fetch_order_book": {"limit": 5},
}


@asynccontextmanager
async def managing(url: str, **options: Any) -> AsyncIterator[ExchangeManager]:
    broker = Broker(url, "a test", topology("futures_data"), declares=False)
    async with ExchangeManager(broker, **options) as manager:
        yield manager


@pytest.mark.deadline(240)
async def test_every_method_of_every_venue(broker_url: str, tmp_path: Path) -> None:
    await each_venue(_play, broker_url, tmp_path, "--symbols", "2")


async def _play(venue: str, simulator: Simulator, broker_url: str, directory: Path) -> None:
    config = simulator.config((venue,), symbols=[listed(venue, one) for one in (BTC, ETH)])
    async with collecting(venue, config, broker_url, directory) as fleet:
        await eventually(lambda: _live(fleet) == 2, 40, f"{venue}: live")
        async with managing(broker_url) as manager:
            await eventually(lambda: venue in manager._venues.each, 10)
            await eventually(lambda: manager._venues.each[venue].methods, 10)
            methods = fleet.collector.client.methods()
            for name in (name for name in methods if not METHODS[name].of_budget):
                await _ask_both_ways(venue, simulator, manager, name)
            await _refused(venue, manager)
            await _permits(venue, fleet, manager)


async def _ask_both_ways(
    venue: str, simulator: Simulator, manager: ExchangeManager, name: str
) -> None:
    """Of the venue itself, which its log shows; and as it comes."""
    btc, eth = (listed(venue, one) for one in (BTC, ETH))
    method = METHODS[name]
    arguments = dict(ARGUMENTS.get(name, {}))
    if method.of_one_symbol:
        arguments["symbol"] = btc
    if name == "fetch_tickers":
        arguments["symbols"] = [btc, eth]
    began = time.time()
    asked = await manager.execute_request(
        name, exchange_id=venue, max_age=0, timeout=PATIENCE_S, **arguments
    )
    if name != "fetch_markets":
        await eventually(lambda: _asked(simulator, venue, began), 5, f"{venue} was asked: {name}")
    again = await manager.execute_request(name, exchange_id=venue, timeout=30, **arguments)
    assert type(again) is type(asked), (venue, name)
    if isinstance(asked, dict) and "symbol" in asked:
        assert (asked["symbol"], again["symbol"]) == (btc, btc)
    if name == "fetch_order_book":
        _same_sizes(asked, again)


def _same_sizes(asked: Any, live: Any) -> None:
    """Of the same order of magnitude: base units both, not contracts."""
    sizes = [sum(size for _, size, *_ in book["bids"][:5]) for book in (asked, live)]
    assert 0.05 < sizes[0] / sizes[1] < 20, sizes


async def _permits(venue: str, fleet: Fleet, manager: ExchangeManager) -> None:
    """For who speaks to the venue himself: what he takes is gone from the venue's budget."""
    before = await manager.get_remaining_requests(venue, "fetch_ticker", Priority.HIGH)
    assert before > 1, (venue, before)
    assert await manager.acquire_permit(venue, "fetchTicker", Priority.HIGH)
    method = METHODS["fetch_ticker"]
    charges = await fleet.collector.client.price(method, BTC)
    fleet.collector.budget.ban(3)
    assert not await manager.acquire_permit(venue, "fetch_ticker", Priority.HIGH)
    assert await manager.get_remaining_requests(venue, "fetch_ticker") == 0
    assert all(charge.units > 0 for charge in charges)


async def _refused(venue: str, manager: ExchangeManager) -> None:
    with pytest.raises(errors.SymbolNotListedError):
        await manager.execute_request("fetch_ticker", "NONE/USDT", exchange_id=venue)
    for wrong in ("create_order", "fetch_balance", "load_markets", "close", "acquire_permit"):
        with pytest.raises(errors.DataProcessingError):
            await manager.execute_request(wrong, listed(venue, BTC), exchange_id=venue)


def _is_live(fleet: Fleet) -> bool:
    return _live(fleet) == 1


def _live(fleet: Fleet) -> int:
    parts = fleet.collector.intake.parts.values()
    return sum(p.quote is not None and p.last is not None and p.book is not None for p in parts)


@asynccontextmanager
async def five(
    broker_url: str, tmp_path: Path
) -> AsyncIterator[tuple[Simulator, dict[str, Fleet]]]:
    names = ("binance", "bybit", "bitget", "htx", "gate")
    async with simulated_venues(tmp_path, "--symbols", "2") as simulator, AsyncExitStack() as stack:
        fleets = {}
        for name in names:
            directory = tmp_path / name
            directory.mkdir()
            config = simulator.config((name,), symbols=[BTC])
            fleets[name] = await stack.enter_async_context(
                collecting(name, config, broker_url, directory)
            )
        for name, fleet in fleets.items():
            await eventually(partial(_is_live, fleet), 40, f"{name}: live")
        yield simulator, fleets


@pytest.mark.deadline(240)
async def test_the_failure_of_one_venue_of_five_costs_hardly_any_request(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    await _fail(("server_errors",), broker_url, tmp_path, record_property)


@pytest.mark.long
@pytest.mark.deadline(600)
async def test_whatever_fails_at_one_venue_of_five_costs_hardly_any_request(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    faults = ("server_errors", "maintenance", "slow_body", "cut")
    await _fail(faults, broker_url, tmp_path, record_property)


async def _fail(
    faults: Sequence[str],
    broker_url: str,
    directory: Path,
    record: Callable[[str, object], None],
) -> None:
    """It is seen within 2 s, then asked a fifth as often, and others answer."""
    figures = {}
    async with five(broker_url, directory) as (simulator, fleets), managing(broker_url) as manager:
        await eventually(lambda: len(manager._venues.each) == 5, 10)
        await eventually(lambda: all(v.methods for v in manager._venues.each.values()), 10)
        manager.set_strategy("round_robin")
        for fault in faults:
            figures[fault] = await _failed(fault, simulator, fleets["gate"], manager)
    record("figures", figures)
    for fault, found in figures.items():
        assert found["calm_failed"] == 0, (fault, found)
        assert found["failed"] <= 0.005 * found["count"], (fault, found)
        assert found["slowest_s"] <= 5.0, (fault, found)
        if fault != "cut":  # streams are cut then, and REST answers
            assert found["seen_s"] <= SEEN_S, (fault, found)
            assert found["asked_during"] <= found["asked_before"] / 5, (fault, found)
        if fault in ("server_errors", "maintenance"):  # what fails at once is seen at once
            assert found["asked_in_all"] <= found["asked_before"] / 5, (fault, found)


async def _failed(
    fault: str, simulator: Simulator, fleet: Fleet, manager: ExchangeManager
) -> dict[str, float]:
    """Figures of ten seconds of a fault, against five without one."""
    method = "fetch_ticker" if fault == "cut" else "fetch_funding_rate"
    options: dict[str, Any] = {} if fault == "cut" else {"max_age": 0}
    calm_from = time.time()
    calm = await _load(manager, 5.0, method, **options)
    storm_from = time.time()
    id_ = await simulator.fault("gate", fault)
    seeing = asyncio.create_task(_seen(manager, storm_from))
    stormy = await _load(manager, 10.0, method, **options)
    if fault != "cut":  # which is over at once
        await simulator.heal(id_)
    await asyncio.sleep(1.5)  # until the venue's log is on disk
    seeing.cancel()
    asked, late = (_asked(simulator, "gate", storm_from + after) for after in (0.0, SEEN_S))
    fleet.collector.client.breakers.whole._until = 0.0  # that of maintenance is a minute
    await eventually(lambda: manager._venues.each["gate"].score > 0.9, 60, f"back after {fault}")
    return {
        "calm_failed": calm.failed,
        "count": stormy.count,
        "failed": stormy.failed,
        "slowest_s": round(max(stormy.took_s), 3),
        "seen_s": await seeing if seeing.done() and not seeing.cancelled() else 99.0,
        # In five seconds; of the fault once it has to be seen.
        "asked_before": _asked(simulator, "gate", calm_from) - asked,
        "asked_during": 5 / 8 * late,
        "asked_in_all": asked / 2,
    }


async def _seen(manager: ExchangeManager, began: float) -> float:
    """When the venue is asked last of all, seconds after its fault began."""
    await eventually(lambda: manager._venues.each["gate"].score < POOR, 60, "seen")
    return round(time.time() - began, 3)


class Load:
    """What a load of requests came to."""

    def __init__(self) -> None:
        self.count = self.failed = 0
        self.took_s: list[float] = []


async def _load(
    manager: ExchangeManager, seconds: float, method: str = "fetch_funding_rate", **options: Any
) -> Load:
    """Twenty a second."""
    load, asking = Load(), set[asyncio.Task[None]]()

    async def ask() -> None:
        began = time.monotonic()
        load.count += 1
        try:
            await manager.execute_request(method, BTC, timeout=10, **options)
        except errors.ExchangeError:
            load.failed += 1
        load.took_s.append(time.monotonic() - began)

    for _ in range(int(20 * seconds)):
        task = asyncio.create_task(ask())
        asking.add(task)
        task.add_done_callback(asking.discard)
        await asyncio.sleep(0.05)
    await asyncio.gather(*asking)
    return load


def _asked(simulator: Simulator, venue: str, since: float) -> int:
    return sum(event["t"] / 1e9 >= since for event in simulator.events(venue, "rest"))


@pytest.mark.deadline(120)
async def test_warm_connections_are_used_again(broker_url: str, tmp_path: Path) -> None:
    async with simulated_venues(tmp_path, "--symbols", "2") as simulator:
        config = simulator.config(("bybit",), symbols=[BTC])
        async with (
            collecting("bybit", config, broker_url, tmp_path) as fleet,
            managing(broker_url) as manager,
        ):
            await eventually(lambda: _live(fleet) == 1, 40)
            trace = fleet.collector.client.rest_trace
            before = trace.reused + trace.connected
            load = await _load(manager, 10.0, max_age=0)
            assert load.failed == 0
            asked = trace.reused + trace.connected
            assert asked - before >= load.count
            assert trace.reused >= 0.95 * asked, (trace.reused, trace.connected)
            told = heartbeat(fleet.collector).details["connections"]
            assert told == {"reused": trace.reused, "made": trace.connected}


async def test_what_is_no_request_is_answered_and_harms_nobody(
    broker_url: str, tmp_path: Path
) -> None:
    async with simulated_venues(tmp_path, "--symbols", "2") as simulator:
        config = simulator.config(("gate",), symbols=[BTC])
        async with collecting("gate", config, broker_url, tmp_path) as fleet:
            await eventually(lambda: _live(fleet) == 1, 40)
            await _send_hostile(broker_url)
            counts = fleet.collector.requests.desk.counts
            await eventually(lambda: counts["invalid_request"] == 6, 10)
            async with managing(broker_url) as manager:
                ticker = await manager.execute_request("fetchTicker", "BTC", exchange_id="gate")
                assert ticker["symbol"] == BTC
                assert counts["live"] == 1


async def _send_hostile(broker_url: str) -> None:
    bodies = (b"", b"{", b"\xff", b"[]", orjson.dumps({"method": "x"}), b" " * 10**6)
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(REQUESTS, ensure=False)
        for body in bodies:
            await exchange.publish(aio_pika.Message(body), "gate", mandatory=True)


async def test_nobody_serves_a_venue_that_is_not_collected(broker_url: str, tmp_path: Path) -> None:
    async with simulated_venues(tmp_path, "--symbols", "2") as simulator:
        config = simulator.config(("gate",), symbols=[BTC])
        async with (
            collecting("gate", config, broker_url, tmp_path),
            managing(broker_url) as manager,
        ):
            began = time.monotonic()
            with pytest.raises(errors.CircuitBreakerOpenError, match="nobody serves okx"):
                await manager.execute_request("fetch_ticker", BTC, exchange_id="okx", timeout=5)
            assert time.monotonic() - began < 2
