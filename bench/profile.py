"""Where a collector's CPU goes: its functions under load, in microseconds a message."""

import asyncio
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import stacks
from bench.collector import BINDINGS, MARKETS, subscribed
from bench.lab import Lab
from bench.listing import symbols
from bench.load import Bench
from bench.node import broker_pid
from bench.peer import PYTHON
from bench.shelf import shelf
from bench.source import load_source
from bench.tally import read_fleet
from bench.worker import collector
from shared.errors import ConfigurationError

RATE = 8_000
_HZ = 250


async def profile(lab: Lab, rate: float) -> str:
    """A table of functions. Raises ConfigurationError where no py-spy is installed."""
    sampler = _sampler()
    seconds = lab.pick(3.0, 10.0)
    async with (
        load_source(MARKETS) as source,
        shelf(lab.node.amqp_url, "bench", BINDINGS) as queue,
        collector(source, lab.node.amqp_url, symbols(MARKETS), batches=False) as worker,
    ):
        await subscribed(source, MARKETS, worker.check)
        pids = {"collector": worker.pid, "broker": broker_pid(lab.node), "source": source.pid}
        bench = Bench(source, queue, read_fleet, pids)
        await bench.warm_up()
        sampling = asyncio.create_task(_sampled(sampler, worker.pid, seconds))
        trial = await bench.trial(rate, seconds)
        text = await sampling
    return f"{trial}\n{stacks.table(text, trial.us_per_message()['collector'])}"


def _sampler() -> str:
    beside = PYTHON.with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise ConfigurationError("profile needs py-spy: scripts/bench_venv.sh installs it")
    return found


async def _sampled(sampler: str, pid: int, seconds: float) -> str:
    """Collapsed stacks. The process is not stopped for a sample: its rate is what is looked at."""
    with TemporaryDirectory(prefix="fleet-bench-") as directory:
        output = Path(directory) / "stacks"
        process = await asyncio.create_subprocess_exec(
            *(sampler, "record", "--nonblocking", "--format", "raw", "--rate", str(_HZ)),
            *("--duration", str(int(seconds)), "--output", str(output), "--pid", str(pid)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await process.wait()
        return output.read_text()
