"""Many collection tasks on few symbols: what the venue is asked, by its own log, and what comes."""

import asyncio
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from shared.collection import CollectionTask
from shared.messages import TaskResult
from shared.status import MAX_HEARTBEAT_BYTES
from shared.timeframes import TIMEFRAMES_MS
from shared.topology import task_key
from simulator.universe import quote_of
from tests.collecting import Fleet, collecting, each_venue
from tests.venues import VENUES, Simulator, listed, simulated_venues, timeframes
from tests.waiting import eventually
from workers.collector.heartbeat import heartbeat

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
#: Of one symbol's best prices: the path, and what its query has that of all symbols has not.
ONE_TICKER = {
    "binance": ("/fapi/v1/ticker/bookTicker", "symbol="),
    "bybit": ("/v5/market/tickers", "symbol="),
    "bitget": ("/api/v2/mix/market/ticker", "symbol="),
    "htx": ("/linear-swap-ex/market/detail/merged", "contract_code="),
    "gate": ("/api/v4/futures/usdt/tickers", "contract="),
    "okx": ("/api/v5/market/ticker", "instId="),
    "krakenfutures": ("/derivatives/api/v3/tickers/PF_XBTUSD", ""),
    "coinbaseinternational": ("/api/v2/public/ticker", "instrument_name="),
}
#: With what the paths begin.
KLINES = {
    "binance": "/fapi/v1/klines",
    "bybit": "/v5/market/kline",
    "bitget": "/api/v2/mix/market/candles",
    "htx": "/linear-swap-ex/market/history/kline",
    "gate": "/api/v4/futures/usdt/candlesticks",
    "okx": "/api/v5/market/candles",
    "krakenfutures": "/api/charts/v1/trade/PF_XBTUSD/",
    "coinbaseinternational": "/api/v2/public/get_tradingview_chart_data",
}
TICKER_QUOTES = ("bybit", "bitget", "krakenfutures")


def tickers(count: int, symbol: str = BTC) -> list[CollectionTask]:
    return [made(f"ticker-{n}", "ticker", symbol) for n in range(count)]


def made(task_id: str, kind: str, symbol: str = BTC, **more: Any) -> CollectionTask:
    fields = {"task_id": task_id, "exchange": "x", "symbol": symbol, "kind": kind, "interval": 1}
    return CollectionTask.model_validate(fields | more)


class Play:
    """One venue, its collector, and the tasks that it was told of."""

    def __init__(self, venue: str, simulator: Simulator, fleet: Fleet) -> None:
        self.venue, self.simulator, self.fleet = venue, simulator, fleet
        self.keys: list[str] = []

    async def have(self, symbols: list[str], tasks: Sequence[CollectionTask]) -> None:
        tasks = [one.model_copy(update={"symbol": listed(self.venue, one.symbol)}) for one in tasks]
        desired = self.fleet.collector.desired
        await eventually(lambda: desired.mailbox, 30, f"{self.venue}: hears of symbols")
        await self.fleet.announce(self.venue, symbols, tasks=tasks)
        self.keys = [task_key(self.venue, task.symbol, task.task_id) for task in tasks]

    def results(self, key: str) -> list[TaskResult]:
        return [TaskResult.model_validate(body) for body in self.fleet.consumer.bodies(key)]

    def sources(self) -> set[str]:
        """Of the latest result of each task."""
        latest = [self.fleet.consumer.bodies(key) for key in self.keys]
        return {bodies[-1]["source"] if bodies else "none" for bodies in latest}

    async def rates(self, seconds: float) -> list[float]:
        """Results a second of each task, from now on."""
        before = [self.fleet.consumer.count(key) for key in self.keys]
        began = time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - began
        now = [self.fleet.consumer.count(key) for key in self.keys]
        return [(after - first) / took for after, first in zip(now, before, strict=True)]

    def asked_for_one(self, since: float) -> list[float]:
        """When the venue was asked for the best prices of one symbol, seconds of the epoch."""
        path, query = ONE_TICKER[self.venue]
        return [
            event["t"] / 1e9
            for event in self.simulator.events(self.venue, "rest")
            if event["path"] == path and query in event["query"] and event["t"] / 1e9 >= since
        ]

    async def silence_quotes(self) -> str:
        channel = "ticker" if self.venue in TICKER_QUOTES else "quote"
        return await self.simulator.fault(self.venue, "silent", channel=channel)

    def check_budget(self, since: float) -> None:
        """The venue refused nothing, and where our weights are its own their sum is allowed."""
        events = [e for e in self.simulator.events(self.venue, "rest") if e["t"] / 1e9 >= since]
        assert {event["status"] for event in events} == {200}, self.venue
        if self.venue == "binance":
            rule = next(r for r in self.fleet.collector.row.limits.rules if r.by_cost)
            limit = rule.limit()
            allowed = limit.per_second * (time.time() - since) + limit.burst
            assert sum(event["weight"] for event in events) <= allowed


