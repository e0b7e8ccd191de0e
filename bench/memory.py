"""What a collector costs: memory after a while, memory and CPU a symbol."""

import time

from bench.collector import subscribed
from bench.lab import Lab, Length
from bench.listing import symbols
from bench.processes import cpu_s, pss_mb
from bench.report import Bar, Figure, Row
from bench.source import Source, load_source
from bench.waiting import until
from bench.worker import collector

BAR_MB = 125
MARKETS = 500
SYMBOLS = 50
#: Quotes and trades together, a symbol and second.
_FRAMES = 10
_SETTLE_S = 2.0
_BOOKS_S = 120.0


async def measure(lab: Lab) -> list[Row]:
    """First one collector for minutes, then four of different size for seconds."""
    minutes = {Length.QUICK: 0.05, Length.NORMAL: 1.0, Length.LONG: 10.0}[lab.length]
    return [await _after(lab, minutes), *await _by_symbols(lab)]


async def _after(lab: Lab, minutes: float) -> Row:
    count = lab.pick(10, SYMBOLS)
    async with (
        load_source(MARKETS, levels=1000, depth_interval_s=0.25) as source,
        collector(source, lab.node.amqp_url, symbols(count), batches=True) as worker,
    ):
        await subscribed(source, count, worker.check)
        if not lab.quick:
            await _books(source, count)
        await source.play(count * _FRAMES, 60 * minutes)
        pss, books = pss_mb(worker.pid), (await source.subscribed())["depth"]
    what = f"memory of a collector after {minutes:g} min, {MARKETS} markets, {count} symbols"
    figure = Figure(pss, "MB PSS", Bar(BAR_MB, at_most=True))
    return Row(what, (figure,), details={"books": books, "levels": 1000})


async def _by_symbols(lab: Lab) -> list[Row]:
    counts = lab.pick((5, 10), (10, 50, 200, 500))
    costs = {count: await _cost(lab, count) for count in counts}
    rows = [
        Row(
            f"  a collector of {count} symbols, {_FRAMES} frames/s each",
            (
                Figure(pss, "MB PSS"),
                Figure(1e6 * cpu / count, "µs CPU a symbol and second"),
            ),
        )
        for count, (pss, cpu) in costs.items()
    ]
    low, high = counts[1], counts[-1]
    if low == high:
        return rows
    ratio = (costs[high][1] / high) / (costs[low][1] / low)
    flat = Figure(ratio, what=f"of the CPU a symbol at {low}", bar=Bar(1, at_most=True))
    memory = 1000 * (costs[high][0] - costs[low][0]) / (high - low)
    return [
        Row(f"cost a symbol, {low} → {high} symbols", (flat, Figure(memory, "kB more a symbol"))),
        *rows,
    ]


async def _cost(lab: Lab, count: int) -> tuple[float, float]:
    """Megabytes, and CPU seconds a second."""
    seconds = lab.pick(2.0, 10.0)
    async with (
        load_source(MARKETS) as source,
        collector(source, lab.node.amqp_url, symbols(count), batches=True) as worker,
    ):
        await subscribed(source, count, worker.check)
        await source.play(count * _FRAMES, _SETTLE_S)
        before, started = cpu_s(worker.pid), time.monotonic()
        await source.play(count * _FRAMES, seconds)
        used = (cpu_s(worker.pid) - before) / (time.monotonic() - started)
        lab.say(f"  {count} symbols: {pss_mb(worker.pid):.0f} MB, {used:.2f} cores")
        return pss_mb(worker.pid), used


async def _books(source: Source, count: int) -> None:
    """Returns when all books are subscribed: the budget lets their snapshots go one by one."""

    async def all_there() -> bool:
        return (await source.subscribed())["depth"] == count

    await until(all_there, _BOOKS_S, poll_s=0.5)
