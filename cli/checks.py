"""A line of `fleet doctor`, and how its lines are told."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from cli.exits import Exit
from cli.output import print_json, say


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    level: Literal["ok", "warn", "fail"]
    text: str


def told(checks: Sequence[Check], as_json: bool) -> Exit:
    """Print them; failed where one of them did."""
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            say(f"{check.level:<4}  {check.name:<12}  {check.text}")
    return Exit.FAILED if any(check.level == "fail" for check in checks) else Exit.OK
