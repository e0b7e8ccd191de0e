"""A collector is killed: how soon all of its symbols flow again on the same host."""

import asyncio
import os
import signal
import time
from dataclasses import dataclass, field

from bench.fleet import EXCHANGES, Fleet, fleet, keys
from bench.lab import Lab
from bench.listener import Headers, listening
from bench.report import Bar, Figure, Row
from bench.waiting import until

BAR_S = 5.0
_WAIT_S = 60.0


@dataclass(slots=True)
class Flow:
    """Which symbols of each venue have sent a ticker or a trade in which epoch, and when first."""

    first: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)

    def take(self, routing_key: str, _body: bytes, headers: Headers, now_s: float) -> None:
        epoch = str(headers["epoch"])
        kind, venue, key = routing_key.split(".")[:3]
        if kind in ("ticker", "trades"):
            self.first.setdefault((venue, epoch), {}).setdefault(key, now_s)

    def all_at(self, venue: str, not_in: set[str]) -> float | None:
        """When the last symbol of the venue began to flow in an epoch that is not among these."""
        for (name, epoch), symbols in self.first.items():
            if name == venue and epoch not in not_in and keys(venue) <= set(symbols):
                return max(symbols[key] for key in keys(venue))
        return None

    def epochs(self, venue: str) -> set[str]:
        return {epoch for name, epoch in self.first if name == venue}


async def measure(lab: Lab) -> list[Row]:
    what = "collector killed (-9) under supervisord → all of its symbols flow again"
    flow, took = Flow(), dict[str, float]()
    async with fleet(lab.node.amqp_url) as one, listening(lab.node.amqp_url, flow.take):
        one.host.start()
        for venue in EXCHANGES:
            if await _flows(flow, venue, set()) is None:
                return [Row(what, why=f"{venue} never delivered all symbols")]
        # supervisord counts an exit in the first five seconds as a failed start.
        await asyncio.sleep(6)
        for venue in EXCHANGES[: lab.pick(1, len(EXCHANGES))]:
            passed = await _killed(one, flow, venue)
            if passed is None:
                return [Row(what, why=f"{venue} did not come back in {_WAIT_S:.0f} s")]
            took[venue] = passed
            lab.say(f"  {venue}: {passed:.1f} s")
    worst = Figure(max(took.values()), "s, the slowest venue", Bar(BAR_S, at_most=True))
    return [Row(what, (worst,), details={"by_venue": took})]


async def _killed(one: Fleet, flow: Flow, venue: str) -> float | None:
    before = flow.epochs(venue)
    at_s = time.time()
    os.kill(one.collector_pid(venue), signal.SIGKILL)
    again_s = await _flows(flow, venue, before)
    return None if again_s is None else again_s - at_s


async def _flows(flow: Flow, venue: str, not_in: set[str]) -> float | None:
    await until(lambda: flow.all_at(venue, not_in) is not None, _WAIT_S)
    return flow.all_at(venue, not_in)
