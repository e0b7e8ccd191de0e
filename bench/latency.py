"""From the moment a venue should send to the arrival at a consumer, open loop, five collectors."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from bench.beats import BINDINGS, Beats
from bench.fleet import EXCHANGES, fleet, keys
from bench.lab import Lab
from bench.listener import Headers, listening
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
#: Whatever was due comes within this, or not at all.
_LAST_S = 5.0
#: Latest values that were replaced by newer ones before they were sent: so many of all at most, or
#: what is left says too little.
_CONFLATED = 0.001
#: Polled by REST, or sent once a second whatever the venue does: how old they are is that pace.
_PACED = ("ohlcv", "funding", "open_interest", "liquidation")


@dataclass(slots=True)
class Delays:
    """Milliseconds by kind, since the venue's time of a message: when it was due. FuturesData has
    the time of its assembly."""

    from_ms: float = float("inf")
    until_ms: float = float("inf")
    by_kind: dict[str, list[float]] = field(default_factory=dict)
    flowing: set[tuple[str, str]] = field(default_factory=set)
    untimed: int = 0
    lost: int = 0  # numbers of a routing key that are missing between two messages
    repeated: int = 0
    _last: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, routing_key: str, body: bytes, headers: Headers, now_s: float) -> None:
        kind, venue, key = routing_key.split(".")[:3]
        if kind == "orderbook":
            self.flowing.add((venue, key))
        self._number(routing_key, str(headers["epoch"]), int(headers["seq"]))
        if 1000 * now_s < self.from_ms:
            return
        due_ms = orjson.loads(body).get("timestamp")
        if due_ms is None:
            self.untimed += 1
        elif self.from_ms <= due_ms < self.until_ms:
            self.by_kind.setdefault(kind, []).append(1000 * now_s - due_ms)

    def _number(self, routing_key: str, epoch: str, seq: int) -> None:
        before = self._last.get((routing_key, epoch), seq - 1)
        self.lost += max(0, seq - before - 1)
        self.repeated += seq <= before
        self._last[routing_key, epoch] = max(seq, before)


async def measure(lab: Lab) -> list[Row]:
    what = f"venue's scheduled send → consumer, five collectors, {RATE:,} msg/s offered"
    delays, beats, seconds = Delays(), Beats(), lab.pick(3.0, 30.0)
    rates = ("--ticker-rate", _TICKERS, "--book-rate", _BOOKS, "--trade-rate", _TRADES)
    due = {(venue, key) for venue in EXCHANGES for key in keys(venue)}
    url = lab.node.amqp_url
    async with (
        fleet(url, *map(str, rates)) as one,
        listening(url, delays.take),
        listening(url, beats.take, BINDINGS),
    ):
        one.host.start()
        if not await until(lambda: due <= delays.flowing, _FLOWING_S):
            return [Row(what, why=f"no book of {sorted(due - delays.flowing)[:3]}")]
        await asyncio.sleep(lab.pick(3.0, 6.0))
        pids = {venue: one.collector_pid(venue) for venue in EXCHANGES}
        pids |= {"simulator": one.simulator_pid, "broker": broker_pid(lab.node)}
        before, counted = Cost.now(pids), _counts(delays, beats)
        delays.from_ms = 1000 * time.time()
        delays.until_ms = delays.from_ms + 1000 * seconds
        await asyncio.sleep(seconds)
        cpu_s = Cost.now(pids).since(before)
        await asyncio.sleep(_LAST_S)
        found = {name: n - counted[name] for name, n in _counts(delays, beats).items()}
    cores = {name: round(used / seconds, 2) for name, used in cpu_s.items()}
    return _rows(what, delays, seconds, {"cores": cores, "counts": found})


def _counts(delays: Delays, beats: Beats) -> dict[str, int]:
    return {
        "lost on the way": delays.lost,
        "repeated": delays.repeated,
        "gaps": beats.gaps(),
        "dropped": beats.total("dropped", "ticker", "trades", "orderbook", "futures"),
        "conflated": beats.total("conflated", "ticker", "trades", "futures"),
    }


def _rows(what: str, delays: Delays, seconds: float, details: dict[str, object]) -> list[Row]:
    pushed = {kind: each for kind, each in delays.by_kind.items() if kind not in _PACED}
    everything = [delay for each in pushed.values() for delay in each]
    details["rate"] = rate = len(everything) / seconds
    details["without_a_time"] = delays.untimed
    if complaint := _complaint(details["counts"], len(everything), rate):  # type: ignore[arg-type]
        return [Row(what, why=complaint, details=details)]
    rows = [Row(what, _figures(everything, barred=True), details=details)]
    for kind, each in sorted(delays.by_kind.items()):
        which = "of it" if kind in pushed else "beside it"
        rows.append(Row(f"  {which} {kind}, {len(each) / seconds:,.0f}/s", _figures(each)))
    return rows


def _complaint(counts: dict[str, int], messages: int, rate: float) -> str:
    """What is missing from the sample, so that it says nothing of the worst; or nothing."""
    wrong = {name: n for name, n in counts.items() if n and name != "conflated"}
    if wrong:
        return ", ".join(f"{n} {name}" for name, n in wrong.items())
    if counts["conflated"] > _CONFLATED * messages:
        return f"{counts['conflated']} of {messages} were conflated"
    return f"{rate:,.0f} msg/s came" if rate < 0.98 * RATE else ""


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
