"""A whole fleet on simulated venues: five collectors and a coordinator under supervisord."""

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ended_in_time
from cli.host import Host
from cli.place import ROOT, remove_socket, socket_path
from cli.supervisor_conf import PROGRAMS, variant
from shared.files import write_json
from shared.symbols import symbol_key
from shared.venues import VENUES
from simulator.universe import instruments

#: The bars are those of a fleet of five, however many venues the catalogue has.
EXCHANGES = VENUES[:5]
SYMBOLS = tuple(one.symbol for one in instruments(VENUES[0], 10))


@dataclass(frozen=True, slots=True)
class Fleet:
    """`host.start()` brings it up; the broker and the venues run already."""

    host: Host
    home: Path
    simulator_pid: int

    def collector_pid(self, venue: str) -> int:
        """Raises LookupError where supervisord runs none."""
        for program in self.host.supervisor.programs():
            if program.name == f"collector-{venue}" and program.pid:
                return program.pid
        raise LookupError(f"no collector-{venue} runs")


def keys(venue: str) -> set[str]:
    """Symbol keys that a venue lists of the ten."""
    return {symbol_key(one.symbol) for one in instruments(venue, len(SYMBOLS))}


@asynccontextmanager
async def fleet(amqp_url: str, *rates: str) -> AsyncIterator[Fleet]:
    """Not started yet; ended with the block. `rates` are options of the simulator."""
    with tempfile.TemporaryDirectory(prefix="fleet-bench-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        async with _simulator(rates) as (pid, port):
            host = _host(home, amqp_url, port)
            try:
                yield Fleet(host, home, pid)
            finally:
                await asyncio.to_thread(host.stop)
                remove_socket(host.socket)


def _host(home: Path, amqp_url: str, port: int) -> Host:
    logs = home / "logs"
    logs.mkdir()
    write_json(home / "config.json", _config(port))
    text = variant(home, logs, socket_path(home), (f"{PROGRAMS}/*.ini",))
    (home / "supervisord.conf").write_text(text, encoding="utf-8")
    return Host(home / "supervisord.conf", socket_path(home), _environment(home, amqp_url))


@asynccontextmanager
async def _simulator(rates: tuple[str, ...]) -> AsyncIterator[tuple[int, int]]:
    """Its pid and its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulator", "--port", "0", "--symbols", str(len(SYMBOLS))),
        *rates,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        found = re.search(rb":(\d+)", line)
        if found is None:
            raise ChildProcessError(f"the simulator did not start: {line!r}")
        yield process.pid, int(found[1])
    finally:
        await ended_in_time(process)


def _config(port: int) -> dict[str, object]:
    host = f"127.0.0.1:{port}"
    return {
        "exchanges": EXCHANGES,
        "symbols": SYMBOLS,
        "exchange_configs": {
            name: {"urls": {"rest": f"http://{host}/{name}", "ws": f"ws://{host}/{name}"}}
            for name in EXCHANGES
        },
    }


def _environment(home: Path, amqp_url: str) -> dict[str, str]:
    # Without bytecode on disk each process would compile all it imports, at each start.
    foreign = ("FLEET_", "AMQP_URL", "RABBITMQ_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    paths = {"FLEET_HOME": str(home), "FLEET_CONFIG": str(home / "config.json")}
    return kept | paths | {"AMQP_URL": amqp_url}
