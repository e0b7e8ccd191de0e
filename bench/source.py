"""The load source as a process of its own, and the orders that it takes."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from bench.processes import ended_in_time
from cli.place import ROOT

_ANSWER_S = 60.0


@dataclass(frozen=True, slots=True)
class Played:
    """What a play sent: frames, how late a tick was at worst, the last number of each stream."""

    start_s: float  # wall clock, when frame 0 was due
    ended_s: float
    frames: int
    size: int
    late_ms: float
    last: dict[str, int]  # by "{market id}@{stream}"


class Source:
    """`python -m bench.venue`, running."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self.pid = process.pid
        self._process = process

    @property
    def urls(self) -> dict[str, str]:
        """For `exchange_configs.{exchange}.urls`."""
        host = f"127.0.0.1:{self.port}"
        return {"rest": f"http://{host}", "ws": f"ws://{host}"}

    async def start_play(self, rate: float, seconds: float) -> float:
        """Frames flow from the answer's time on (wall clock), open loop."""
        answer = await self._order({"play": {"rate": rate, "seconds": seconds}})
        return float(answer["start_s"])

    async def played(self, start_s: float, seconds: float) -> Played:
        answer = await self._answer(seconds + _ANSWER_S)
        return Played(
            start_s,
            answer["ended_s"],
            answer["frames"],
            answer["size"],
            answer["late_ms"],
            answer["last"],
        )

    async def play(self, rate: float, seconds: float) -> Played:
        return await self.played(await self.start_play(rate, seconds), seconds)

    async def subscribed(self) -> dict[str, int]:
        """How many streams of each kind have a subscriber."""
        return dict((await self._order({"streams": {}}))["subscribed"])

    async def unsent(self) -> int:
        """Bytes that wait for clients."""
        return int((await self._order({"unsent": {}}))["unsent"])

    async def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(order) + b"\n")
        return await self._answer(_ANSWER_S)

    async def _answer(self, deadline_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(deadline_s):
            line = await self._process.stdout.readline()
        return dict(orjson.loads(line))


@asynccontextmanager
async def load_source(
    markets: int, levels: int = 50, depth_interval_s: float = 2.0
) -> AsyncIterator[Source]:
    """A source that lists `markets` contracts, ended with the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.venue", "--markets", str(markets)),
        *("--levels", str(levels), "--depth-interval", str(depth_interval_s)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            port = orjson.loads(await process.stdout.readline())["port"]
        yield Source(process, port)
    finally:
        await ended_in_time(process)
