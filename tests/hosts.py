"""Hosts to test: each is a supervisord with its own id, home, configuration, logs and socket, all
on this machine; the broker and the simulated venues are outside of them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from cli.host import Host
from cli.place import remove_socket, socket_path
from cli.processes import wait_until_gone
from cli.supervisor_conf import PROGRAMS, variant
from shared import supervisor_socket
from shared.files import write_json
from simulator.universe import instruments
from tests.venues import Simulator, simulated_venues

_GONE_S = 10.0
#: Longer than any program may take to stop, see stopwaitsecs.
_STOPPED_S = 30.0


@dataclass(frozen=True)
class Lab:
    """What the hosts share. All have one egress, as the venues see one address."""

    amqp_url: str
    directory: Path
    simulator: Simulator
    venues: tuple[str, ...]
    symbols: list[str]
    market_ids: dict[tuple[str, str], str]  # by venue and symbol
    hosts: "dict[str, FleetHost]" = field(default_factory=dict)

    def host(self, name: str) -> "FleetHost":
        """A new host, not started yet."""
        self.hosts[name] = FleetHost(self, name)
        return self.hosts[name]

    def config(self) -> dict[str, Any]:
        collection = {"interval_seconds": 10, "timeframes": ["1m"]}  # not the work of these tests
        return self.simulator.config(self.venues, symbols=self.symbols, collection=collection)


class FleetHost:
    """One host: a coordinator, an agent and a collector for each venue."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.name = name
        self._lab = lab
        self._home = lab.directory / name
        self._host = self._written()

    @property
    def programs(self) -> list[str]:
        return ["coordinator", "agent", *(f"collector-{venue}" for venue in self._lab.venues)]

    def worker(self, venue: str) -> str:
        return f"{venue}-0@{self.name}"

    def start(self) -> None:
        """Also after `kill`. Blocks until supervisord answers; call it from the main thread."""
        self._host = self._written()
        self._host.start()

    def pids(self) -> dict[str, int | None]:
        """Of the programs that run."""
        return {p.name: p.pid for p in self._host.supervisor.programs() if p.state == "RUNNING"}

    async def restart(self, program: str) -> None:
        """Stopped in order and started, as an operator does; returns before it runs."""
        await asyncio.to_thread(self._restart, program)

    def shoot(self) -> list[int]:
        """SIGKILL for supervisord and all its programs; the pids."""
        supervisord = psutil.Process(self._host.pid)
        # supervisord first: it would start its programs again.
        processes = [supervisord, *supervisord.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return [process.pid for process in processes]

    async def kill(self) -> None:
        """As if the machine were gone."""
        pids = self.shoot()
        assert await asyncio.to_thread(wait_until_gone, pids, _GONE_S)
        self._bury()

    async def stop(self) -> None:
        """In order. A host that never started, or was killed, is stopped already."""
        if self._host._child is not None:
            await asyncio.to_thread(self._host.stop)
            self._bury()

    def _restart(self, program: str) -> None:
        self._host.supervisor._stop({program}, time.monotonic() + _STOPPED_S)
        supervisor_socket.call(str(self._host.socket), "startProcess", program, False)

    def _bury(self) -> None:
        child = self._host._child
        assert child is not None and child.stdout is not None
        child.wait(_GONE_S)
        child.stdout.close()
        remove_socket(self._host.socket)
        self._host._child = None

    def _written(self) -> Host:
        home = self._home
        (home / "logs").mkdir(parents=True, exist_ok=True)
        write_json(home / "config.json", self._lab.config())
        programs = [str(PROGRAMS / f"{program}.ini") for program in self.programs]
        text = variant(home, home / "logs", socket_path(home), programs)
        (home / "supervisord.conf").write_text(text, encoding="utf-8")
        return Host(home / "supervisord.conf", socket_path(home), self._environment())

    def _environment(self) -> dict[str, str]:
        foreign = ("FLEET_", "AMQP_URL", "RABBITMQ_", "SUPERVISOR_")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
        return kept | {
            "AMQP_URL": self._lab.amqp_url,
            "FLEET_HOME": str(self._home),
            "FLEET_CONFIG": str(self._home / "config.json"),
            "FLEET_HOST_ID": self.name,
            "FLEET_EGRESS": "lab",
        }


@asynccontextmanager
async def lab(
    amqp_url: str, directory: Path, venues: Sequence[str], symbols: int, rates: Sequence[str]
) -> AsyncIterator[Lab]:
    """Venues that list so many symbols in common; the hosts are stopped with the block."""
    listed = symbols + 3  # three of the simulator's are missing somewhere
    ids = {(venue, one.symbol): one.id for venue in venues for one in instruments(venue, listed)}
    everywhere = [
        one.symbol
        for one in instruments(venues[0], listed)
        if all((venue, one.symbol) in ids for venue in venues)
    ]
    count = ("--symbols", str(listed))
    async with simulated_venues(directory, *count, *rates) as simulator:
        made = Lab(amqp_url, directory, simulator, tuple(venues), everywhere[:symbols], ids)
        assert len(made.symbols) == symbols
        try:
            yield made
        finally:
            await asyncio.gather(*(host.stop() for host in made.hosts.values()))
