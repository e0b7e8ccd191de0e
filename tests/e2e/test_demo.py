"""`fleet demo` from a shell: it delivers, gives a verdict, and leaves nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.demo_layout import EXCHANGES, SYMBOLS
from cli.endpoints import Endpoints, read_endpoints
from cli.leftovers import leftovers
from cli.ports import listens
from shared.files import read_json
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.deadline(180)]
FLEET = str(Path(sys.executable).parent / "fleet")


@dataclass(slots=True)
class Started:
    """A demo that runs with a home of its own, beside whatever else runs in this clone."""

    home: Path
    process: "subprocess.Popen[str]"

    def endpoints(self) -> Endpoints | None:
        return read_endpoints(self.home / "endpoints.json")

    async def up(self) -> Endpoints:
        return await eventually(self.endpoints, 30, "the demo is up")

    async def ended(self, timeout_s: float) -> str:
        """What it has printed."""
        output, _ = await asyncio.to_thread(self.process.communicate, timeout=timeout_s)
        return output

    def fleet(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [FLEET, *arguments],
            env=environment(self.home),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def nothing_is_left(self) -> bool:
        return not leftovers(self.home / "demo") and not (self.home / "endpoints.json").exists()


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "AMQP_URL"}
    return kept | {"FLEET_HOME": str(home), "FLEET_CONFIG": str(home / "config.json")}


def start(home: Path, *options: str) -> Started:
    process = subprocess.Popen(
        [FLEET, "demo", *options],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Started(home, process)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Started]:
    started = start(tmp_path)
    yield started
    if started.process.poll() is None:
        started.process.terminate()
        started.process.communicate(timeout=60)


def ports(endpoints: Endpoints, home: Path) -> list[int]:
    config = read_json(home / "demo" / "config.json")
    urls = (endpoints.simulator_url, endpoints.management_url)
    return [
        config["rabbitmq"]["port"],
        *(int((url or "").rstrip("/").split(":")[2]) for url in urls),
    ]


async def test_a_demo_for_some_seconds_delivers_everything_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    demo = start(tmp_path, "--seconds", "12")
    endpoints = await demo.up()
    open_ports = ports(endpoints, tmp_path)
    output = await demo.ended(timeout_s=150)
    assert demo.process.returncode == 0, output
    assert "SIMULATED" in output
    assert "\x1b" not in output
    for name in (*EXCHANGES, *SYMBOLS):
        assert name in output
    assert "not listed" in output, "simulated htx has no SOL"
    assert demo.nothing_is_left()
    assert not any(listens("127.0.0.1", port) for port in open_ports)


async def test_what_a_newcomer_tries_while_a_demo_runs(demo: Started) -> None:
    await demo.up()
    second = start(demo.home)
    assert "runs in this clone already" in await second.ended(timeout_s=20)
    assert second.process.returncode == 1

    await eventually(lambda: demo.fleet("symbols").returncode == 0, 60, "the coordinator answers")
    await eventually(lambda: demo.fleet("status").returncode == 0, 60, "everything runs")
    assert demo.fleet("symbols", "add", "doge").returncode == 0
    assert "DOGE/USDT:USDT" in demo.fleet("symbols").stdout
    assert demo.fleet("symbols", "add", "doge").returncode == 1
    trades = demo.fleet("tail", "trades.*.DOGEUSDT", "--count", "2")
    assert trades.returncode == 0 and trades.stdout.count("trades.") == 2

    assert demo.fleet("down").returncode == 0
    output = await demo.ended(timeout_s=30)
    assert demo.process.returncode == 0, output
    assert demo.nothing_is_left()


@pytest.mark.long
async def test_a_killed_demo_takes_its_fleet_with_it(demo: Started) -> None:
    await demo.up()
    demo.process.send_signal(signal.SIGKILL)
    demo.process.communicate(timeout=10)
    await eventually(lambda: not leftovers(demo.home / "demo"), 60, "nothing runs", poll_s=0.5)
    assert demo.endpoints() is None
