"""What a user sees when something around a process is wrong: one line, the right exit code."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

GOOD: dict[str, Any] = {
    "exchanges": ["binance"],
    "symbols": ["BTC/USDT:USDT"],
    # Nothing listens there: only what happens before a venue is asked matters here.
    "exchange_configs": {
        "binance": {"urls": {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9"}}
    },
}
COLLECTOR = ("workers.collector", "binance")
COORDINATOR = ("coordinator",)
NOWHERE = "amqp://guest:guest@127.0.0.1:9/"


class Started:
    """A process of the fleet, its output so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()

    async def exit_code(self, timeout_s: float = 20) -> int:
        stdout, _ = await asyncio.wait_for(self.process.communicate(), timeout_s)
        self.output = stdout.decode()
        return self.process.returncode or 0


async def started(
    module: tuple[str, ...],
    directory: Path,
    config: Any = GOOD,
    amqp_url: str = NOWHERE,
    keys: Any = None,
) -> Started:
    for name, content in (("config.json", config), (".env.keys", keys)):
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            (directory / name).write_text(text)
    environment = {
        "FLEET_CONFIG": str(directory / "config.json"),
        "FLEET_HOME": str(directory),
        "AMQP_URL": amqp_url,
        "PATH": "/usr/bin:/bin",
        "PYTHONUNBUFFERED": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *module),
        env=environment,
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return Started(process)


@pytest.mark.parametrize("module", [COLLECTOR, COORDINATOR], ids=lambda module: module[0])
@pytest.mark.parametrize(
    ("config", "keys", "says"),
    [
        (None, None, "does not exist; copy config.example.json"),
        ("{", None, "is not JSON"),
        ("[]", None, "holds no JSON object"),
        ({"exchanges": ["binance"], "symbls": []}, None, "symbls: unknown field"),
        ({"exchanges": ["nowhere"]}, None, "unknown exchange 'nowhere'"),
        ({"exchanges": ["binance"], "symbols": ["BTCUSDT"]}, None, "symbols.0"),
        (GOOD, "{", ".env.keys is not JSON"),
        (GOOD, {"binance": {"apikey": "x"}}, "apikey: unknown field"),
        (GOOD | {"api_keys_file": "."}, None, "can not be read"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
async def test_a_wrong_configuration_is_one_line_and_exit_78(
    module: tuple[str, ...], config: Any, keys: Any, says: str, tmp_path: Path
) -> None:
    fleet = await started(module, tmp_path, config, keys=keys)
    assert await fleet.exit_code() == 78
    assert len(fleet.lines) == 1
    assert says in fleet.output


@pytest.mark.parametrize("module", [COLLECTOR, COORDINATOR], ids=lambda module: module[0])
async def test_a_wrong_password_is_one_line_and_exit_78(
    module: tuple[str, ...], broker_url: str, tmp_path: Path
) -> None:
    url = broker_url.replace("guest:guest@", "guest:wrong@")
    fleet = await started(module, tmp_path, amqp_url=url)
    assert await fleet.exit_code() == 78
    told = [line for line in fleet.lines if "refuses user 'guest'" in line]
    assert len(told) == 1
    assert "Traceback" not in fleet.output
    assert "wrong" not in fleet.output


@pytest.mark.parametrize("module", [COLLECTOR, COORDINATOR], ids=lambda module: module[0])
async def test_without_a_broker_a_process_waits_and_says_so_once_a_connection(
    module: tuple[str, ...], tmp_path: Path
) -> None:
    fleet = await started(module, tmp_path)
    await asyncio.sleep(5)
    assert fleet.process.returncode is None
    fleet.process.send_signal(signal.SIGTERM)
    assert await fleet.exit_code(12) == 0
    told = [line for line in fleet.lines if "127.0.0.1:9" in line and "connection" in line.lower()]
    assert told
    assert len(told) == len({line.split("]", 1)[1] for line in told})
    assert "Traceback" not in fleet.output


async def test_an_unknown_venue_is_one_line_and_exit_78(tmp_path: Path) -> None:
    fleet = await started(("workers.collector", "nowhere"), tmp_path)
    assert await fleet.exit_code() == 78
    assert len(fleet.lines) == 1


async def test_a_collector_that_the_configuration_does_not_name_waits(tmp_path: Path) -> None:
    fleet = await started(("workers.collector", "gate"), tmp_path)
    await asyncio.sleep(2)
    assert fleet.process.returncode is None
    fleet.process.send_signal(signal.SIGTERM)
    assert await fleet.exit_code(5) == 0
    assert "does not name gate: waiting" in fleet.lines[0]


async def test_a_broker_address_that_is_none_is_one_line_and_exit_78(tmp_path: Path) -> None:
    fleet = await started(COLLECTOR, tmp_path, amqp_url="http://127.0.0.1/")
    assert await fleet.exit_code() == 78
    assert len(fleet.lines) == 1
