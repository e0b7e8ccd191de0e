"""A configuration that changes again and again while trades come: no message is lost by it."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.broker import Broker
from shared.topology import topology
from tests.integration.test_collector_killed import reading, start
from tests.venues import simulated_venues
from tests.waiting import eventually

VENUE = "gate"
SYMBOLS = ["BTC/USDT:USDT", "ETH/USDT:USDT"]
RELOADS = 20


@pytest.mark.deadline(120)
async def test_reloads_under_load_drop_no_message(broker_url: str, tmp_path: Path) -> None:
    broker = Broker(broker_url, "test", topology("futures_data"), declares=True)
    path, log = tmp_path / "config.json", tmp_path / "gate.log"
    environment = {
        "AMQP_URL": broker_url,
        "FLEET_CONFIG": str(path),
        "FLEET_HOME": str(tmp_path),
        "FLEET_HOST_ID": "host.a",
    }
    rates = ("--trade-rate", "100", "--symbols", "2")
    async with simulated_venues(tmp_path, *rates) as simulator, reading(broker) as reader:
        config = simulator.config((VENUE,), symbols=SYMBOLS) | {
            "logging": {"console": False, "file_path": str(log)}
        }
        path.write_bytes(orjson.dumps(config))
        process = await start(VENUE, environment)
        try:
            await eventually(lambda: set(reader.trades) == set(SYMBOLS), 30)
            marks = {symbol: ids[-1] for symbol, ids in reader.trades.items()}
            for number in range(RELOADS):
                await _reload(process, path, config, number)
            await eventually(lambda: _told(log) >= RELOADS // 2, 10, "changes are taken up")
            await asyncio.sleep(1.0)
            sent = simulator.trades_sent(VENUE)
            await eventually(
                lambda: all(set(reader.trades[one]) >= sent[one] for one in SYMBOLS), 10, "all"
            )
        finally:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 20) == 0
    for symbol, ids in reader.trades.items():
        assert len(ids) == len(set(ids)), "one came twice"
        assert len(ids) - ids.index(marks[symbol]) > 300, "there was no load"
    open_since = [g for g in reader.gaps.values() if g["reason"] != "start"]
    assert not open_since, open_since


async def _reload(
    process: asyncio.subprocess.Process, path: Path, config: dict[str, Any], number: int
) -> None:
    """Another value of what needs no restart; each fourth time a file that is broken."""
    collection = {"large_trade": {"default": 1000.0 + number}, "max_age": {"ticker_s": 20 + number}}
    text = orjson.dumps(config | {"collection": collection})
    await asyncio.to_thread(path.write_bytes, text[:-9] if number % 4 == 3 else text)
    process.send_signal(signal.SIGHUP)
    await asyncio.sleep(0.3)


def _told(log: Path) -> int:
    return log.read_text().count("collection.large_trade")
