"""`fleet record` and `fleet replay` as a user calls them: processes, without a broker."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from simulator.capture import Received
from simulator.recording import Recording
from tests.venues import Simulator, simulated_venues

VENUE = "gate"
FLEET = (sys.executable, "-c", "from cli.main import main; main()")


class Home:
    """A fleet's directory and configuration, and the commands that are called there."""

    def __init__(self, directory: Path, port: int) -> None:
        directory.mkdir()
        config = directory / "config.json"
        simulator = Simulator(port, directory)
        config.write_text(json.dumps(simulator.config((VENUE,), symbols=["BTC/USDT:USDT"])))
        self.recordings = directory / "recordings"
        paths = {"FLEET_CONFIG": str(config), "FLEET_HOME": str(directory)}
        self._environment = os.environ | paths | {"AMQP_URL": "amqp://127.0.0.1:9/"}

    async def started(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *FLEET, *arguments, stdout=asyncio.subprocess.PIPE, env=self._environment
        )

    async def told(self, *arguments: str) -> str:
        """What a command that ends by itself writes, when it has worked."""
        process = await self.started(*arguments)
        async with asyncio.timeout(40):
            output, _ = await process.communicate()
        assert process.returncode == 0, output
        return output.decode()

    def frames(self) -> list[str | bytes]:
        """Of market data."""
        events = Recording(self.recordings, VENUE).events()
        frames = [event.data for event in events if isinstance(event, Received)]
        return [frame for frame in frames if '"event":"update"' in str(frame)]


@asynccontextmanager
async def replaying(home: Home) -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
    directory = str(home.recordings)
    process = await home.started("replay", directory, "--capture", VENUE, "--port", "0")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
        found = re.search(rb"http://127.0.0.1:(\d+) \(gate, recorded\)", line)
        assert found, line
        yield int(found[1]), process.stdout
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_what_was_recorded_is_listed_and_replayed(tmp_path: Path) -> None:
    async with simulated_venues(tmp_path, "--symbols", "2") as simulator:
        home = Home(tmp_path / "home", simulator.port)
        assert await home.told("record", "--list", "--json") == "[]\n"
        summary = await home.told("record", VENUE, "--seconds", "5")
    recorded = home.frames()
    assert len(recorded) > 20
    assert "0 lost" in summary

    (day,) = json.loads(await home.told("record", "--list", "--json"))
    assert_listed(day)
    assert VENUE in await home.told("record", "--list")

    async with replaying(home) as (port, output):
        again = Home(tmp_path / "again", port)
        await again.told("record", VENUE, "--seconds", "9", "--out", str(tmp_path / "other"))
        async with asyncio.timeout(5):
            told = await output.readline()
    again.recordings = tmp_path / "other"
    assert told == f"replayed to the end: {len(recorded)} frames were sent, 0 missed\n".encode()
    assert sorted(map(str, again.frames())) == sorted(map(str, recorded))


def assert_listed(day: dict[str, Any]) -> None:
    assert (day["exchange"], day["files"]) == (VENUE, 1)
    assert day["mb"] > 0
    assert re.fullmatch(r"\d\d:\d\d:\d\d", day["first"])
    assert day["day"].count("-") == 2


async def test_a_recording_ends_by_a_signal_as_a_whole(tmp_path: Path) -> None:
    async with simulated_venues(tmp_path, "--symbols", "2") as simulator:
        home = Home(tmp_path / "home", simulator.port)
        process = await home.started("record", VENUE)
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while "listed" not in (await process.stdout.readline()).decode():
                assert process.returncode is None
            process.send_signal(signal.SIGINT)
            output, _ = await process.communicate()
    assert process.returncode == 0
    assert "0 lost" in output.decode()
    assert Recording(home.recordings, VENUE).files()
