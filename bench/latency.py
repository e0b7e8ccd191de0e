"""From the moment a venue should send to the arrival at a consumer, open loop, five collectors."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from bench.fleet import EXCHANGES, fleet, keys
from bench.lab import Lab
from bench.listener import listening
from bench.node import broker_pid
from bench.processes import Cost
from bench.report import Bar, Figure, Row
from bench.waiting import until

RATE = 2_000
#: Per symbol and second, each once in a whole number of milliseconds: then the venue's time of a
#: message is exactly when it was due. With the five tickers that come of moving books, and
#: FuturesData each five seconds, they make up RATE over 49 markets.
_TICKERS, _BOOKS, _TRADES = 1000 / 66, 1000 / 100, 1000 / 90
_QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)
_FLOWING_S = 90.0
#: Polled by REST, or sent once a second whatever the venue does: how old they are is that pace.
_PACED = ("ohlcv", "funding", "open_interest", "liquidation")


@dataclass(slots=True)
class Delays:
    """Milliseconds by kind, since the venue's time of a message: when it was due. FuturesData has
    the time of its assembly."""

    on: bool = False
    by_kind: dict[str, list[float]] = field(default_factory=dict)
    flowing: set[tuple[str, str]] = field(default_factory=set)
    untimed: int = 0

    def take(self, routing_key: str, body: bytes, _epoch: str, now_s: float) -> None:
        kind, venue, key = routing_key.split(".")[:3]
        if kind == "orderbook":
            self.flowing.add((venue, key))
        if not self.on:
            return
        due_ms = orjson.loads(body).get("timestamp")
        if due_ms is None:
            self.untimed += 1
            return
        self.by_kind.setdefault(kind, []).append(1000 * now_s - due_ms)


async def measure(lab: Lab) -> list[Row]:
    what = f"venue's scheduled send → consumer, five collectors, {RATE:,} msg/s offered"
    delays, seconds = Delays(), lab.pick(3.0, 30.0)
    rates = ("--ticker-rate", _TICKERS, "--book-rate", _BOOKS, "--trade-rate", _TRADES)
    due = {(venue, key) for venue in EXCHANGES for key in keys(venue)}
    async with (
        fleet(lab.node.amqp_url, *map(str, rates)) as one,
        listening(lab.node.amqp_url, delays.take),
    ):
        one.host.start()
        if not await until(lambda: due <= delays.flowing, _FLOWING_S):
            return [Row(what, why=f"no book of {sorted(due - delays.flowing)[:3]}")]
        await asyncio.sleep(lab.pick(1.0, 6.0))
        pids = {venue: one.collector_pid(venue) for venue in EXCHANGES}
        pids |= {"simulator": one.simulator_pid, "broker": broker_pid(lab.node)}
        before = Cost.now(pids)
        delays.on = True
        await asyncio.sleep(seconds)
        delays.on = False
        cpu_s = Cost.now(pids).since(before)
    cores = {name: round(used / seconds, 2) for name, used in cpu_s.items()}
    return _rows(what, delays, seconds, cores)


def _rows(what: str, delays: Delays, seconds: float, cores: dict[str, float]) -> list[Row]:
    pushed = {kind: each for kind, each in delays.by_kind.items() if kind not in _PACED}
    everything = [delay for each in pushed.values() for delay in each]
    details: dict[str, object] = {
        "rate": len(everything) / seconds,
        "without_a_time": delays.untimed,
    }
    details["cores"] = cores
    rows = [Row(what, _figures(everything, barred=True), details=details)]
    for kind, each in sorted(delays.by_kind.items()):
        which = "of it" if kind in pushed else "beside it"
        rows.append(Row(f"  {which} {kind}, {len(each) / seconds:,.0f}/s", _figures(each)))
    return rows


def _figures(delays: Sequence[float], barred: bool = False) -> list[Figure]:
    bars = {0.5: Bar(3, at_most=True), 0.99: Bar(25, at_most=True)} if barred else {}
    ordered = sorted(delays)
    return [
        Figure(quantile(ordered, share), "ms", bars.get(share), what=_named(share))
        for share in _QUANTILES
    ]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not pass."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _named(share: float) -> str:
    return "max" if share == 1 else f"p{100 * share:g}"
