"""`execute_request` for tickers, a hundred callers at a time: over the bus out of what a collector
knows, and out of the cache of the callers' own process."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import mean, quantiles
from typing import Any

from bench.collector import subscribed
from bench.lab import Lab
from bench.listing import symbols
from bench.processes import cpu_s, pss_mb
from bench.report import Bar, Figure, Row
from bench.source import load_source
from bench.waiting import until
from bench.worker import EXCHANGE, Worker, collector
from shared.broker import Broker
from shared.cache import CacheManager
from shared.clock import SystemClock
from shared.config.live import Live
from shared.config.sections import Cache
from shared.errors import CryptoCollectorException
from shared.exchange_manager import ExchangeManager
from shared.topology import topology

_CALLERS = 100
_SYMBOLS = 10
#: Frames a second, so that live state is live.
_FRAMES = 100
#: What another exchange manager of the field tells of itself: its best rate, its p95 and p99.
_RATE, _P95_MS, _P99_MS = Bar(950), Bar(120, at_most=True), Bar(250, at_most=True)
_SUCCESS = Bar(99.8)
_MEMORY = Bar(200, at_most=True)

Call = Callable[[str], Awaitable[Any]]


@dataclass(slots=True)
class Load:
    """What calls came to."""

    seconds: float = 0.0
    failed: int = 0
    took_s: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.took_s)

    def figures(self) -> list[Figure]:
        cuts = quantiles(self.took_s, n=100)
        return [
            Figure(self.count / self.seconds, "calls/s", _RATE),
            Figure(1000 * mean(self.took_s), "ms mean"),
            Figure(1000 * cuts[94], "ms p95", _P95_MS),
            Figure(1000 * cuts[98], "ms p99", _P99_MS),
            Figure(100 * (1 - self.failed / self.count), "% success", _SUCCESS),
        ]


async def measure(lab: Lab) -> list[Row]:
    """One collector of ten symbols; the callers share one process and its core with nobody."""
    seconds, broker = lab.pick(1.0, 20.0), _broker(lab)
    async with (
        load_source(_SYMBOLS) as source,
        collector(source, lab.node.amqp_url, symbols(_SYMBOLS), batches=True) as worker,
    ):
        await subscribed(source, _SYMBOLS, worker.check)
        playing = asyncio.create_task(source.play(_FRAMES, 3 * seconds + 30))
        async with ExchangeManager(broker) as manager:
            if not await until(lambda: _answers(manager), 30, poll_s=0.5):
                return [Row("requests", why="no ticker of each symbol within 30 s")]
            rows = await _over_the_bus(lab, manager, worker, seconds)
        cache = CacheManager(Live(Cache()), SystemClock())
        async with ExchangeManager(broker, cache=cache) as manager:
            load = await _load(lambda one: manager.execute_request("fetch_ticker", one), seconds)
        await playing
    what = f"execute_request of tickers in process, from its cache, {_CALLERS} callers"
    figures = [
        *load.figures(),
        Figure(100 * cache.get_cache_stats()["ticker"]["hit_rate"], "% hits"),
    ]
    return [*rows, Row(what, figures, details={"cache": cache.get_cache_stats()})]


def _broker(lab: Lab) -> Broker:
    return Broker(lab.node.amqp_url, "bench", topology("futures_data"), declares=False)


async def _answers(manager: ExchangeManager) -> bool:
    try:
        for symbol in symbols(_SYMBOLS):
            await manager.execute_request("fetch_ticker", symbol, exchange_id=EXCHANGE)
    except CryptoCollectorException:
        return False
    return True


async def _over_the_bus(
    lab: Lab, manager: ExchangeManager, worker: Worker, seconds: float
) -> list[Row]:
    idle = await _share(worker, asyncio.sleep(seconds / 4))
    before = cpu_s(worker.pid)
    load = await _load(lambda one: manager.execute_request("fetch_ticker", one), seconds)
    busy = 100 * (cpu_s(worker.pid) - before) / load.seconds
    lab.say(f"  over the bus: {load.count / load.seconds:,.0f}/s, {load.failed} failed")
    what = f"execute_request of tickers over the bus, from live state, {_CALLERS} callers"
    costs = [
        Figure(idle, "% of a core of the collector, idle"),
        Figure(busy, "% under load"),
        Figure(pss_mb(worker.pid), "MB PSS of it", _MEMORY),
    ]
    return [Row(what, load.figures()), Row("  the collector that answers", costs)]


async def _share(worker: Worker, work: Awaitable[None]) -> float:
    """Percent of a core that the collector takes meanwhile."""
    before, began = cpu_s(worker.pid), time.monotonic()
    await work
    return 100 * (cpu_s(worker.pid) - before) / (time.monotonic() - began)


async def _load(call: Call, seconds: float) -> Load:
    """Callers that each ask again as soon as they are answered."""
    load, began = Load(), time.monotonic()
    names = symbols(_SYMBOLS)

    async def ask(number: int) -> None:
        while time.monotonic() - began < seconds:
            number += 1
            asked_at = time.monotonic()
            try:
                answer = await call(names[number % len(names)])
                load.failed += answer["symbol"] != names[number % len(names)]
            except CryptoCollectorException:
                load.failed += 1
            load.took_s.append(time.monotonic() - asked_at)
            await asyncio.sleep(0)  # an answer out of a cache waits for nothing

    await asyncio.gather(*(ask(number) for number in range(_CALLERS)))
    load.seconds = time.monotonic() - began
    return load
