"""The shared budget: permits that three processes get against those that are due, and how soon one
goes on by itself when Redis has gone."""

import asyncio
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from bench.lab import Lab
from bench.permits import RULE
from bench.processes import ended_in_time
from bench.report import Bar, Figure, Row
from bench.waiting import until
from cli.place import ROOT
from cli.ports import LOOPBACK, free_ports
from shared.errors import ConfigurationError

_PROCESSES = 3
_ERROR = Bar(0.1, at_most=True)
_FALLBACK_MS = Bar(100, at_most=True)
_WAIT_S = 30.0


async def measure(lab: Lab) -> list[Row]:
    """Demand without end, for as long as 2,500 permits take."""
    seconds = lab.pick(2.0, 25.0)
    async with _redis() as (redis, port):
        spenders = [await _spender(port, seconds) for _ in range(_PROCESSES)]
        try:
            said = [await _line(one, seconds + _WAIT_S) for one in spenders]
            await asyncio.sleep(1.5)  # each has some of its own by then
            redis.send_signal(signal.SIGSTOP)  # the worst way to go: nothing is refused
            after = [await _told(one) for one in spenders]
        finally:
            redis.send_signal(signal.SIGCONT)
            for one in spenders:
                await ended_in_time(one)
    return [_accuracy(said, seconds), _fallback(after)]


def _accuracy(said: list[dict[str, Any]], seconds: float) -> Row:
    began = min(one["began"] for one in said)
    granted = sum(at <= began + seconds for one in said for at in one["had"])
    due = RULE.limit().per_second * seconds  # it starts empty
    what = f"limiter by Redis, {_PROCESSES} processes, granted against due"
    figures = [
        Figure(100 * abs(granted - due) / due, "% error", _ERROR),
        Figure(granted, "granted"),
        Figure(due, "due"),
    ]
    each = [len(one["had"]) for one in said]
    return Row(what, figures, details={"each": each, "fallbacks": [o["fallbacks"] for o in said]})


def _fallback(after: list[dict[str, Any]]) -> Row:
    what = "a permit when Redis has gone, the slowest of three processes"
    if any(one["mode"] != "fallback" for one in after):
        return Row(what, why=f"modes {[one['mode'] for one in after]}")
    slowest = 1000 * max(one["took_s"] for one in after)
    return Row(what, [Figure(slowest, "ms", _FALLBACK_MS)])


async def _spender(port: int, seconds: float) -> Process:
    command = (sys.executable, "-m", "bench.permits", str(port), str(seconds), str(1 / _PROCESSES))
    return await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=PIPE, stdout=PIPE, limit=2**22
    )


async def _told(spender: Process) -> dict[str, Any]:
    assert spender.stdin is not None
    spender.stdin.write(b"\n")
    return await _line(spender, _WAIT_S)


async def _line(spender: Process, wait_s: float) -> dict[str, Any]:
    assert spender.stdout is not None
    async with asyncio.timeout(wait_s):
        line = await spender.stdout.readline()
    if not line:
        raise ChildProcessError("a process ended")
    said: dict[str, Any] = orjson.loads(line)
    return said


@asynccontextmanager
async def _redis() -> AsyncIterator[tuple[Process, int]]:
    """A private one. Raises ConfigurationError where there is none on this machine."""
    command = shutil.which("redis-server")
    if command is None:
        raise ConfigurationError("no redis-server here")
    [port] = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as directory:
        process = await asyncio.create_subprocess_exec(
            *(command, "--port", str(port), "--bind", LOOPBACK, "--save", "", "--dir", directory),
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            if not await until(lambda: _listens(port), 10.0):
                raise ConfigurationError("redis-server does not start")
            yield process, port
        finally:
            await ended_in_time(process)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True
