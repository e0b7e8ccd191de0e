"""The publisher alone against a bare AMQP writer and aio-pika's window of tasks."""

from statistics import median
from typing import NamedTuple

from bench.lab import Lab
from bench.report import Bar, Figure, Row
from bench.shelf import Shelf, shelf
from bench.writers import KEY, WRITERS
from shared.broker import Broker
from shared.topology import topology

SIZE = 300
_BARE, _WINDOW, _OURS = WRITERS


class Round(NamedTuple):
    rate: float  # messages a second, until the last confirm
    cpu_us: float  # of this process, a message


async def measure(lab: Lab) -> list[Row]:
    """Interleaved rounds, so that what else the machine does meets all of them; medians."""
    messages, rounds = lab.pick(2_000, 30_000), lab.pick(1, 3)
    broker = Broker(lab.node.amqp_url, "bench", topology("futures_data"), declares=True)
    done: dict[str, list[Round]] = {name: [] for name in WRITERS}
    async with shelf(lab.node.amqp_url, "bench", (("futures_data", KEY),)) as queue:
        for name in [*WRITERS] * rounds:
            got, complaint = await _round(broker, queue, name, messages)
            if complaint:
                return [Row("publisher alone, 300 B", why=f"{name}: {complaint}")]
            done[name].append(got)
            lab.say(f"  {name}: {got.rate:,.0f}/s")
    rates = {name: median(one.rate for one in each) for name, each in done.items()}
    lab.known["bare"] = rates[_BARE]
    return [_row(name, rates, done[name]) for name in WRITERS]


async def _round(broker: Broker, queue: Shelf, name: str, messages: int) -> tuple[Round, str]:
    spent = await WRITERS[name](broker, messages, SIZE)
    depth = await queue.settled()
    numbers: list[int] = []
    await queue.take_all(lambda _key, body, _encoding: numbers.append(int(body)), depth)
    whole = sorted(numbers) == list(range(messages))
    complaint = "" if whole else f"{len(set(numbers))} of {messages} arrived, {depth} messages"
    return Round(messages / spent.wall_s, 1e6 * spent.cpu_s / messages), complaint


def _row(name: str, rates: dict[str, float], rounds: list[Round]) -> Row:
    ours = name == _OURS
    figures = [
        Figure(rates[name] / rates[_BARE], what="of bare", bar=Bar(0.9) if ours else None),
        Figure(rates[name], "msg/s"),
        Figure(median(one.cpu_us for one in rounds), "µs CPU a message"),
    ]
    if ours:
        ratio = Figure(rates[name] / rates[_WINDOW], what="× aio-pika's window", bar=Bar(3))
        figures.insert(1, ratio)
    what = f"{name}, {SIZE} B, confirmed per tag, all headers"
    return Row(what, figures, details={"rounds": [one._asdict() for one in rounds]})
