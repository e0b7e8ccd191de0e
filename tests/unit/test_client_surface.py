"""What the client library shows, and what it shares with the fleet."""

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

import futures_fleet
from coordinator.commands import Command, parse
from futures_fleet import CommandError, FleetClient, FleetError, commands
from scripts.wire import TARGET, copies

URL = "amqp://u:p@h/"
PACKAGE = Path(futures_fleet.__file__).parent
METHODS = {
    *("close", "stream", "add_symbol", "remove_symbol", "set_symbols", "get_symbols", "get_state"),
    *("get_statistics", "add_task", "remove_task", "list_tasks", "enable_exchange"),
    *("disable_exchange", "get_workers", "get_history", "rollback", "restart_worker"),
    "reload_config",
    "trip_breaker",
    "reset_breaker",
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "add_symbol": {"symbol": "BTC/USDT:USDT", "exchange": "binance", "expected_revision": 3},
    "remove_symbol": {"symbol": "BTC/USDT:USDT"},
    "set_symbols": {"symbols": ["BTC/USDT:USDT"], "exchange": "binance"},
    "get_symbols": {"exchange": "binance"},
    "get_statistics": {},
    "add_task": {
        "task_id": "t", "exchange": "binance", "symbol": "BTC/USDT:USDT", "kind": "ohlcv", "interval": 60,
        "parameters": {"timeframe": "1m", "limit": 5}, "priority": 1, "delivery": "sampled", "sample_ms": 500,
    },
    "remove_task": {"task_id": "t"},
    "list_tasks": {"exchange": "binance", "symbol": "BTC/USDT:USDT", "kind": "ohlcv", "limit": 5, "after": "t"},
    "enable_exchange": {"exchange": "binance", "host": "h"},
    "disable_exchange": {"exchange": "binance"},
    "get_workers": {"exchange": "binance"},
    "get_history": {"limit": 5, "before": 9},
    "rollback": {"to": 3},
    "restart_worker": {"worker": "binance-0@h"},
    "reload_config": {"host": "h"},
    "trip_breaker": {"exchange": "binance", "endpoint": "prices", "seconds": 5},
    "reset_breaker": {"exchange": "binance", "endpoint": "prices"},
}  # fmt: skip


def test_the_public_names() -> None:
    assert sorted(futures_fleet.__all__) == [
        *("Body", "BodyError", "CommandError", "ConnectionStrategy", "Coverage"),
        *("CredentialsError", "ExchangeManager", "FleetClient"),
        *("FleetError", "FuturesData", "Gap", "Liquidation", "Message", "Missed", "NoAnswerError"),
        *("Ohlcv", "OpenInterest", "Orderbook", "OrderbookData", "PredictedFunding", "Priority"),
        *("SettledFunding", "State", "Stream", "TaskResult", "Ticker", "TickerData", "Trade"),
        "symbol_key",
    ]
    shown = {name for name, _ in inspect.getmembers(FleetClient) if not name.startswith("_")}
    assert shown == METHODS
    shown = {name for name, _ in inspect.getmembers(futures_fleet.Stream) if name[0] != "_"}
    assert shown == {
        *("breaks", "close", "dropped", "duplicates", "missed", "ready", "superseded"),
    }


def test_the_copies_are_what_the_fleet_has() -> None:
    there = {path.name: path.read_text() for path in TARGET.glob("*.py")}
    assert there == copies(), "run python scripts/wire.py"


def test_nothing_of_the_fleet_is_imported() -> None:
    """Only the standard library, what the wheel asks for, and itself."""
    allowed = {"aio_pika", "aiormq", "orjson", "pydantic", "typing_extensions", "yarl"}
    imported = {
        (name.name if isinstance(node, ast.Import) else node.module or "").split(".")[0]
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert imported - set(sys.stdlib_module_names) <= allowed | {"futures_fleet"}


@pytest.mark.parametrize("model", commands.COMMANDS, ids=lambda model: model.name)
def test_the_coordinator_understands_each_command(model: type[commands.Command]) -> None:
    command = model(**EXAMPLES[model.name], correlation_id="c", timestamp=5)
    parsed = parse(orjson.dumps(commands.fields_of(command)))
    assert isinstance(parsed, Command), parsed
    assert parsed.name == model.name


def test_no_field_of_a_command_is_left_out_of_the_examples() -> None:
    envelope = {"correlation_id", "timestamp", "expected_revision"}
    for model in commands.COMMANDS:
        missing = set(model.model_fields) - envelope - set(EXAMPLES[model.name])
        assert missing <= {"exchange", "host"}, model


def test_fields_that_are_not_given_are_not_sent() -> None:
    sent = commands.fields_of(commands.AddSymbol(symbol="X"))
    assert sent == {"command": "add_symbol", "symbol": "X"}


@pytest.mark.parametrize("url", ["", "http://h/", "amqp:///", "h:5672"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="amqp"):
        FleetClient(url)


@pytest.mark.parametrize("patterns", [(), ("",), ("trades.#", "x" * 256)])
async def test_patterns_that_are_none(patterns: tuple[str, ...]) -> None:
    async with FleetClient(URL) as fleet:
        with pytest.raises(ValueError, match="pattern"):
            fleet.stream(*patterns)


async def test_a_closed_client_does_nothing_more() -> None:
    async with FleetClient(URL) as fleet:
        pass
    with pytest.raises(RuntimeError):
        fleet.stream("#")
    with pytest.raises(RuntimeError):
        await fleet.get_symbols()


async def test_a_task_that_can_not_be_is_refused_before_it_is_sent() -> None:
    async with FleetClient(URL) as fleet:
        with pytest.raises(ValueError, match="interval"):
            await fleet.add_task("binance", "BTC", "ticker", interval=0)
        with pytest.raises(ValueError, match="colour"):
            await fleet.add_task("binance", "BTC", "ticker", 1, colour="green")


def test_an_error_says_its_code() -> None:
    error = CommandError("duplicate_symbol", "Symbol X already exists", None)
    assert isinstance(error, FleetError)
    assert (error.code, error.data) == ("duplicate_symbol", {})
    assert str(error) == "duplicate_symbol: Symbol X already exists"
