"""`python -m bench.soak --minutes 60`: whether a fleet stays as it is, for long.

Every 30 s all connections of each venue are cut, one venue after the other; every 60 s a symbol is
added, and taken away again the next time, which its trades have to show. Every process is watched
from outside (memory, file descriptors) and by its own heartbeat (tasks, books that balance). What
grows is told as a slope: the median of the slopes of all pairs of points (Theil-Sen), after a first
third in which caches fill; and, since such a slope does not see a single step, as what the last
tenth has more than the first. Trades come ten times as fast as usual, so that an hour is as good as
ten: of each symbol some thousand ids are remembered. So do cuts: after some dozens of them the
largest moments, books and pages of trades of several symbols at once, have all met.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Coroutine, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, cycle
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import orjson
import psutil
import uvloop

from bench.beats import BINDINGS
from bench.fleet import EXCHANGES, SYMBOLS, Fleet, fleet
from bench.flow import Flow
from bench.listener import Headers, listening
from bench.machine import facts
from bench.node import private_node
from bench.processes import end_on_signals
from bench.report import Bar, Figure, Row, table
from cli.place import ROOT
from shared.broker import Broker
from shared.control import request
from shared.files import read_json
from shared.status import Heartbeat
from shared.topology import topology
from shared.venues import VENUES, canonical_venue
from simulator.universe import instruments

SAMPLE_S = 10.0
CUT_S = 30.0
CHURN_S = 60.0
#: A fleet is up, and what was removed is quiet, after this; and no venue is silent for longer.
SETTLED_S = 45.0
#: One more than are collected from the start.
CHURNED = instruments(VENUES[0], len(SYMBOLS) + 1)[-1].symbol
OPTIONS = ("--trade-rate", "20", "--symbols", str(len(SYMBOLS) + 1))
#: Megabytes of resident memory an hour and process.
BAR_MB = 1.0
_PAIRS = 20_000


@dataclass(slots=True)
class Track:
    """What one process was, over time."""

    pid: int
    at_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    fds: list[float] = field(default_factory=list)
    tasks: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Soak:
    """What happened."""

    began_s: float = field(default_factory=time.monotonic)
    tracks: dict[str, Track] = field(default_factory=dict)  # by program
    beats: dict[str, Heartbeat] = field(default_factory=dict)  # the last, by program
    heard_s: dict[str, float] = field(default_factory=dict)  # when that came
    cuts: int = 0
    churns: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def passed_s(self) -> float:
        return time.monotonic() - self.began_s

    def failed(self, what: str) -> None:
        self.failures.append(f"after {self.passed_s:.0f} s: {what}")

    def hear(self, _routing_key: str, body: bytes, _headers: Headers, _now_s: float) -> None:
        beat = Heartbeat.model_validate_json(body)
        name = f"{beat.role}-{beat.exchange}" if beat.exchange else beat.role
        before = self.beats.get(name)
        if before is not None and before.epoch != beat.epoch:
            self.failed(f"{name} was started anew")
        self.beats[name], self.heard_s[name] = beat, time.monotonic()

    def sample(self, one: Fleet) -> None:
        for program in one.host.supervisor.programs():
            if not program.pid or program.name not in self.beats:
                continue  # not started, or a venue that is not configured
            track = self.tracks.setdefault(program.name, Track(program.pid))
            try:
                process = psutil.Process(program.pid)
                memory, fds = process.memory_info().rss, process.num_fds()
            except psutil.NoSuchProcess:
                self.failed(f"{program.name} ended")
                continue
            if program.pid != track.pid:
                self.failed(f"{program.name} was started anew")
                self.tracks[program.name] = track = Track(program.pid)
            details = self.beats[program.name].details
            track.at_s.append(self.passed_s)
            track.rss_mb.append(memory / 2**20)
            track.fds.append(fds)
            track.tasks.append(details.get("process", {}).get("tasks", 0))


def slope_an_hour(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Theil-Sen: the median slope of all pairs of points, or of many at random."""
    pairs = list(combinations(range(len(at_s)), 2))
    if len(pairs) > _PAIRS:
        pairs = random.Random(1).sample(pairs, _PAIRS)
    slopes = [(values[j] - values[i]) / (at_s[j] - at_s[i]) for i, j in pairs]
    return 3600 * median(slopes) if slopes else 0.0


