"""Frames in over websocket, one confirmed message each out, by one collector process."""

from collections.abc import Callable, Sequence

from bench.lab import Lab
from bench.listing import symbols
from bench.load import Bench, Trial
from bench.node import broker_pid
from bench.processes import Cost
from bench.report import Bar, Figure, Row
from bench.search import Search
from bench.shelf import shelf
from bench.sink import Sink
from bench.source import Source, load_source
from bench.tally import read_fleet
from bench.tape import QUOTE, TRADE
from bench.waiting import until
from bench.worker import collector

TARGET = 12_000
MARKETS = 200
_SUBSCRIBE_S = 120.0
BINDINGS = (("futures_data", "ticker.#"), ("futures_data", "trades.#"))
_ROWS = (("futures_batches", "*.ticker.#"), ("futures_batches", "*.trades.#"))


async def measure(lab: Lab) -> list[Row]:
    """The source alone, then the collector without batches and with them."""
    markets = lab.pick(10, MARKETS)
    async with load_source(markets) as source:
        rows = [await _source_alone(lab, source, markets)]
        for batches in (False, True):
            rows.append(await _end_to_end(lab, source, markets, batches))
        return rows


async def subscribed(
    source: Source, markets: int, check: Callable[[], None] = lambda: None
) -> None:
    """Returns when quotes and trades of all markets have a reader; `check` may raise before that.
    Raises TimeoutError."""

    async def all_there() -> bool:
        check()
        streams = await source.subscribed()
        return streams[QUOTE] == streams[TRADE] == markets

    if not await until(all_there, _SUBSCRIBE_S, poll_s=0.2):
        raise TimeoutError(f"not subscribed to {markets} markets in {_SUBSCRIBE_S:.0f} s")


async def highest(
    lab: Lab, bench: Bench, start: float, name: str
) -> tuple[Trial | None, list[Trial]]:
    """The highest rate that held, and all trials."""
    search = Search(start, steps=lab.pick(2, 15), halves=lab.pick(0, 3))
    seconds = lab.pick(2.0, 10.0)
    trials: list[Trial] = []
    while not search.over:
        trial = await bench.trial(search.next_rate, seconds)
        search.record(trial.offered, trial.held)
        trials.append(trial)
        lab.say(f"  {name}: {trial}")
    held = [trial for trial in trials if trial.held]
    return max(held, key=lambda trial: trial.rate, default=None), trials


async def _source_alone(lab: Lab, source: Source, markets: int) -> Row:
    rate, seconds = lab.pick(5_000.0, 3.0 * TARGET), lab.pick(1.0, 3.0)
    sink = await Sink.open(source.port, markets)
    try:
        before = Cost.now({"source": source.pid})
        played = await source.play(rate, seconds)
        cpu_s = Cost.now({"source": source.pid}).since(before)["source"]
        whole = await sink.received(played.size, 1.0)
    finally:
        sink.close()
    what = "load source alone, into a reader that counts bytes"
    if not whole or played.late_ms > 250:
        why = f"{rate:,.0f}/s came incomplete" if not whole else f"{played.late_ms} ms late"
        return Row(what, why=why)
    details = {"late_ms": played.late_ms, "cpu_us_per_frame": 1e6 * cpu_s / played.frames}
    ratio = Figure(rate / TARGET, what="of the collector's bar", bar=Bar(3))
    return Row(what, (ratio, Figure(rate, "frames/s")), details=details)


async def _end_to_end(lab: Lab, source: Source, markets: int, batches: bool) -> Row:
    what = f"collector, frames in → confirmed messages out, batches {'on' if batches else 'off'}"
    url = lab.node.amqp_url
    async with (
        shelf(url, "bench", BINDINGS) as queue,
        shelf(url, "bench-rows", _ROWS) as rows,
        collector(source, url, symbols(markets), batches=batches) as worker,
    ):
        await subscribed(source, markets, worker.check)
        pids = {"collector": worker.pid, "broker": broker_pid(lab.node), "source": source.pid}
        bench = Bench(source, queue, read_fleet, pids, rows if batches else None)
        await bench.warm_up()
        start = lab.pick(1000.0, 0.8 * lab.known.get("collector", TARGET) if batches else TARGET)
        best, trials = await highest(lab, bench, start, what)
    details = {"markets": markets, "trials": [trial.as_dict() for trial in trials]}
    if best is None:
        return Row(what, why=trials[-1].complaint, details=details)
    if not batches:
        lab.known["collector"] = best.rate
    figures = _figures(lab, best, batches)
    return Row(what, [*figures, *first_failure(trials)], details=details)


def first_failure(trials: Sequence[Trial]) -> list[Figure]:
    """The lowest rate that did not hold: the limit is between it and the one that did."""
    failed = [trial.offered for trial in trials if not trial.held]
    return [Figure(min(failed), "msg/s", what="did not hold")] if failed else []


def _figures(lab: Lab, best: Trial, batches: bool) -> list[Figure]:
    figures, bare = [], lab.known.get("bare")
    if bare is not None:
        bar = None if batches else Bar(0.5)
        figures.append(Figure(best.rate / bare, what="of the bare writer", bar=bar))
    shares = ", ".join(f"{name} {share}" for name, share in best.shares().items())
    figures.append(Figure(best.rate, "msg/s", bar=None if batches else Bar(TARGET)))
    figures.append(
        Figure(best.us_per_message()["collector"], f"µs CPU a message (cores: {shares})")
    )
    return figures
