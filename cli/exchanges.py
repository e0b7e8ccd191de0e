"""`fleet exchange`: which venues are collected, and where."""

from cli.control import outcome, send, told, without_nulls
from cli.errands import run_errand
from cli.exits import Exit
from cli.output import print_json, say
from cli.place import Place
from cli.roster import missing, print_exchanges
from shared.endpoints import Endpoint


def run_exchanges(place: Place, as_json: bool) -> Exit:
    """Degraded where a symbol of one does not flow."""
    answer = send(place, {"command": "get_workers"})
    if not answer.get("success"):
        told(answer, as_json)
        return outcome(answer)
    exchanges, workers = answer["data"]["symbols"], answer["data"]["workers"]
    if as_json:
        print_json({"exchanges": exchanges, "workers": workers})
    elif exchanges:
        print_exchanges(exchanges, workers)
    else:
        say("the registry knows no exchange yet")
    short = any(missing(counts) > 0 for counts in exchanges.values())
    return Exit.DEGRADED if short else Exit.OK


def run_on_host(
    place: Place, command: str, exchange: str, host: str | None, wait_s: float, as_json: bool
) -> Exit:
    """`enable_exchange` or `disable_exchange` on one host: this one, where none is named."""
    host = host or place.environment.host_id
    asked = {"command": command, "exchange": exchange, "host": host}
    return run_errand(place, asked, wait_s, as_json)


def run_switch(
    place: Place, command: str, exchange: str, revision: int | None, as_json: bool
) -> Exit:
    """The registry's switch, which is every host's."""
    asked = {"command": command, "exchange": exchange, "expected_revision": revision}
    return told(send(place, without_nulls(asked)), as_json)


def run_breaker(
    place: Place,
    command: str,
    exchange: str,
    endpoint: Endpoint | None,
    seconds: float | None,
    as_json: bool,
) -> Exit:
    """`trip_breaker` or `reset_breaker`, of a venue or one sort of its endpoints."""
    asked = {"command": command, "exchange": exchange, "endpoint": endpoint, "seconds": seconds}
    return told(send(place, without_nulls(asked)), as_json)
