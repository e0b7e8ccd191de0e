"""`fleet record`: a venue's raw traffic into files, and what files there are."""

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from cli.exits import CommandFailed, Exit
from cli.output import print_json, print_table, say
from cli.place import ROOT, Place
from shared.errors import ConfigurationError
from shared.venues import canonical_venue


@dataclass(frozen=True, slots=True)
class Recorded:
    """One day of one venue; times of UTC, `first` the first line's, `last` the last block's."""

    exchange: str
    day: str
    first: str
    last: str
    files: int
    mb: float


def run_record(place: Place, exchange: str, seconds: float | None, out: Path | None) -> NoReturn:
    """Become a collector that records and does nothing else. Raises CommandFailed."""
    try:
        canonical_venue(exchange)
    except ConfigurationError as error:
        raise CommandFailed(str(error), Exit.USAGE) from error
    paths = {"FLEET_CONFIG": str(place.config_path), "FLEET_HOME": str(place.home)}
    command = [sys.executable, "-m", "workers.collector", exchange, "--record-only"]
    command += ["--seconds", str(seconds)] if seconds is not None else []
    command += ["--out", str(out.absolute())] if out is not None else []
    os.chdir(ROOT)
    os.execve(sys.executable, command, os.environ | paths)


def list_recordings(place: Place, out: Path | None, as_json: bool) -> Exit:
    root = out or place.home / "recordings"
    days = [_summary(day) for day in sorted(root.glob("*/*-*-*")) if day.is_dir() and _files(day)]
    if as_json:
        print_json([asdict(day) for day in days])
    elif not days:
        say(f"nothing was recorded below {root}")
    else:
        headings = ("EXCHANGE", "DAY", "FROM", "TO", "FILES", "MB")
        print_table(headings, [tuple(map(str, asdict(day).values())) for day in days])
    return Exit.OK


def _summary(day: Path) -> Recorded:
    files = _files(day)
    return Recorded(
        exchange=day.parent.name,
        day=day.name,
        first=_clock_time(min(_starts(files))),
        last=_clock_time(max(file.stat().st_mtime for file in files)),
        files=len(files),
        mb=round(sum(file.stat().st_size for file in files) / 1e6, 2),
    )


def _files(day: Path) -> list[Path]:
    return sorted(day.glob("[0-9][0-9]-[0-9]*.jsonl.zst"))


def _starts(files: list[Path]) -> Iterator[float]:
    """Of names `HH-{start_ms}.jsonl.zst`, seconds."""
    for file in files:
        yield int(file.name[3:].partition(".")[0]) / 1000


def _clock_time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}"
