"""`python -m bench.soak --minutes 60`: whether a fleet stays as it is, for long.

Every 30 s all connections of one venue are cut, every 60 s a symbol is added and taken away again
the next time. Every process is watched from outside (memory, file descriptors) and by its own
heartbeat (tasks, unbalanced counts). What grows is told as a slope: the median of the slopes of all
pairs of points (Theil-Sen), after a first third in which caches fill. Trades come ten times as fast
as usual, so that an hour is as good as ten: of each symbol some thousand ids are remembered.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, cycle
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import orjson
import psutil
import uvloop

from bench.fleet import Fleet, fleet
from bench.machine import facts
from bench.node import private_node
from bench.report import Bar, Figure, Row, table
from cli.place import ROOT
from shared.broker import Broker, own_queue
from shared.control import request
from shared.files import read_json
from shared.topology import STATUS, topology
from shared.venues import canonical_venue

SAMPLE_S = 10.0
CUT_S = 30.0
CHURN_S = 60.0
RATES = ("--trade-rate", "20")
CHURNED = "ETC/USDT:USDT"
#: Megabytes of resident memory an hour and process.
BAR_MB = 1.0
_PAIRS = 20_000


@dataclass(slots=True)
class Track:
    """What one process was, over time."""

    at_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    fds: list[float] = field(default_factory=list)
    tasks: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Soak:
    """What happened."""

    began_s: float = field(default_factory=time.monotonic)
    tracks: dict[str, Track] = field(default_factory=dict)
    beats: dict[str, dict[str, Any]] = field(default_factory=dict)  # details, by program
    cuts: int = 0
    churns: int = 0
    failures: list[str] = field(default_factory=list)

    def sample(self, one: Fleet) -> None:
        now = time.monotonic() - self.began_s
        for program in one.host.supervisor.programs():
            if not program.pid or program.name not in self.beats:
                continue  # not started, or a venue that is not configured
            process = psutil.Process(program.pid)
            track = self.tracks.setdefault(program.name, Track())
            track.at_s.append(now)
            track.rss_mb.append(process.memory_info().rss / 2**20)
            track.fds.append(process.num_fds())
            own = self.beats.get(program.name, {}).get("process", {})
            track.tasks.append(own.get("tasks", 0))


def slope_an_hour(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Theil-Sen: the median slope of all pairs of points, or of many at random."""
    pairs = list(combinations(range(len(at_s)), 2))
    if len(pairs) > _PAIRS:
        pairs = random.Random(1).sample(pairs, _PAIRS)
    slopes = [(values[j] - values[i]) / (at_s[j] - at_s[i]) for i, j in pairs]
    return 3600 * median(slopes) if slopes else 0.0


async def soak(amqp_url: str, minutes: float) -> Soak:
    found = Soak()
    async with fleet(amqp_url, *RATES) as one:
        one.host.start()
        broker = Broker(amqp_url, "soak", topology("futures_data"), declares=True)
        async with await broker.connect("declare") as connection:
            await broker.declare(await connection.channel())
        work = (
            _sampled(found, one),
            _cut(found, one),
            _churned(found, broker),
            _beats_read(found, broker),
        )
        tasks = [asyncio.create_task(coroutine) for coroutine in work]
        await asyncio.wait(tasks, timeout=60 * minutes, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
    return found


async def _sampled(found: Soak, one: Fleet) -> None:
    while True:
        await asyncio.sleep(SAMPLE_S)
        await asyncio.to_thread(found.sample, one)


async def _cut(found: Soak, one: Fleet) -> None:
    """The venues in turn."""
    config = read_json(one.home / "config.json")
    base = next(iter(config["exchange_configs"].values()))["urls"]["rest"].rpartition("/")[0]
    for venue in cycle(config["exchanges"]):
        await asyncio.sleep(CUT_S)
        body = {"venue": canonical_venue(venue), "fault": "cut"}
        async with aiohttp.request("POST", f"{base}/_faults", json=body) as answer:
            if answer.status != 200:
                found.failures.append(f"cut of {venue}: {await answer.text()}")
        found.cuts += 1


async def _churned(found: Soak, broker: Broker) -> None:
    for command in cycle(("add_symbol", "remove_symbol")):
        await asyncio.sleep(CHURN_S)
        answer = await request(broker, {"command": command, "symbol": CHURNED}, 10)
        if not answer["success"]:
            found.failures.append(f"{command}: {answer['message']}")
        found.churns += 1


async def _beats_read(found: Soak, broker: Broker) -> None:
    async with await broker.connect("beats") as connection:
        channel = await connection.channel()
        queue = await own_queue(channel, "client", "soak", [(STATUS, "heartbeat.#")])
        async for message in queue.iterator(no_ack=True):
            beat = orjson.loads(message.body)
            name = f"{beat['role']}-{beat['exchange']}" if beat["exchange"] else beat["role"]
            found.beats[name] = beat["details"]


def rows(found: Soak) -> list[Row]:
    table_rows = []
    for name, track in sorted(found.tracks.items()):
        warm = len(track.at_s) // 3
        at_s = track.at_s[warm:]
        slopes = {
            "MB/h": slope_an_hour(at_s, track.rss_mb[warm:]),
            "fds/h": slope_an_hour(at_s, track.fds[warm:]),
            "tasks/h": slope_an_hour(at_s, track.tasks[warm:]),
        }
        bars = {"MB/h": Bar(BAR_MB, at_most=True)}
        figures = [Figure(round(v, 3), unit, bars.get(unit)) for unit, v in slopes.items()]
        figures.append(Figure(round(track.rss_mb[-1], 1), "MB at the end"))
        details = {
            "series": asdict(track),
            "unbalanced": found.beats.get(name, {}).get("unbalanced"),
        }
        table_rows.append(Row(name, figures, details=details))
    return table_rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", type=Path, default=ROOT / "docs/reports/soak.json")
    given = parser.parse_args()
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
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
