"""`fleet workers`: who collects what, on all hosts."""

from typing import Any

from cli.control import outcome, send, without_nulls
from cli.exits import Exit
from cli.output import print_json, say
from cli.place import Place
from cli.roster import degraded, print_exchanges, print_processes, print_workers


def run_workers(place: Place, exchange: str | None, as_json: bool) -> Exit:
    """As the active coordinator has it; degraded where something of it is missing."""
    answer = send(place, without_nulls({"command": "get_workers", "exchange": exchange}))
    if as_json:
        print_json(answer)
    elif answer.get("success"):
        _print(answer["data"])
    else:
        say(answer["message"])
    if not answer.get("success"):
        return outcome(answer)
    return Exit.DEGRADED if degraded(answer["data"]) else Exit.OK


def _print(data: dict[str, Any]) -> None:
    print_workers(data["workers"])
    say("")
    print_exchanges(data["symbols"], data["workers"])
    say("")
    print_processes([*data.get("coordinators", ()), *data.get("agents", ())])