def grown(values: Sequence[float]) -> float:
    """What the last tenth has more than the first, by their medians."""
    tenth = max(1, len(values) // 10)
    return median(values[-tenth:]) - median(values[:tenth])


async def soak(amqp_url: str, minutes: float) -> Soak:
    """Ends early where something went wrong that is not the fleet's, which is a failure too."""
    found, flow = Soak(), Flow(SYMBOLS[0], CHURNED)
    broker = Broker(amqp_url, "soak", topology("futures_data"), declares=True)
    async with (
        fleet(amqp_url, *OPTIONS) as one,
        listening(amqp_url, flow.take, flow.bindings),
        listening(amqp_url, found.hear, BINDINGS),
    ):
        one.host.start()
        found.began_s = time.monotonic()
        work: tuple[Coroutine[Any, Any, None], ...] = (
            _sampled(found, one, flow),
            _cut(found, one),
            _churned(found, broker, flow),
        )
        tasks = [asyncio.create_task(coroutine) for coroutine in work]
        await asyncio.wait(tasks, timeout=60 * minutes, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(ended, asyncio.CancelledError):
                found.failed(f"the soak itself: {ended!r}")
    _judge(found)
    return found


async def _sampled(found: Soak, one: Fleet, flow: Flow) -> None:
    while True:
        await asyncio.sleep(SAMPLE_S)
        await asyncio.to_thread(found.sample, one)
        if found.passed_s < SETTLED_S:
            continue
        for venue in EXCHANGES:
            silent_s = flow.silent_s(venue, SYMBOLS[0])
            if SETTLED_S < silent_s <= SETTLED_S + SAMPLE_S:
                found.failed(f"no trade of {SYMBOLS[0]} from {venue} for {silent_s:.0f} s")


async def _cut(found: Soak, one: Fleet) -> None:
    """The venues in turn."""
    config = read_json(one.home / "config.json")
    base = next(iter(config["exchange_configs"].values()))["urls"]["rest"].rpartition("/")[0]
    for venue in cycle(config["exchanges"]):
        await asyncio.sleep(CUT_S / len(config["exchanges"]))
        body = {"venue": canonical_venue(venue), "fault": "cut"}
        async with aiohttp.request("POST", f"{base}/_faults", json=body) as answer:
            if answer.status != 200:
                found.failed(f"cut of {venue}: {await answer.text()}")
        found.cuts += 1


async def _churned(found: Soak, broker: Broker, flow: Flow) -> None:
    await asyncio.sleep(CHURN_S)
    for command in cycle(("add_symbol", "remove_symbol")):
        answer = await request(broker, {"command": command, "symbol": CHURNED}, 10)
        if not answer["success"]:
            found.failed(f"{command}: {answer['message']}")
        found.churns += 1
        await asyncio.sleep(CHURN_S)
        for venue in EXCHANGES:
            silent_s = flow.silent_s(venue, CHURNED)
            if command == "add_symbol" and silent_s > CHURN_S:
                found.failed(f"no trade of {CHURNED} from {venue}, which was added")
            if command == "remove_symbol" and silent_s < CHURN_S - SETTLED_S:
                found.failed(f"trades of {CHURNED} from {venue}, which was removed")


def _judge(found: Soak) -> None:
    """What can only be said in the end."""
    for name in ("coordinator", *(f"collector-{venue}" for venue in EXCHANGES)):
        if name not in found.tracks or not found.tracks[name].at_s:
            found.failed(f"{name} was never seen")
        elif time.monotonic() - found.heard_s[name] > SETTLED_S:
            found.failed(f"{name} does not beat any more")
        elif off := unbalanced(found.beats[name]):
            found.failed(f"{name}: books that do not balance: {off}")


def unbalanced(beat: Heartbeat) -> dict[str, int]:
    """By kind: facts of which a worker can not say what became of them."""
    kinds = beat.details.get("kinds", {})
    return {kind: counts["unbalanced"] for kind, counts in kinds.items() if "unbalanced" in counts}


def rows(found: Soak) -> list[Row]:
    table_rows = []
    for name, track in sorted(found.tracks.items()):
        warm = len(track.at_s) // 3
        at_s, memory = track.at_s[warm:], track.rss_mb[warm:]
        figures = [
            Figure(round(slope_an_hour(at_s, memory), 3), "MB/h", Bar(BAR_MB, at_most=True)),
            Figure(round(grown(memory), 2), "MB grown"),
            Figure(round(memory[-1], 1), "MB at the end"),
            Figure(round(slope_an_hour(at_s, track.fds[warm:]), 3), "fds/h"),
            Figure(round(slope_an_hour(at_s, track.tasks[warm:]), 3), "tasks/h"),
        ]
        table_rows.append(Row(name, figures, details={"series": asdict(track)}))
    return table_rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", type=Path, default=ROOT / "docs/reports/soak.json")
    given = parser.parse_args()
    end_on_signals()
    machine = facts()
    with private_node() as node:
        found = uvloop.run(soak(node.amqp_url, given.minutes))
    measured = rows(found)
    sys.stdout.write(f"{table(measured)}\n{found.cuts} cuts, {found.churns} changes of symbols\n")
    sys.stdout.write("".join(f"failed: {failure}\n" for failure in found.failures))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "minutes": given.minutes,
        "machine": machine,
        "cuts": found.cuts,
        "churns": found.churns,
        "failures": found.failures,
        "rows": [row.as_dict() for row in measured],
    }
    given.json.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    met = all(row.verdict == "met" for row in measured)
    return 0 if met and not found.failures else 1


if __name__ == "__main__":
    sys.exit(main())
