"""`python -m bench [MEASUREMENT …]`: everything that has a bar, in one run.

Each on a private broker of its own; nothing is left running. `profile` is none of them: it prints
where a collector's CPU goes.
"""

import argparse
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import orjson
import uvloop

from bench import (
    client,
    collector,
    crash,
    latency,
    limiter,
    machine,
    memory,
    peer,
    publisher,
    requests,
    startup,
)
from bench.lab import Lab, Length
from bench.node import private_node
from bench.processes import end_on_signals
from bench.profile import RATE, profile
from bench.report import Row, table
from cli.place import ROOT
from shared.errors import CryptoCollectorException

T = TypeVar("T")
Measure = Callable[[Lab], Awaitable[list[Row]]]

#: In this order: later ones are ratios of earlier ones.
MEASUREMENTS: dict[str, Measure] = {
    "publisher": publisher.measure,
    "client": client.measure,
    "collector": collector.measure,
    "cryptofeed": peer.measure,
    "latency": latency.measure,
    "memory": memory.measure,
    "startup": startup.measure,
    "crash": crash.measure,
    "requests": requests.measure,
    "limiter": limiter.measure,
}
_PROFILE = "profile"
REPORT = ROOT / "docs/reports/bench-latest.json"


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    end_on_signals()
    length = Length.QUICK if given.quick else Length.NORMAL
    try:
        if given.what == [_PROFILE]:
            sys.stdout.write(in_lab(lambda lab: profile(lab, given.rate), length, {}) + "\n")
            return 0
        return report(given, length)
    except CryptoCollectorException as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    names = [*MEASUREMENTS, _PROFILE]
    parser.add_argument("what", nargs="*", metavar="MEASUREMENT", help="all but profile by default")
    quick = "does it work; figures mean nothing"
    parser.add_argument("--quick", action="store_true", help=quick)
    where = f"where the report goes; of a whole run {REPORT.relative_to(ROOT)} by default"
    parser.add_argument("--json", type=Path, help=where)
    parser.add_argument("--rate", type=float, default=RATE, help="frames a second of a profile")
    given = parser.parse_args(arguments)
    if unknown := set(given.what) - set(names):
        parser.error(
            f"no such measurement: {', '.join(sorted(unknown))}; there are {', '.join(names)}"
        )
    if _PROFILE in given.what and len(given.what) > 1:
        parser.error("profile stands alone")
    if not given.what and not given.quick and given.json is None:
        given.json = REPORT
    if given.what != [_PROFILE]:
        given.what = [name for name in MEASUREMENTS if name in (given.what or MEASUREMENTS)]
    return given


def in_lab(work: Callable[[Lab], Awaitable[T]], length: Length, known: dict[str, float]) -> T:
    """`work` on a broker of its own."""
    with private_node() as node:
        return uvloop.run(_awaited(work(Lab(node, length, known))))


async def _awaited(work: Awaitable[T]) -> T:
    return await work


def report(given: argparse.Namespace, length: Length) -> int:
    """Measure, print, write after each; 0 where every measurement has figures, whatever they
    are. What goes wrong in one has no figure, and the others go on."""
    facts, known = machine.facts(), dict[str, float]()
    rows: list[Row] = []
    for name in given.what:
        Lab.say(f"{name} …")
        try:
            rows += in_lab(MEASUREMENTS[name], length, known)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are measured
            Lab.say(traceback.format_exc())
            rows.append(Row(name, why=f"{type(error).__name__}: {error}"))
        body = {"length": length.value, "machine": facts, "rows": [row.as_dict() for row in rows]}
        if given.json is not None:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.write("\n".join(f"{key:13} {value}" for key, value in facts.items()))
    sys.stdout.write(f"\n\n{table(rows)}\n")
    return 0 if all(row.figures for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
