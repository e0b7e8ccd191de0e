"""Two workers of one venue, a coordinator, and a venue that knows every trade it sent."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage

from shared.broker import Broker, own_queue
from shared.status import Holdings
from shared.topology import STATUS, topology
from tests.coordinators import Client, client, coordinator
from tests.venues import Simulator, simulated_venues
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
SYMBOLS = [f"{base}/USDT:USDT" for base in ("BTC", "ETH", "SOL", "XRP", "DOGE", "LINK")]
VENUE = "binance"


class Worker:
    """`python -m workers.collector`, on a host of its own."""

    def __init__(self, host: str, url: str, config: dict[str, Any], directory: Path) -> None:
        self.name = f"{VENUE}-0@{host}"
        self.home = directory / host
        self.home.mkdir()
        path = self.home / "config.json"
        path.write_text(json.dumps(config))
        self._environment = os.environ | {
            "AMQP_URL": url,
            "FLEET_CONFIG": str(path),
            "FLEET_HOME": str(self.home),
            "FLEET_HOST_ID": host,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "workers.collector", VENUE),
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    async def end(self, number: int = signal.SIGTERM) -> int:
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await asyncio.wait_for(self._process.wait(), 20)


class Market:
    """Every trade that reached the broker, and what workers say that they hold."""

    def __init__(self) -> None:
        self.ids: dict[str, list[str]] = {}
        self.workers: dict[tuple[str, str], set[Any]] = {}  # by symbol and id: who published it
        self.message_ids: dict[str, set[str]] = {}
        self.holdings: dict[str, Holdings] = {}

    def take(self, message: AbstractIncomingMessage) -> None:
        if message.exchange == STATUS:
            held = Holdings.model_validate_json(message.body)
            self.holdings[held.worker] = held
            return
        body = orjson.loads(message.body)
        self.ids.setdefault(body["symbol"], []).append(body["id"])
        known = self.workers.setdefault((body["symbol"], body["id"]), set())
        known.add(message.headers["worker"])
        self.message_ids.setdefault(f"{body['symbol']} {body['id']}", set()).add(
            message.message_id or ""
        )

    def live(self, worker: Worker) -> set[str]:
        held = self.holdings.get(worker.name)
        return set(held.live) if held else set()


@asynccontextmanager
async def market(url: str) -> AsyncIterator[Market]:
    broker = Broker(url, "market", topology("futures_data"), declares=True)
    seen = Market()
    async with await broker.connect("read") as connection:
        channel = await connection.channel()
        await broker.declare(channel)
        bindings = [("futures_data", f"trades.{VENUE}.*"), (STATUS, "holdings.collector.#")]
        queue = await own_queue(channel, "client", "market", bindings)

        async def take(message: AbstractIncomingMessage) -> None:
            seen.take(message)

        await queue.consume(take, no_ack=True)
        yield seen


@asynccontextmanager
async def pair(
    broker_url: str, simulator: Simulator, directory: Path
) -> AsyncIterator[tuple[Market, Client, Worker, Worker]]:
    """Both at work, each with its half."""
    config = simulator.config((VENUE,), symbols=SYMBOLS)
    one, two = (Worker(host, broker_url, config, directory) for host in ("a", "b"))
    home = directory / "c"
    home.mkdir()
    async with (
        market(broker_url) as seen,
        client(broker_url) as user,
        coordinator(broker_url, home, SYMBOLS),
    ):
        try:
            await one.start()
            await eventually(lambda: seen.live(one) == set(SYMBOLS), 40, "one has all")
            await two.start()
            await eventually(lambda: are_halves(seen, one, two), 40, "halves")
            yield seen, user, one, two
        finally:
            for worker in (one, two):
                await worker.end(signal.SIGKILL)


def has_all(seen: Market, worker: Worker) -> bool:
    return seen.live(worker) == set(SYMBOLS)


def are_halves(seen: Market, one: Worker, two: Worker) -> bool:
    first, second = seen.live(one), seen.live(two)
    return len(first) == len(second) == 3 and first | second == set(SYMBOLS)


def check_no_trade_was_missed(seen: Market, simulator: Simulator, after: dict[str, int]) -> None:
    """Of each symbol every trade from `after` on up to the last that came; twice only with the
    same message_id."""
    sent = simulator.trades_sent(VENUE)
    for symbol in SYMBOLS:
        received = seen.ids[symbol]
        last = max(map(int, received))
        due = {i for i in sent[symbol] if after[symbol] < int(i) <= last}
        assert len(due) > 20
        assert due - set(received) == set(), symbol
    assert all(len(ids) == 1 for ids in seen.message_ids.values())


def marks(seen: Market) -> dict[str, int]:
    return {symbol: max(map(int, ids)) for symbol, ids in seen.ids.items()}


@pytest.mark.deadline(180)
async def test_a_killed_worker_s_symbols_flow_elsewhere_and_come_back(
    broker_url: str, tmp_path: Path
) -> None:
    async with (
        simulated_venues(tmp_path, "--trade-rate", "5") as simulator,
        pair(broker_url, simulator, tmp_path) as (seen, user, one, two),
    ):
        start = marks(seen)
        await asyncio.sleep(11)  # the coordinator judges nobody before
        loop = asyncio.get_running_loop()
        killed_at = loop.time()
        await two.end(signal.SIGKILL)

        async def suspected() -> bool:
            answer = await user.ask({"command": "get_workers"})
            states = {w["worker"]: w["state"] for w in answer["data"]["workers"]}
            return bool(states[two.name] == "suspect")

        await eventually(suspected, 3, "suspected")
        assert loop.time() - killed_at <= 2
        await eventually(lambda: seen.live(one) == set(SYMBOLS), 15, "one has all again")
        assert loop.time() - killed_at <= 10
        await two.start()
        await eventually(lambda: are_halves(seen, one, two), 40, "halves again")
        await asyncio.sleep(3)
        assert await two.end() == 0
        assert await one.end() == 0
        await asyncio.sleep(0.5)
    check_no_trade_was_missed(seen, simulator, start)


@pytest.mark.long  # a rolling restart of hosts is played in e2e
@pytest.mark.deadline(180)
async def test_a_worker_that_is_restarted_hands_over_and_nothing_is_asked_again(
    broker_url: str, tmp_path: Path
) -> None:
    async with (
        simulated_venues(tmp_path, "--trade-rate", "5") as simulator,
        pair(broker_url, simulator, tmp_path) as (seen, _, one, two),
    ):
        start = marks(seen)
        for worker, other in ((two, one), (one, two)):
            assert await worker.end() == 0
            await eventually(partial(has_all, seen, other), 10)
            await worker.start()
            await eventually(lambda: are_halves(seen, one, two), 40, "halves again")
        await asyncio.sleep(2)
        for worker in (one, two):
            await worker.end()
        await asyncio.sleep(0.5)
    check_no_trade_was_missed(seen, simulator, start)
    twice = Counter(len(workers) for workers in seen.workers.values())
    assert twice[2], "while both had a symbol, its trades came from both"
