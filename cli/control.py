"""Commands on the fleet's control queue: raw ones, and those about symbols."""

from dataclasses import dataclass
from typing import Any

import orjson

from cli.broker_address import find_address, run_on
from cli.exits import CommandFailed, Exit
from cli.output import print_json, say
from cli.place import Place
from shared.control import request
from shared.symbols import expand_short

TIMEOUT_S = 10.0
_RANKING = "top:"


@dataclass(frozen=True, slots=True)
class Wish:
    """What `fleet symbols` was asked for."""

    action: str  # list, add, remove or set
    symbols: list[str]  # perhaps short, then they mean the linear perpetual
    exchange: str | None = None
    revision: int | None = None  # that the state is expected to have


def run_control(place: Place, text: str, timeout_s: float) -> Exit:
    """A command by its name, or in full as JSON; its answer as JSON."""
    answer = send(place, parse_command(text), timeout_s)
    print_json(answer)
    return outcome(answer)


def run_symbols(place: Place, wish: Wish, as_json: bool) -> Exit:
    """One command for each symbol that is added or removed. Where a revision is expected, each
    expects the one that the command before it has made, and the first that fails is the last."""
    worst, revision = Exit.OK, wish.revision
    for command in symbol_commands(wish.action, wish.symbols):
        given = {"exchange": wish.exchange, "expected_revision": revision}
        answer = send(place, command | without_nulls(given), TIMEOUT_S)
        worst = max(worst, outcome(answer))
        _tell(wish.action, answer, as_json)
        if revision is not None:
            if not answer.get("success"):
                break
            revision = answer["data"].get("state_revision")
    return worst


def symbol_commands(action: str, symbols: list[str]) -> list[dict[str, Any]]:
    """The commands of an action. Raises DataProcessingError for what is no symbol."""
    full = [in_full(symbol) for symbol in symbols]
    if action == "list":
        return [{"command": "get_symbols"}]
    if action == "set":
        return [{"command": "set_symbols", "symbols": full}]
    return [{"command": f"{action}_symbol", "symbol": symbol} for symbol in full]


def in_full(symbol: str) -> str:
    """People type `btc`; a symbol in full is taken as it stands, and so is what means many: a
    pattern, `top:50`. Raises DataProcessingError for what is no symbol."""
    if symbol.lower().startswith(_RANKING):
        return _RANKING + symbol[len(_RANKING) :].upper()
    return expand_short(symbol if ":" in symbol else symbol.upper())


def parse_command(text: str) -> dict[str, Any]:
    """Raises CommandFailed for what is neither a name nor a JSON object with a command."""
    if not text.lstrip().startswith("{"):
        return {"command": text}
    try:
        command = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CommandFailed(f"not JSON: {error}", Exit.USAGE) from None
    if not isinstance(command.get("command"), str):
        raise CommandFailed('the JSON has no "command"', Exit.USAGE)
    return dict(command)


def send(place: Place, command: dict[str, Any], timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """The answer. Raises CommandFailed where the broker is away."""
    address = find_address(place)
    broker = address.broker("fleet-control")
    return run_on(address, broker, request(broker, command, timeout_s))


def outcome(answer: dict[str, Any]) -> Exit:
    if answer.get("success"):
        return Exit.OK
    return Exit.UNREACHABLE if answer.get("error") == "timeout" else Exit.FAILED


def told(answer: dict[str, Any], as_json: bool) -> Exit:
    """Print a command's answer: as JSON, or what it says."""
    if as_json:
        print_json(answer)
    else:
        say(answer["message"])
    return outcome(answer)


def without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _tell(action: str, answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(answer)
    elif action == "list" and answer.get("success"):
        say("\n".join(answer["data"]["symbols"]))
    else:
        say(answer["message"])
        if warning := (answer.get("data") or {}).get("warning"):
            say(f"warning: {warning}")
