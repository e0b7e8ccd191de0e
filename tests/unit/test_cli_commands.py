import orjson
import pytest

from cli.control import outcome, parse_command, symbol_commands
from cli.exits import CommandFailed, Exit
from cli.main import main
from cli.place import ROOT
from cli.tail import exchange_of, line
from shared.errors import DataProcessingError


@pytest.fixture
def fleet(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> "type[Fleet]":
    """`fleet` as called from a shell, in a clone where nothing runs and nothing is configured."""
    home = tmp_path_factory.mktemp("home")
    for name in ("AMQP_URL", "RABBITMQ_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FLEET_HOME", str(home))
    monkeypatch.setenv("FLEET_CONFIG", str(home / "config.json"))
    Fleet.patch = monkeypatch
    return Fleet


class Fleet:
    patch: pytest.MonkeyPatch

    @classmethod
    def run(cls, *arguments: str) -> int:
        cls.patch.setattr("sys.argv", ["fleet", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("symbols", "add"),
        ("symbols", "list", "BTC"),
        ("symbols", "shuffle"),
        ("tail", "--count", "0"),
        ("demo", "--seconds", "soon"),
        ("control", "{not json"),
        ("control", '{"symbol": "BTC/USDT:USDT"}'),
    ],
)
def test_wrong_usage_is_2(fleet: type[Fleet], arguments: tuple[str, ...]) -> None:
    assert fleet.run(*arguments) == Exit.USAGE


@pytest.mark.parametrize("command", [("symbols",), ("tail",), ("control", "get_symbols")])
def test_no_known_broker_is_4_and_one_line(
    fleet: type[Fleet], command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fleet.run(*command) == Exit.UNREACHABLE
    assert capsys.readouterr().err.count("\n") == 1


def test_a_broker_that_is_away_is_4_and_one_line(
    fleet: type[Fleet], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://guest:hidden@127.0.0.1:1/")
    assert fleet.run("tail") == Exit.UNREACHABLE
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "127.0.0.1:1" in error and "hidden" not in error


def test_up_without_a_configuration_is_78_and_names_the_file(
    fleet: type[Fleet], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fleet.run("up", "--foreground") == Exit.CONFIG
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "config.json" in error


def test_doctor_says_ok_warn_or_fail_of_each_thing(
    fleet: type[Fleet], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fleet.run("doctor", "--json") == Exit.OK
    levels = {check["name"]: check["level"] for check in orjson.loads(capsys.readouterr().out)}
    assert levels["python"] == "ok"
    assert levels["config"] == levels["broker"] == "warn"


def test_doctor_fails_for_a_broken_configuration(
    fleet: type[Fleet], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path_factory.mktemp("config") / "config.json"
    config.write_text('{"exchanges": ["mtgox"]}')
    monkeypatch.setenv("FLEET_CONFIG", str(config))
    assert fleet.run("doctor") == Exit.FAILED


def test_help_names_every_command(fleet: type[Fleet], capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.run("--help") == Exit.OK
    text = capsys.readouterr().out
    commands = ["demo", "up", "down", "status", "symbols", "control", "tail", "doctor", "replay"]
    commands += ["bench", "workers", "exchange", "tasks", "history", "rollback", "registry"]
    assert all(f"  {command} " in text for command in commands)
    assert "\x1b" not in text


def test_short_symbols_mean_the_linear_perpetual() -> None:
    assert symbol_commands("add", ["sol", "ETH/USDT"]) == [
        {"command": "add_symbol", "symbol": "SOL/USDT:USDT"},
        {"command": "add_symbol", "symbol": "ETH/USDT:USDT"},
    ]
    assert symbol_commands("set", ["BTC", "BTC/USD:BTC"]) == [
        {"command": "set_symbols", "symbols": ["BTC/USDT:USDT", "BTC/USD:BTC"]}
    ]
    assert symbol_commands("list", []) == [{"command": "get_symbols"}]


def test_what_is_no_symbol_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(DataProcessingError):
        symbol_commands("add", ["BTC", "a b"])


def test_a_command_is_a_name_or_json() -> None:
    assert parse_command("get_statistics") == {"command": "get_statistics"}
    assert parse_command(' {"command": "x", "a": 1}') == {"command": "x", "a": 1}
    with pytest.raises(CommandFailed):
        parse_command("{}")


def test_a_timeout_is_unreachable_and_a_refusal_a_failure() -> None:
    assert outcome({"success": True}) is Exit.OK
    assert outcome({"success": False, "error": "timeout"}) is Exit.UNREACHABLE
    assert outcome({"success": False, "error": "duplicate_symbol"}) is Exit.FAILED


@pytest.mark.parametrize(
    ("pattern", "exchange"),
    [
        ("trades.binance.*", "data"),
        ("#", "data"),
        ("heartbeat.#", "futures_status"),
        ("markets.#", "futures_status"),
        ("control.response.*", "futures_collector_responses"),
    ],
)
def test_a_pattern_tells_which_exchange_it_belongs_to(pattern: str, exchange: str) -> None:
    assert exchange_of(pattern, "data") == exchange


def test_a_message_is_one_bounded_line() -> None:
    text = line("futures.x.Y", b"x" * 100_000, at_ms=0 + 1_000)
    assert text.startswith("00:00:01.000 futures.x.Y xxx")
    assert len(text) < 300 and "\n" not in text


def test_the_clone_is_found_wherever_fleet_is_called() -> None:
    assert (ROOT / "supervisord.conf").is_file()