@pytest.mark.deadline(150)
async def test_a_hundred_tickers_a_second_of_one_symbol(broker_url: str, tmp_path: Path) -> None:
    async with simulated_venues(tmp_path, "--symbols", "2") as simulator:
        config = simulator.config(("binance",), symbols=[BTC])
        async with collecting("binance", config, broker_url, tmp_path) as fleet:
            began = time.time()
            play = Play("binance", simulator, fleet)
            await eventually(lambda: fleet.consumer.count("ticker.binance.BTCUSDT") > 20, 30)
            await play.have([BTC], tickers(100))
            await eventually(lambda: play.sources() == {"stream"}, 15, "results of each task")
            await _while_the_stream_lives(play)
            await _while_it_is_silent(play)
            play.check_budget(began)
            await _replaced_and_removed(play)
        assert all("unbalanced" not in c for c in fleet.collector.outbox.ledger.as_dict().values())


async def _while_the_stream_lives(play: Play) -> None:
    since = time.time()
    rates = await play.rates(10)
    assert min(rates) >= 0.8
    assert max(rates) <= 1.2
    assert len(play.asked_for_one(since)) <= 2  # a pause of the market longer than a second
    result = play.results(play.keys[0])[-1]
    assert (result.kind, result.task_id, result.symbol) == ("ticker", "ticker-0", BTC)
    counts = play.fleet.collector.tasks.counts()
    assert (counts["running"], counts["failing"]) == (100, {})
    beat = heartbeat(play.fleet.collector)
    assert len(beat.model_dump_json()) < MAX_HEARTBEAT_BYTES
    message = next(m for m in play.fleet.consumer.messages if m.routing_key == play.keys[0])
    assert message.type == "task"


async def _while_it_is_silent(play: Play) -> None:
    fault = await play.silence_quotes()
    await eventually(lambda: play.sources() == {"rest"}, 15, "all of them by REST")
    since = time.time()
    rates = await play.rates(10)
    assert min(rates) >= 0.7
    assert max(rates) <= 1.3
    asked = play.asked_for_one(since)
    assert 7 <= len(asked) <= 12
    assert min(b - a for a, b in pairwise(asked)) >= 0.5
    assert play.fleet.collector.tasks.counts()["running"] == 100
    await play.simulator.heal(fault)
    await eventually(lambda: play.sources() == {"stream"}, 30, "all of them by the stream again")
    await asyncio.sleep(4)
    since = time.time()
    await asyncio.sleep(5)
    assert len(play.asked_for_one(since)) <= 1


async def _replaced_and_removed(play: Play) -> None:
    fewer = [made(f"ticker-{n}", "ticker", interval=4) for n in range(10)]
    gone = play.keys[50]
    await play.have([BTC], fewer)
    await eventually(lambda: play.fleet.collector.tasks.counts()["running"] == 10, 5)
    await asyncio.sleep(0.5)  # what was sent before is on its way
    count = play.fleet.consumer.count(gone)
    rates = await play.rates(8)
    assert max(rates) <= 0.5
    assert play.fleet.consumer.count(gone) == count


@pytest.mark.deadline(150)
async def test_each_venue_tells_the_best_prices_of_one_symbol_and_its_candles(
    broker_url: str, tmp_path: Path
) -> None:
    """Timeframes that are not collected come by REST, as tickers do where no quote comes."""
    await each_venue(_by_rest, broker_url, tmp_path, "--symbols", "2")


