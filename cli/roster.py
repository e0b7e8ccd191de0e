"""The answer to `get_workers`, for people: who works, for which venues, and what is missing."""

from collections.abc import Iterable
from typing import Any

from cli.output import print_table

Row = dict[str, Any]


def degraded(data: Row) -> bool:
    """Whether a member does not run, or a symbol that is desired and listed does not flow."""
    venues = data.get("symbols", {})
    if any(missing(counts) > 0 for counts in venues.values()):
        return True
    wanted = {name for name, counts in venues.items() if count(counts.get("desired"))}
    members = [row for row in data.get("workers", ()) if row.get("member")]
    return any(row.get("state") != "running" for row in members if row.get("exchange") in wanted)


def missing(counts: Row) -> int:
    """Symbols of a venue that nobody has live, although the venue lists them."""
    desired, live, unlisted = (count(counts.get(name)) for name in ("desired", "live", "unlisted"))
    return desired - live - unlisted


def count(value: Any) -> int:
    """Of a number, or of what is listed by name."""
    return len(value) if isinstance(value, list | dict) else int(value or 0)


def cell(value: Any) -> str:
    """Of a table; what was not told is a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | dict):
        return str(len(value))
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def print_workers(rows: Iterable[Row], beats: dict[str, tuple[str, ...]] | None = None) -> None:
    """`beats`: what the heartbeat of each worker counts, see `BEAT_HEADINGS`."""
    names = ("worker", "exchange", "state", "assigned", "collected", "live", "lag")
    headings = (*names[:-1], "lag s", *(BEAT_HEADINGS if beats is not None else ()), "age s")
    lines = []
    for row in rows:
        counts = (beats or {}).get(row.get("worker", ""), ("-",) * len(BEAT_HEADINGS))
        cells = (cell(row.get(name)) for name in names)
        lines.append((*cells, *(counts if beats is not None else ()), cell(row.get("age_s"))))
    print_table(headings, lines)


#: Of FuturesData, as `get_statistics` counts it.
BEAT_HEADINGS = ("success", "errors", "published", "failed")


def print_exchanges(symbols: dict[str, Row], workers: Iterable[Row] = ()) -> None:
    """By wire name: symbols, and the hosts that collect them."""
    hosts: dict[str, dict[str, None]] = {}
    for row in workers:
        if row.get("member"):
            hosts.setdefault(str(row.get("exchange")), {})[str(row.get("host"))] = None
    names = ("desired", "assigned", "live", "unlisted")
    print_table(
        ("exchange", "enabled", *names, "hosts", "methods"),
        [
            (
                exchange,
                cell(counts.get("enabled")),
                *(cell(counts.get(name)) for name in names),
                ", ".join(hosts.get(exchange, ())) or "-",
                ", ".join(map(str, counts.get("methods", ()))) or "-",
            )
            for exchange, counts in symbols.items()
        ],
    )


def print_processes(rows: Iterable[Row]) -> None:
    """Coordinators and agents, whatever is told of them."""
    names = ("worker", "host", "state")
    lines = []
    for row in rows:
        leads = "leads" if row.get("leader") else ""
        lines.append((*(cell(row.get(name)) for name in names), cell(row.get("age_s")), leads))
    if lines:
        print_table((*names, "age s", ""), lines)
