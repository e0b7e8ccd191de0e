"""A collector that is killed at random moments, again and again: no trade is lost, or a gap names
it."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.broker import Broker
from shared.topology import topology
from tests.venues import Simulator, simulated_venues
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
MARKETS = {
    "binance": {BTC: "BTCUSDT", ETH: "ETHUSDT"},
    "bybit": {BTC: "BTCUSDT", ETH: "ETHUSDT"},
}


class Reader:
    """Every trade and gap that reached the broker."""

    def __init__(self) -> None:
        self.trades: dict[str, list[str]] = {}
        self.gaps: dict[str, dict[str, Any]] = {}  # by id, the latest revision

    def take(self, routing_key: str, body: bytes) -> None:
        message = orjson.loads(body)
        if routing_key.startswith("trades."):
            self.trades.setdefault(message["symbol"], []).append(message["id"])
        else:
            known = self.gaps.get(message["id"])
            if known is None or known["rev"] < message["rev"]:
                self.gaps[message["id"]] = message


@asynccontextmanager
async def reading(broker: Broker) -> AsyncIterator[Reader]:
    reader = Reader()
    async with await broker.connect("read") as connection:
        channel = await connection.channel()
        await broker.declare(channel)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("futures_data", "trades.#")
        await queue.bind("futures_data", "gap.#")

        async def take(message: Any) -> None:
            reader.take(message.routing_key, message.body)

        await queue.consume(take, no_ack=True)
        yield reader


async def start(venue: str, environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.collector", venue),
        cwd=ROOT,
        env=os.environ | environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


@pytest.mark.deadline(120)
@pytest.mark.parametrize("venue", MARKETS)
async def test_a_few_kills_cost_no_trade(
    venue: str, broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    await _play(venue, 4, broker_url, tmp_path, record_property)


@pytest.mark.long
@pytest.mark.deadline(1500)
@pytest.mark.parametrize("venue", MARKETS)
async def test_a_hundred_kills_cost_no_trade(
    venue: str, broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    await _play(venue, 100, broker_url, tmp_path, record_property)


async def _play(
    venue: str, kills: int, broker_url: str, directory: Path, record: Callable[[str, object], None]
) -> None:
    moments = random.Random(11)
    broker = Broker(broker_url, "test", topology("futures_data"), declares=True)
    rates = ("--trade-rate", "10", "--symbols", "2")
    async with simulated_venues(directory, *rates) as simulator, reading(broker) as reader:
        config = simulator.config((venue,), symbols=list(MARKETS[venue]))
        path = directory / "config.json"
        path.write_bytes(orjson.dumps(config))
        environment = {
            "AMQP_URL": broker_url,
            "FLEET_CONFIG": str(path),
            "FLEET_HOME": str(directory),
            "FLEET_HOST_ID": "host.a",
        }
        process = await start(venue, environment)
        try:
            await eventually(lambda: set(reader.trades) == set(MARKETS[venue]), 30)
            for number in range(kills):
                # Three of four while it collects, however slow it starts on this machine.
                await _new_trades(reader, number % 4 != 3)
                await asyncio.sleep(moments.uniform(0.2, 4.5))
                process.send_signal(signal.SIGKILL)
                await process.wait()
                process = await start(venue, environment)
            await eventually(lambda: _open(reader) == [], 60, "all gaps are closed", 0.2)
            figures = await _settled(simulator, venue, reader)
        finally:
            process.terminate()
            await process.wait()
    record("figures", figures | {"kills": kills, "gaps": len(reader.gaps)})
    assert figures["happened"] > 20 * kills
    # A run that is killed before it has repaired hands its gap on to the next.
    assert sum(gap["rev"] for gap in reader.gaps.values()) >= 2 * kills


async def _new_trades(reader: Reader, wanted: int) -> None:
    seen = _count(reader)
    await eventually(lambda: _count(reader) >= seen + wanted, 30, "it collects")


def _count(reader: Reader) -> int:
    return sum(map(len, reader.trades.values()))


def _open(reader: Reader) -> list[dict[str, Any]]:
    return [gap for gap in reader.gaps.values() if gap["state"] == "open"]


async def _settled(simulator: Simulator, venue: str, reader: Reader) -> dict[str, int]:
    """Counts over both markets, once everything that happened so far is there or named."""
    figures = {"happened": 0, "duplicates": 0, "named": 0}
    for symbol, market_id in MARKETS[venue].items():
        happened = await simulator.trades(venue, market_id)
        ids = [str(trade["id"]) for trade in happened]
        ids = ids[ids.index(reader.trades[symbol][0]) :]

        lost = await _lost(reader, symbol, set(ids))
        times = {str(trade["id"]): trade["t"] for trade in happened}
        unnamed = {i for i in lost if not _named(reader, symbol, times[i])}
        assert not unnamed, f"{venue} {symbol}: lost {len(unnamed)}: {sorted(unnamed)[:10]}"
        figures["named"] += len(lost)
        invented = set(reader.trades[symbol]) - {
            str(trade["id"]) for trade in await simulator.trades(venue, market_id)
        }
        assert not invented
        figures["happened"] += len(ids)
        figures["duplicates"] += len(reader.trades[symbol]) - len(set(reader.trades[symbol]))
    return figures


async def _lost(reader: Reader, symbol: str, ids: set[str]) -> set[str]:
    """What has not come after all this time."""
    for _ in range(150):
        if ids <= set(reader.trades[symbol]):
            break
        await asyncio.sleep(0.1)
    return ids - set(reader.trades[symbol])


def _named(reader: Reader, symbol: str, at_ms: int) -> bool:
    """Whether a gap that could not be repaired says that the trade may be missing."""
    return any(
        gap["symbol"] == symbol
        and gap["kind"] == "trades"
        and gap["state"] != "repaired"
        and (gap["last_time"] or 0) <= at_ms <= (gap["first_time"] or float("inf"))
        for gap in reader.gaps.values()
    )
