"""The benchmark runs, from outside: its table, its JSON, and that nothing of it is left."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

import orjson
import psutil
import pytest

from bench.load import Bench
from bench.shelf import shelf
from bench.sink import Sink
from bench.source import load_source
from bench.tally import read_fleet
from cli.place import ROOT


async def test_the_source_sends_what_it_says() -> None:
    async with load_source(5) as source:
        sink = await Sink.open(source.port, 5)
        assert await source.subscribed() == {"bookTicker": 5, "aggTrade": 5, "depth": 0}
        played = await source.play(2_000, 0.5)
        assert played.frames == 1_000
        assert set(played.last.values()) == {100}
        assert await sink.received(played.size, 5)
        sink.close()


async def test_a_run_whose_messages_do_not_arrive_has_no_figure(amqp_url: str) -> None:
    """Somebody reads the source, and nobody publishes."""
    bindings = (("futures_data", "trades.nobody.#"),)
    async with load_source(2) as source, shelf(amqp_url, "bench-test", bindings) as queue:
        sink = await Sink.open(source.port, 2)
        trial = await Bench(source, queue, read_fleet, {"source": source.pid}).trial(500, 0.4)
        sink.close()
    assert not trial.held
    assert trial.complaint == "200 frames sent, 0 messages arrived"


@pytest.mark.long
@pytest.mark.deadline(400)
def test_everything_is_measured_and_nothing_is_left(tmp_path: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("fleet-bench-*"))
    report, run = tmp_path / "report.json", uuid4().hex
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", str(report)],
        cwd=ROOT,
        env=os.environ | {"BENCH_RUN": run},
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    body = orjson.loads(report.read_bytes())
    missing = {row["verdict"] for row in body["rows"] if not row["figures"]}
    assert all("not installed" in why or "it held every rate" in why for why in missing), missing
    assert len(body["rows"]) >= 15
    assert {"commit", "cores", "rabbitmq", "load_average"} <= set(body["machine"])
    for row in body["rows"]:
        assert row["what"] in done.stdout
    assert set(Path(tempfile.gettempdir()).glob("fleet-bench-*")) <= before
    assert not [one.cmdline() for one in psutil.process_iter() if _is_of(run, one)]


def _is_of(run: str, process: psutil.Process) -> bool:
    """By what all processes of a run inherit."""
    try:
        return bool(process.environ().get("BENCH_RUN") == run)
    except psutil.Error:
        return False
