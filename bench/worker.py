"""One collector as supervisord would run it: a process, its configuration, its environment."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import ended_in_time
from bench.source import Source
from cli.place import ROOT
from shared.files import write_json

#: The venue whose protocol the load source speaks.
EXCHANGE = "binance"


@dataclass(frozen=True, slots=True)
class Worker:
    process: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def check(self) -> None:
        """Raises ChildProcessError where it has ended."""
        if self.process.returncode is not None:
            words = self.log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise ChildProcessError(f"the collector ended, saying: {words[-1]}")


@asynccontextmanager
async def collector(
    source: Source, amqp_url: str, symbols: Sequence[str], *, batches: bool
) -> AsyncIterator[Worker]:
    """`python -m workers.collector` on the source, ended with the block."""
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as directory:
        home = Path(directory)
        write_json(home / "config.json", _config(source, symbols, batches))
        with (home / "collector.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "workers.collector", EXCHANGE),
                cwd=ROOT,
                env=_environment(home, amqp_url),
                stdout=log,
                stderr=log,
            )
            try:
                yield Worker(process, home / "collector.log")
            finally:
                await ended_in_time(process)


def _config(source: Source, symbols: Sequence[str], batches: bool) -> dict[str, Any]:
    return {
        "rabbitmq": {"batches": batches},
        "exchanges": [EXCHANGE],
        "symbols": list(symbols),
        "exchange_configs": {EXCHANGE: {"urls": source.urls}},
    }


def _environment(home: Path, amqp_url: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()  # not read for itself: handed on
        if not name.startswith(("FLEET_", "AMQP_URL", "RABBITMQ_"))
    }
    return kept | {
        "AMQP_URL": amqp_url,
        "FLEET_HOME": str(home),
        "FLEET_CONFIG": str(home / "config.json"),
    }
