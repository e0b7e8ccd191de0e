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


@pytest.mark.parametrize(
    ("name", "text", "variables", "is_private"),
    [
        ("c.json", '{"exchanges": ["htx"]}', {}, True),
        ("c.json", '{"exchanges": ["htx"], "app_name": "rabbitmq"}', {}, True),
        ("c.json", '{"exchanges": ["htx"], "rabbitmq": {"host": "b"}}', {}, False),
        ("c.yaml", "exchanges: [htx]\nrabbitmq: {host: b}", {}, False),
        ("c.toml", 'exchanges = ["htx"]', {"CRYPTO_COLLECTOR_RABBITMQ__HOST": "b"}, False),
        ("c.toml", 'exchanges = ["htx"]', {"AMQP_URL": "amqp://b"}, False),
    ],
)
def test_check_says_whether_a_broker_is_brought(
    run: Run,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    text: str,
    variables: dict[str, str],
    is_private: bool,
) -> None:
    monkeypatch.delenv("AMQP_URL", raising=False)
    path.with_name(name).write_text(text)
    for variable, value in (variables | {"FLEET_CONFIG": str(path.with_name(name))}).items():
        monkeypatch.setenv(variable, value)
    told = run("check", "--json")[1]
    assert json.loads(told)["private_broker"] is is_private
    assert ('"private_broker": true' in told) is is_private, "make run looks for that"


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
    for broken in (b"{", b"\xff\xfe"):
        path.write_bytes(broken)
        assert run("rollback", "0")[0] == Exit.OK
        assert path.read_text() == good
    path.write_text(good + "debug: true\n")
    ConfigManager(environment=read_environment()).load_config()
    assert run("rollback")[0] == Exit.OK
    assert path.read_text() == good
    code, told = run("rollback", "5")
    assert (code, "earlier configurations" in told) == (Exit.CONFIG, True)


def test_what_nobody_took_up_is_undone_by_0(path: Path, run: Run) -> None:
    good = path.read_text()
    ConfigManager(environment=read_environment()).load_config()
    path.write_text(good + "debug: true\n")
    assert run("rollback", "0") == (Exit.OK, f"{path} as before\n")
    assert path.read_text() == good
    assert run("rollback", "0")[1].startswith("nothing is put back")


def test_where_a_command_is_typed_does_not_matter(
    path: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fleet runs in the configuration's directory, and has a relative path of it."""
    clone, elsewhere = path.parent / "clone", tmp_path / "elsewhere"
    clone.mkdir()
    elsewhere.mkdir()
    config, dotenv = clone / "config.json", clone / ".env"
    with monkeypatch.context() as at_home:
        at_home.chdir(clone)
        at_home.setenv("FLEET_CONFIG", "config.json")
        for number in (5, 6):
            config.write_text(f'{{"exchanges": ["${{V}}"], "database": {{"port": {number}}}}}')
            dotenv.write_text("V=htx\n")
            ConfigManager().load_config()
    text = config.read_text()
    monkeypatch.setenv("FLEET_CONFIG", str(config))
    monkeypatch.chdir(elsewhere)
    assert run("diff") == (Exit.OK, "nothing is another\n")
    assert run("rollback") == (Exit.OK, f"{config} as before\n")
    assert config.read_text() == text.replace("6", "5")
    assert list(elsewhere.iterdir()) == []


def test_another_configuration_is_not_put_back(
    path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path.parent / "other").mkdir()
    other = path.parent / "other" / "config.yaml"
    other.write_text(path.read_text())
    ConfigManager(other).load_config()
    code, told = run("rollback", "0")
    assert (code, f"that was {other}" in told) == (Exit.CONFIG, True)
    assert path.exists() and other.exists()


def test_dotenv_is_a_part_of_it(path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    ConfigManager().load_config()
    dotenv = path.with_name(".env")
    dotenv.write_text("REDIS_DB=3\n")
    ConfigManager().load_config()
    dotenv.write_text("REDIS_DB=4\n")
    assert run("diff")[1] == "redis.db: 3 -> 4 (needs a restart)\n"
    assert run("rollback", "0") == (Exit.OK, f"{dotenv} as before\n")
    assert dotenv.read_text() == "REDIS_DB=3\n"
    assert run("rollback") == (Exit.OK, f"{dotenv} as before\n")
    assert not dotenv.exists()


def test_a_directory_can_be_compared_and_put_back(
    path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = path.parent / "config"
    directory.mkdir()
    base, profile = directory / "base.yaml", directory / "development.yaml"
    base.write_text("exchanges: [htx]\n")
    monkeypatch.setenv("FLEET_CONFIG", str(directory))
    ConfigManager().load_config()
    profile.write_text("debug: true\n")
    assert run("diff")[1] == "debug: False -> True\n"
    assert run("rollback", "0") == (Exit.OK, f"{profile} as before\n")
    assert not profile.exists()


def test_the_schema_is_one(run: Run, path: Path) -> None:
    code, out = run("schema")
    assert code == Exit.OK
    assert json.loads(out)["properties"]["exchanges"]["type"] == "array"
