"""`fleet config`: what it shows, what it finds wrong, what it puts back."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.exits import CommandFailed, Exit
from cli.main import app
from shared.config.loading import read_environment
from shared.config.manager import ConfigManager
from shared.errors import ConfigurationError

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("exchanges: [gateio]\nrabbitmq: {password: canary, port: 7}\n")
    monkeypatch.setenv("FLEET_CONFIG", str(path))
    monkeypatch.setenv("FLEET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REDIS_HOST", "r")
    return path


@pytest.fixture
def run() -> Run:
    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["config", *arguments], catch_exceptions=True)
        if isinstance(done.exception, ConfigurationError | CommandFailed):
            return Exit.CONFIG, str(done.exception)
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done.exit_code, done.stdout

    return run


def test_show_tells_what_is_said_and_by_what(path: Path, run: Run) -> None:
    code, out = run("show", "--json")
    assert code == Exit.OK
    told = {row["field"]: (row["value"], row["origin"]) for row in json.loads(out)}
    assert told == {
        "exchanges": (["gateio"], str(path)),
        "rabbitmq.password": ("**********", str(path)),
        "rabbitmq.port": (7, str(path)),
        "redis.host": ("r", "REDIS_HOST"),
    }
    _, everything = run("show", "--all")
    assert "canary" not in everything
    assert "collection.interval_seconds" in everything


def test_check_is_a_verdict(path: Path, run: Run) -> None:
    assert run("check")[0] == Exit.OK
    path.write_text("exchanges: [nowhere]")
    code, told = run("check")
    assert code == Exit.CONFIG
    assert "exchanges.0" in told


def test_diff_tells_what_a_reload_would_change(path: Path, run: Run) -> None:
    code, told = run("diff")
    assert (code, "taken up" in told) == (Exit.CONFIG, True)
    ConfigManager(environment=read_environment()).load_config()
    assert run("diff") == (Exit.OK, "nothing is another\n")
    text = path.read_text()
    path.write_text(text + "logging: {level: DEBUG}\ndatabase: {port: 9}\n")
    code, told = run("diff")
    assert code == Exit.DEGRADED
    assert "logging.level: 'INFO' -> 'DEBUG'\n" in told
    assert "database.port: 5432 -> 9 (needs a restart)\n" in told
    other = path.with_name("other.json")
    other.write_text('{"exchanges": ["gateio"], "rabbitmq": {"password": "other", "port": 7}}')
    code, told = run("diff", str(other), "--json")
    assert {change["field"] for change in json.loads(told)} == {
        "database.port",
        "logging.level",
        "rabbitmq.password",
    }
    assert "canary" not in told


def test_rollback_puts_back_what_was_taken_up(path: Path, run: Run) -> None:
    good = path.read_text()
    ConfigManager(environment=read_environment()).load_config()
    path.write_text("{")
    assert run("rollback", "0")[0] == Exit.OK
    assert path.read_text() == good
    path.write_text(good + "debug: true\n")
    assert run("rollback")[0] == Exit.OK
    assert path.read_text() == good
    code, told = run("rollback", "5")
    assert (code, "earlier configurations" in told) == (Exit.CONFIG, True)


def test_the_schema_is_one(run: Run, path: Path) -> None:
    code, out = run("schema")
    assert code == Exit.OK
    assert json.loads(out)["properties"]["exchanges"]["type"] == "array"
