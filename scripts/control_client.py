"""Control the fleet from the command line: `python scripts/control_client.py get_symbols`."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shared.broker import Broker
from shared.config import Environment, load_settings, read_environment
from shared.control import request
from shared.errors import BrokerError, ConfigurationError, DataProcessingError
from shared.files import read_json
from shared.symbols import expand_short
from shared.topology import topology

EXIT_OK, EXIT_FAILED, EXIT_UNREACHABLE, EXIT_CONFIG = 0, 1, 4, 78
_NAME = "control client"


def main() -> int:
    arguments = _parser().parse_args()
    logging.disable()  # what goes wrong is told in one line
    try:
        broker = _broker(read_environment())
        answer = asyncio.run(request(broker, _command(arguments), arguments.timeout))
    except ConfigurationError as error:
        return _complain(error, EXIT_CONFIG)
    except BrokerError as error:
        return _complain(error, EXIT_UNREACHABLE)
    except KeyboardInterrupt:
        return EXIT_FAILED
    sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode() + "\n")
    return EXIT_OK if answer.get("success") is True else EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timeout", type=_seconds, default=10.0, help="seconds, default 10")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, symbol_help in (
        ("add_symbol", "BASE/QUOTE:SETTLE"),
        ("remove_symbol", "BASE/QUOTE:SETTLE"),
        ("set_symbols", "symbols, separated by commas"),
        ("get_symbols", None),
        ("get_statistics", None),
    ):
        command = commands.add_parser(name)
        # Once more here, for those who write it last; absent it must not overwrite the first.
        command.add_argument("--timeout", type=_seconds, default=argparse.SUPPRESS)
        if symbol_help:
            command.add_argument("symbol", help=symbol_help)
            command.add_argument("--expected-revision", type=int, help="refuse any other state")
        if name != "get_statistics":
            command.add_argument("--exchange", help="only this exchange")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 3600:
        raise ValueError(text)
    return seconds


def _command(arguments: argparse.Namespace) -> dict[str, Any]:
    given = vars(arguments)
    command: dict[str, Any] = {"command": arguments.command}
    if arguments.command == "set_symbols":
        names = filter(None, map(str.strip, arguments.symbol.split(",")))
        command["symbols"] = [_unified(name) for name in names]
    elif "symbol" in given:
        command["symbol"] = _unified(arguments.symbol)
    for field in ("exchange", "expected_revision"):
        if given.get(field) is not None:
            command[field] = given[field]
    return command


def _unified(text: str) -> str:
    """The symbol that a short form means; what is none goes out as it is, to be refused."""
    try:
        return expand_short(text)
    except DataProcessingError:
        return text


def _broker(environment: Environment) -> Broker:
    """Where the configuration says, else AMQP_URL alone, else the running fleet's own address.

    Relative paths mean the working directory, and the project's where that has no such file.
    """
    config = _found(environment.config_path)
    if config is not None:
        here = environment.model_copy(update={"config_path": config})
        return Broker.of(load_settings(here), _NAME)
    url = environment.amqp_url or _endpoint(environment.home)
    if url is None:
        raise ConfigurationError(
            f"{environment.config_path} does not exist, AMQP_URL is not set and no fleet is running"
        )
    return Broker(url, _NAME, topology("futures_data"), declares=False)


def _endpoint(home: Path) -> str | None:
    path = _found(home / "endpoints.json")
    content = read_json(path) if path is not None else None
    url = content.get("amqp_url") if isinstance(content, dict) else None
    return url if isinstance(url, str) else None


def _found(path: Path) -> Path | None:
    return next((candidate for candidate in (path, ROOT / path) if candidate.is_file()), None)


def _complain(error: Exception, code: int) -> int:
    sys.stderr.write(f"{error}\n".splitlines()[0] + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
