"""cryptofeed with its RabbitMQ back end, on the same frames from the same source.

Its back end awaits each confirm in the loop that reads the websocket, so that one message a
connection is on its way: beside the one connection that it opens for so few streams, it is measured
with the symbols over several, and the better of both stands.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import urlsplit

from bench.collector import MARKETS, first_failure, highest, subscribed
from bench.lab import Lab
from bench.load import Bench, Trial
from bench.node import broker_pid
from bench.processes import ended_in_time
from bench.report import Bar, Figure, Row
from bench.shelf import shelf
from bench.source import Source, load_source
from bench.tally import read_cryptofeed
from cli.place import ROOT

#: A venv of its own: its pins are not ours. `scripts/bench_venv.sh` makes it.
PYTHON = ROOT / ".fleet" / "bench-venv" / "bin" / "python"
_FEED = Path(__file__).with_name("peer_feed.py")
_KEY = "cryptofeed"
_CONFIGURED = (
    "TradeRabbit and TickerRabbit in exchange mode: one topic exchange, one routing key, its own"
    " defaults otherwise (transient messages, each confirm awaited), uvloop, one process"
)
_START_RATE = 2_000
_CONNECTIONS = (1, 8)


async def measure(lab: Lab) -> list[Row]:
    what = "cryptofeed with its RabbitMQ back end, same frames"
    version = await _version()
    if version is None:
        return [
            Row(what, why=f"cryptofeed is not installed in {PYTHON.parents[1].relative_to(ROOT)}")
        ]
    rows, limits = [], []
    for connections in _CONNECTIONS:
        best, trials = await _highest(lab, connections)
        name = f"{what} ({version}), {connections} connection{'s' * (connections > 1)}"
        details = {
            "version": version,
            "configured": _CONFIGURED,
            "trials": [trial.as_dict() for trial in trials],
        }
        if best is None:
            rows.append(Row(name, why=trials[-1].complaint, details=details))
            continue
        shares = ", ".join(f"{name} {share}" for name, share in best.shares().items())
        cpu = best.us_per_message()["cryptofeed"]
        figures = (
            Figure(best.rate, "msg/s"),
            Figure(cpu, f"µs CPU a message (cores: {shares})"),
            *first_failure(trials),
        )
        rows.append(Row(name, figures, details=details))
        limits.append(min((t.offered for t in trials if not t.held), default=float("inf")))
    return [*rows, _ratio(lab, limits)]


async def _highest(lab: Lab, connections: int) -> tuple[Trial | None, list[Trial]]:
    markets = lab.pick(16, MARKETS)
    async with (
        load_source(markets) as source,
        shelf(lab.node.amqp_url, "bench-peer", (("futures_data", _KEY),)) as queue,
        _feed(source, lab.node.amqp_url, markets, connections) as (pid, check),
    ):
        await subscribed(source, markets, check)
        pids = {"cryptofeed": pid, "broker": broker_pid(lab.node), "source": source.pid}
        bench = Bench(source, queue, read_cryptofeed, pids)
        await bench.warm_up()
        name = f"cryptofeed, {connections} connections"
        return await highest(lab, bench, lab.pick(500, _START_RATE), name)


def _ratio(lab: Lab, limits: list[float]) -> Row:
    """What held of ours against what did not of theirs."""
    what, ours = "collector, batches off, against the better of it", lab.known.get("collector")
    if ours is None or not limits:
        return Row(what, why="no figure of both, ours and cryptofeed's")
    if max(limits) == float("inf"):
        return Row(what, why="it held every rate that it was offered")
    ratio = Figure(ours / max(limits), what="× cryptofeed at least", bar=Bar(5))
    return Row(what, (ratio,))


async def _version() -> str | None:
    """Of the cryptofeed that is installed, or None."""
    if not PYTHON.exists():
        return None
    code = (
        "import cryptofeed.backends.rabbitmq, importlib.metadata as m; "
        "print(m.version('cryptofeed'))"
    )
    process = await asyncio.create_subprocess_exec(
        PYTHON, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    return output.decode().strip() or None


@asynccontextmanager
async def _feed(
    source: Source, amqp_url: str, markets: int, connections: int
) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    """A feed handler on the source: its pid, and what raises where it has ended."""
    login = urlsplit(amqp_url).netloc
    with TemporaryFile() as told:  # at length, when it is ended as well
        process = await asyncio.create_subprocess_exec(
            # -P: else modules of ours stand before those of the same name that it imports.
            *(PYTHON, "-P", _FEED, source.urls["rest"], source.urls["ws"], login),
            *(str(markets), str(connections)),
            cwd=ROOT / ".fleet",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=told,
        )

        def check() -> None:
            if process.returncode is not None:
                told.seek(0)
                last = told.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise ChildProcessError(f"cryptofeed ended with {process.returncode}: {last}")

        try:
            yield process.pid, check
        finally:
            await ended_in_time(process)
