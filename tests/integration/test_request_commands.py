"""`fleet request` and `fleet doctor --exchange` as a user calls them, at a collector that runs."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.collecting import Fleet, collecting
from tests.venues import simulated_venues
from tests.waiting import eventually

VENUE, BTC = "gate", "BTC/USDT:USDT"
FLEET = (sys.executable, "-c", "from cli.main import main; main()")


class Shell:
    """Calls the command line at the broker and the configuration of a test."""

    def __init__(self, broker_url: str, directory: Path) -> None:
        paths = {"FLEET_CONFIG": str(directory / "config.json"), "FLEET_HOME": str(directory)}
        self._environment = os.environ | paths | {"AMQP_URL": broker_url}

    async def call(self, *arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(*FLEET, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
        return process.returncode or 0, output.decode(), errors.decode()


@pytest.mark.deadline(180)
async def test_a_venue_answers_and_is_examined(broker_url: str, tmp_path: Path) -> None:
    async with simulated_venues(tmp_path, "--symbols", "3") as simulator:
        config = simulator.config((VENUE,), symbols=[BTC]) | {
            "collection": {"start_date": "2020-01-01"},
            "exchange_manager": {"connection_strategy": "failover"},
        }
        async with collecting(VENUE, config, broker_url, tmp_path) as fleet:
            await eventually(lambda: _is_live(fleet), 40, "live")
            await eventually(fleet.collector.bulk.turnover, 20, "turnovers")
            shell = Shell(broker_url, tmp_path)
            await _requests(shell)
            await _examined(shell, fleet)


async def _requests(shell: Shell) -> None:
    code, told, _ = await shell.call("request", "fetchTicker", "BTC")
    assert (code, orjson.loads(told)["symbol"]) == (0, BTC)
    asked = ("request", "fetch_ohlcv", "BTC", "1m", "--exchange", VENUE, "--max-age", "0")
    code, told, _ = await shell.call(*asked)
    assert code == 0
    assert len(orjson.loads(told)) > 10
    code, told, errors = await shell.call("request", "create_order", "BTC")
    assert (code, told) == (2, "")
    assert "fetch_ticker" in errors
    code, _, errors = await shell.call("request", "fetch_ticker", "NONE/USDT", "--exchange", VENUE)
    assert code == 1
    assert "SymbolNotListedError" in errors
    code, _, errors = await shell.call("request", "fetch_ticker", "BTC", "--exchange", "okx")
    assert code == 1
    assert "nobody serves okx" in errors


async def _examined(shell: Shell, fleet: Fleet) -> None:
    code, told, errors = await shell.call("doctor", "--exchange", VENUE, "--top", "2", "--json")
    assert code == 0, told + errors
    checks: dict[str, dict[str, Any]] = {check["name"]: check for check in orjson.loads(told)}
    assert list(checks) == ["collector", "venue", "top", "candles"]
    assert checks["venue"]["level"] == "ok"
    assert "top 2 by turnover" in checks["top"]["text"]
    assert checks["candles"]["level"] == "warn"
    assert "none at 2020-01-01" in checks["candles"]["text"]
    code, told, _ = await shell.call("doctor", "--exchange", "bybit")
    assert code == 1
    assert "no collector of bybit" in told
    fleet.collector.client.breakers.whole.trip()
    code, told, _ = await shell.call("doctor", "--exchange", VENUE)
    assert code == 1
    assert "CircuitBreakerOpenError" in told


def _is_live(fleet: Fleet) -> bool:
    return any(part.quote and part.last for part in fleet.collector.intake.parts.values())
