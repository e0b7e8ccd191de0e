"""A demo fleet whose workers and venues are changed while it runs, by the agent of its host."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage

from cli.demo_layout import EXCHANGES as VENUES
from cli.endpoints import Endpoints, read_endpoints
from cli.supervisor import Supervisor
from shared.files import read_json
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.deadline(180)]

FLEET = str(Path(sys.executable).parent / "fleet")
NEW = "okx"  # the demo's simulator serves it, its configuration does not name it
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


@dataclass(frozen=True)
class Demo:
    home: Path
    endpoints: Endpoints

    def pids(self) -> dict[str, int | None]:
        programs = Supervisor(Path(self.endpoints.supervisor_socket)).programs()
        return {program.name: program.pid for program in programs}

    async def fleet(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of a command, typed while the demo runs."""
        done = await asyncio.to_thread(
            subprocess.run,
            [FLEET, *arguments],
            env=environment(self.home),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    async def answer(self, *arguments: str) -> Any:
        _, out = await self.fleet(*arguments, "--json")
        return orjson.loads(out)

    async def worker(self, venue: str) -> str:
        """The id of a venue's worker."""
        rows = (await self.answer("workers", "--exchange", venue))["data"]["workers"]
        return str(rows[0]["worker"])

    async def whole(self) -> bool:
        return (await self.fleet("workers"))[0] == 0


def environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLEET_", "AMQP_URL"))}
    return kept | {"FLEET_HOME": str(home), "FLEET_CONFIG": str(home / "config.json")}


@pytest.fixture(scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    """A demo that delivers."""
    home = tmp_path_factory.mktemp("agent")
    out = home / "out.log"
    log = out.open("wb")
    process = await asyncio.create_subprocess_exec(
        *(FLEET, "demo"),
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        endpoints = await eventually(lambda: read_endpoints(home / "endpoints.json"), 30, "up")
        await eventually(lambda: b"venues deliver" in out.read_bytes(), 90, "delivering")
        yield Demo(home, endpoints)
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 60)
        log.close()


class Ears:
    """Routing keys on the data exchange, as they come."""

    def __init__(self, url: str, *patterns: str) -> None:
        self._url = url
        self._patterns = patterns
        self.keys: list[str] = []

    async def __aenter__(self) -> "Ears":
        self._connection = await aio_pika.connect(self._url)
        channel = await self._connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        for pattern in self._patterns:
            await queue.bind("futures_data", pattern)

        async def hear(message: AbstractIncomingMessage) -> None:
            self.keys.append(message.routing_key or "")

        await queue.consume(hear, no_ack=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()


async def test_one_worker_is_restarted_and_no_other(demo: Demo) -> None:
    await eventually(demo.whole, 60, "all is live", 1)
    worker, before = await demo.worker("bybit"), demo.pids()
    code, out = await demo.fleet("workers", "restart", worker)
    assert code == 0, out
    after = demo.pids()
    assert {name for name in before if before[name] != after[name]} == {"collector-bybit"}
    assert after["collector-bybit"] is not None
    await eventually(demo.whole, 60, "all is live again", 1)
    code, out = await demo.fleet("workers", "restart", "bybit-7@nowhere")
    assert code == 1, out


async def test_a_venue_is_added_and_removed_while_the_others_go_on(demo: Demo) -> None:
    before = demo.pids()
    async with Ears(demo.endpoints.amqp_url, f"trades.{NEW}.*", f"futures.{NEW}.*") as ears:
        await asyncio.sleep(2)
        assert not ears.keys
        code, out = await demo.fleet("exchange", "add", NEW)
        assert code == 0, out
        wanted = {f"{kind}.{NEW}.{key}" for kind in ("trades", "futures") for key in SYMBOLS}
        await eventually(lambda: wanted <= set(ears.keys), 60, f"{NEW} flows")
        assert demo.pids() == before, "its collector has waited, and restarts no more than others"
        await eventually(demo.whole, 60, "all is live", 1)
        exchanges = (await demo.answer("exchange", "list"))["exchanges"]
        assert set(exchanges) == {*VENUES, NEW}

        code, out = await demo.fleet("exchange", "remove", NEW)
        assert code == 0, out
        await asyncio.sleep(2)
        ears.keys.clear()
        await asyncio.sleep(7)  # more than an interval of FuturesData
        assert not ears.keys
    after = demo.pids()
    assert {name for name in before if before[name] != after[name]} == {f"collector-{NEW}"}
    state = read_json(demo.home / "demo" / "state" / "exchanges.json")
    assert NEW in state["left"] and NEW not in state["added"]
    assert (await demo.fleet("exchange", "disable", NEW))[0] == 0
    await eventually(demo.whole, 60, "nobody misses it", 1)


@pytest.mark.long
async def test_an_agent_that_is_killed_finishes_its_errand(demo: Demo) -> None:
    await eventually(demo.whole, 60, "all is live", 1)
    worker, before = await demo.worker("gate"), demo.pids()
    answer = await demo.answer("workers", "restart", worker, "--wait", "0")
    assert answer["success"], answer
    book = demo.home / "demo" / "state" / "agent" / "errands.json"
    errand = answer["data"]["errand"]

    def begun() -> bool:
        kept = read_json(book) or {"waiting": []}
        return any(w["errand"]["id"] == errand and w["pids"] for w in kept["waiting"])

    await eventually(begun, 10, "the errand is at hand")
    agent = before["agent"]
    assert agent is not None
    os.kill(agent, signal.SIGKILL)
    await eventually(lambda: errand in (read_json(book) or {"over": []})["over"], 60, "done")
    after = demo.pids()
    assert {name for name in before if before[name] != after[name]} == {"agent", "collector-gate"}
    await eventually(demo.whole, 60, "all is live again", 1)


async def test_the_whole_status_is_one_screen(demo: Demo) -> None:
    await eventually(demo.whole, 60, "all is live", 1)
    code, out = await demo.fleet("status")
    assert code == 0, out
    for words in ("collector-gate", "gate-0@", "coordinator@", "leads", "agent@"):
        assert words in out
    assert len(out.splitlines()) < 60
    told = await demo.answer("status")
    assert told["state"] == "ok"
    assert {beat["role"] for beat in told["heartbeats"]} == {"collector", "coordinator", "agent"}
    assert set(told["fleet"]) >= {"workers", "agents", "coordinators", "symbols"}
