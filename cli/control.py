"""Commands on the fleet's control queue: raw ones, and those about symbols."""

from typing import Any

import orjson

from cli.broker_address import find_address, run_on
from cli.exits import CommandFailed, Exit
from cli.output import print_json, say
from cli.place import Place
from shared.control import request
from shared.symbols import expand_short

TIMEOUT_S = 10.0


def run_control(place: Place, text: str, timeout_s: float) -> Exit:
    """A command by its name, or in full as JSON; its answer as JSON."""
    answer = send(place, parse_command(text), timeout_s)
    print_json(answer)
    return outcome(answer)


def run_symbols(
    place: Place, action: str, symbols: list[str], exchange: str | None, as_json: bool
) -> Exit:
    """`list`, `add`, `remove` or `set`; symbols may be short and mean the linear perpetual."""
    worst = Exit.OK
    for command in symbol_commands(action, symbols):
        if exchange:
            command["exchange"] = exchange
        answer = send(place, command, TIMEOUT_S)
        worst = max(worst, outcome(answer))
        if as_json:
            print_json(answer)
        elif action == "list" and answer.get("success"):
            say("\n".join(answer["data"]["symbols"]))
        else:
            say(answer["message"])
            if warning := (answer.get("data") or {}).get("warning"):
                say(f"warning: {warning}")
    return worst


def symbol_commands(action: str, symbols: list[str]) -> list[dict[str, Any]]:
    """The commands of an action. Raises DataProcessingError for what is no symbol."""
    full = [expand_short(_upper(symbol)) for symbol in symbols]
    if action == "list":
        return [{"command": "get_symbols"}]
    if action == "set":
        return [{"command": "set_symbols", "symbols": full}]
    return [{"command": f"{action}_symbol", "symbol": symbol} for symbol in full]


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


def send(place: Place, command: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """The answer. Raises CommandFailed where the broker is away."""
    address = find_address(place)
    broker = address.broker("fleet-control")
    return run_on(address, broker, request(broker, command, timeout_s))


def outcome(answer: dict[str, Any]) -> Exit:
    if answer.get("success"):
        return Exit.OK
    return Exit.UNREACHABLE if answer.get("error") == "timeout" else Exit.FAILED


def _upper(symbol: str) -> str:
    """People type `btc`; a symbol in full is taken as it stands."""
    return symbol if ":" in symbol else symbol.upper()
