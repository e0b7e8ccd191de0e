"""Control the fleet from the command line: `python scripts/control_client.py get_symbols`."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable
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

#: What each command takes beside `--timeout`: positional fields, then options, in the words of
#: the control API.
_COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "add_symbol": (("symbol",), ("exchange", "expected_revision")),
    "remove_symbol": (("symbol",), ("exchange", "expected_revision")),
    "set_symbols": (("symbols",), ("exchange", "expected_revision")),
    "get_symbols": ((), ("exchange",)),
    "get_statistics": ((), ()),
    "add_task": (
        ("exchange", "symbol", "kind", "interval"),
        (
            *("task_id", "timeframe", "depth", "rows", "priority", "delivery", "sample_ms"),
            "expected_revision",
        ),
    ),
    "remove_task": (("task_id",), ("expected_revision",)),
    "list_tasks": ((), ("exchange", "symbol", "kind", "limit", "after")),
    "enable_exchange": (("exchange",), ("host", "expected_revision")),
    "disable_exchange": (("exchange",), ("host", "expected_revision")),
    "get_workers": ((), ("exchange",)),
    "get_history": ((), ("limit", "before")),
    "rollback": (("to",), ("expected_revision",)),
    "restart_worker": (("worker",), ()),
    "reload_config": ((), ("host",)),
}
_HELP = {
    "symbol": "BASE/QUOTE:SETTLE, or what means many: */USDT:USDT, top:50",
    "symbols": "symbols, separated by commas",
    "exchange": "a venue; as an option: only this one",
    "expected_revision": "refuse any other state",
    "host": "only on this host, by its agent",
    "interval": "seconds",
    "rows": "of ohlcv and trades, at most",
    "to": "a state revision, see get_history",
    "worker": "as get_workers names it: binance-0@host",
}
_WHOLE = ("expected_revision", "depth", "rows", "priority", "sample_ms", "limit", "before", "to")
#: Of `add_task`: what stands in its `parameters`, by our option.
_PARAMETERS = {"timeframe": "timeframe", "depth": "depth", "rows": "limit"}


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
    for name, (fields, options) in _COMMANDS.items():
        command = commands.add_parser(name)
        # Once more here, for those who write it last; absent it must not overwrite the first.
        command.add_argument("--timeout", type=_seconds, default=argparse.SUPPRESS)
        for field in fields:
            command.add_argument(field, type=_type(field), help=_HELP.get(field))
        for field in options:
            flag = "--" + field.replace("_", "-")
            command.add_argument(flag, type=_type(field), help=_HELP.get(field))
    return parser


def _type(field: str) -> Callable[[str], Any]:
    if field == "interval":
        return _seconds
    return _whole if field in _WHOLE else str


def _whole(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**53:
        raise ValueError(text)
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 86_400:
        raise ValueError(text)
    return seconds


def _command(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {
        name: value
        for name, value in vars(arguments).items()
        if value is not None and name != "timeout"
    }
    if "symbols" in given:
        names = filter(None, map(str.strip, given["symbols"].split(",")))
        given["symbols"] = [_unified(name) for name in names]
    if "symbol" in given:
        given["symbol"] = _unified(given["symbol"])
    parameters = {field: given.pop(name) for name, field in _PARAMETERS.items() if name in given}
    return given | ({"parameters": parameters} if parameters else {})


def _unified(text: str) -> str:
    """The symbol that a short form means; what is none goes out as it is, to be refused."""
    try:
        return expand_short(text)
    except DataProcessingError:
        return text


def _broker(environment: Environment) -> Broker:
    """Where AMQP_URL says, else the configuration, else the running fleet's own address.

    Relative paths mean the working directory, and the project's where that has no such file.
    """
    config, exchange = _found(environment.config_path), "futures_data"
    if config is not None:
        here = environment.model_copy(update={"config_path": config})
        settings = load_settings(here)
        if environment.amqp_url or "rabbitmq" in settings.config.model_fields_set:
            return Broker.of(settings, _NAME)
        exchange = settings.config.rabbitmq.exchange
    url = environment.amqp_url or _endpoint(environment.home)
    if url is None:
        raise ConfigurationError(
            f"{environment.config_path} names no broker, AMQP_URL is not set, and no fleet runs"
        )
    return Broker(url, _NAME, topology(exchange), declares=False)


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
