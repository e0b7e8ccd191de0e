"""What a collector costs: memory after a while, memory and CPU a symbol."""

from dataclasses import dataclass, field

from bench.collector import BINDINGS, subscribed
from bench.lab import Lab
from bench.listener import Headers, listening
from bench.listing import symbols
from bench.load import Bench
from bench.processes import pss_mb
from bench.report import Bar, Figure, Row
from bench.shelf import shelf
from bench.source import load_source
from bench.tally import read_fleet
from bench.waiting import until
from bench.worker import collector

BAR_MB = 125
MARKETS = 500
SYMBOLS = 50
LEVELS = 1000
MINUTES = 10.0
#: Quotes and trades together, a symbol and second.
_FRAMES = 10
_BOOKS_S = 180.0


async def measure(lab: Lab) -> list[Row]:
    """First one collector for minutes, then four of different size for seconds, twice."""
    return [await _after(lab, lab.pick(0.05, MINUTES)), *await _by_symbols(lab)]


@dataclass(slots=True)
class Books:
    """Symbols whose book was published, which it is once it is valid."""

    seen: set[str] = field(default_factory=set)

    def take(self, routing_key: str, _body: bytes, _headers: Headers, _now_s: float) -> None:
        self.seen.add(routing_key)


async def _after(lab: Lab, minutes: float) -> Row:
    count, books = lab.pick(10, SYMBOLS), Books()
    what = f"memory of a collector after {minutes:g} min, {MARKETS} markets, {count} symbols"
    async with (
        load_source(MARKETS, levels=LEVELS, depth_interval_s=0.25) as source,
        collector(source, lab.node.amqp_url, symbols(count), batches=True) as worker,
    ):
        await subscribed(source, count, worker.check)
        async with listening(lab.node.amqp_url, books.take, (("futures_data", "orderbook.#"),)):
            if not await until(lambda: len(books.seen) == count, _BOOKS_S, poll_s=0.5):
                return Row(what, why=f"{len(books.seen)} of {count} books in {_BOOKS_S:.0f} s")
        await source.play(count * _FRAMES, 60 * minutes)
        worker.check()
        pss = pss_mb(worker.pid)
    return Row(what, (Figure(pss, "MB PSS", Bar(BAR_MB, at_most=True)),))


async def _by_symbols(lab: Lab) -> list[Row]:
    counts = lab.pick((5, 10, 20), (10, 50, 200, 500))
    whys, cpus, sizes = dict[int, str](), dict[int, float](), dict[int, float]()
    for count in (*counts, *reversed(counts)):
        cost = await _cost(lab, count)
        if isinstance(cost, str):
            whys[count] = cost
            continue
        # The cheaper of both: whatever else the machine does can only add.
        sizes[count] = min(cost[0], sizes.get(count, cost[0]))
        cpus[count] = min(cost[1], cpus.get(count, cost[1]))
    rows = []
    for count in counts:
        what = f"  a collector of {count} symbols, {_FRAMES} frames/s each"
        if count not in cpus:
            rows.append(Row(what, why=whys[count]))
            continue
        each = Figure(1e6 * cpus[count] / count, "µs CPU a symbol and second")
        rows.append(Row(what, (Figure(sizes[count], "MB PSS"), each)))
    return [_flat(cpus, sizes, counts[-3:]), *rows]


def _flat(cpus: dict[int, float], sizes: dict[int, float], counts: tuple[int, ...]) -> Row:
    """What each symbol more costs among many, against among few: what a collector costs without any
    symbol would make a quotient of averages fall by itself."""
    few, some, many = counts
    what = f"cost of each symbol more, {some} → {many} against {few} → {some}"
    if not set(counts) <= set(cpus):
        return Row(what, why="a size without a figure")
    low = (cpus[some] - cpus[few]) / (some - few)
    high = (cpus[many] - cpus[some]) / (many - some)
    memory = 1000 * (sizes[many] - sizes[few]) / (many - few)
    ratio = Figure(high / low, what="of its CPU", bar=Bar(1, at_most=True))
    return Row(what, (ratio, Figure(memory, "kB more a symbol")))


async def _cost(lab: Lab, count: int) -> tuple[float, float] | str:
    """Megabytes, and CPU seconds a second; or what is wrong with the run."""
    async with (
        load_source(MARKETS) as source,
        shelf(lab.node.amqp_url, "bench", BINDINGS) as queue,
        collector(source, lab.node.amqp_url, symbols(count), batches=True) as worker,
    ):
        await subscribed(source, count, worker.check)
        bench = Bench(source, queue, read_fleet, {"collector": worker.pid})
        await bench.warm_up()
        trial = await bench.trial(count * _FRAMES, lab.pick(2.0, 20.0))
        lab.say(f"  {count} symbols: {trial}")
        if not trial.held:
            return trial.complaint
        return pss_mb(worker.pid), trial.cpu_s["collector"] / trial.seconds