async def _by_rest(venue: str, simulator: Simulator, broker_url: str, directory: Path) -> None:
    btc = listed(venue, BTC)
    config = simulator.config((venue,), symbols=[btc])
    channel = "ticker" if venue in TICKER_QUOTES else "quote"
    await simulator.fault(venue, "silent", channel=channel)
    candles = {"timeframe": "5m", "limit": 10}
    tasks = [
        made("price", "ticker"),
        made("price-too", "ticker"),
        made("candles", "ohlcv", parameters=candles),
        made("candles-too", "ohlcv", interval=3, parameters=candles),
        made("day", "ohlcv", interval=5, parameters={"timeframe": "1d", "limit": 1}),
    ]
    async with collecting(venue, config, broker_url, directory) as fleet:
        play = Play(venue, simulator, fleet)
        await play.have([btc], tasks)
        await eventually(lambda: play.sources() == {"rest"}, 45, f"{venue}: results by REST")
        await eventually(lambda: len(play.asked_for_one(0)) >= 3, 15, f"{venue}: is asked")
        asked = play.asked_for_one(0)
        assert min(b - a for a, b in pairwise(asked)) >= 0.4, venue
        for key in play.keys[2:4]:
            first = play.results(key)[0]
            assert isinstance(first.data, list)
            starts = [row.start for row in first.data]  # type: ignore[union-attr]
            assert len(starts) == 10, venue
            assert all(b - a == TIMEFRAMES_MS["5m"] for a, b in pairwise(starts)), venue
        await eventually(lambda: fleet.collector.tasks.counts()["failing"] == {}, 10, venue)
        assert fleet.collector.quarantine.total == 0, venue


@pytest.mark.long
@pytest.mark.deadline(600)
@pytest.mark.parametrize("venue", VENUES)
async def test_tasks_of_all_kinds_over_minutes(venue: str, broker_url: str, tmp_path: Path) -> None:
    """Beside the hundred: books, trades, slow values, and candles of all timeframes, twice."""
    btc, eth = (listed(venue, one) for one in (BTC, ETH))
    others = [
        made(f"{kind}-{symbol[:3]}", kind, symbol)
        for kind in ("orderbook", "trades", "funding", "open_interest")
        for symbol in (btc, eth)
    ]
    candles = [
        made(f"{timeframe}-{n}", "ohlcv", parameters={"timeframe": timeframe, "limit": 20})
        for timeframe in timeframes(venue)
        for n in range(2)
    ]
    async with simulated_venues(tmp_path, "--symbols", "2") as simulator:
        config = simulator.config((venue,), symbols=[btc, eth])
        async with collecting(venue, config, broker_url, tmp_path) as fleet:
            play = Play(venue, simulator, fleet)
            await eventually(
                lambda: fleet.consumer.count(f"ticker.{venue}.BTC{quote_of(venue)}") > 20, 30
            )
            began = time.time()
            await play.have([btc, eth], [*tickers(100), *others, *candles])
            await eventually(lambda: "none" not in play.sources(), 60, "results of each task")
            rates = await play.rates(150)
            assert min(rates[:100]) >= 0.8
            assert max(rates[:100]) <= 1.2
            play.check_budget(began)
            assert fleet.collector.tasks.counts()["failing"] == {}
            _check_candles(play, began)
        assert fleet.collector.quarantine.total == 0


def _check_candles(play: Play, since: float) -> None:
    """Two minutes closed: each timeframe was asked about at the start, and those that are not
    collected soon after each end. The checks of collected minutes are asked for as well."""
    events = play.simulator.events(play.venue, "rest")
    path = KLINES[play.venue]
    asked = [e for e in events if e["path"].startswith(path) and e["t"] / 1e9 >= since]
    assert len(asked) <= 3 * len(TIMEFRAMES_MS) + 2 * 4
    for n in range(2):
        key = task_key(play.venue, listed(play.venue, BTC), f"1m-{n}")
        data = [result.data for result in play.results(key)]
        starts = [row.start for rows in data if isinstance(rows, list) for row in rows]  # type: ignore[union-attr]
        assert starts == sorted(set(starts))
        assert len(starts) >= 20 + 1
