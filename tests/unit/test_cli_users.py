import base64
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from cli.exits import Exit
from cli.main import main
from shared.definitions import password_hash
from shared.venues import VENUES

SERVICES = ["coordinator", *(f"collector-{venue}" for venue in VENUES), "agent"]
PEOPLE = ["operator", "reader", "monitor"]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A place where nothing is configured and nothing runs."""
    monkeypatch.delenv("AMQP_URL", raising=False)
    monkeypatch.setenv("FLEET_HOME", str(tmp_path))
    monkeypatch.setenv("FLEET_CONFIG", str(tmp_path / "config.json"))
    return tmp_path


class Typed:
    """`fleet users …` as from a shell."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        *arguments: str,
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["fleet", "users", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        self.code = int(caught.value.code or 0)
        self.out, self.err = capsys.readouterr()

    @property
    def definitions(self) -> dict[str, Any]:
        parsed: dict[str, Any] = orjson.loads(self.out)
        return parsed

    @property
    def passwords(self) -> dict[str, str]:
        return dict(line.split() for line in self.err.splitlines())


@pytest.fixture
def typed(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *arguments: Typed(monkeypatch, capsys, *arguments)


def fits(user: dict[str, Any], password: str) -> bool:
    salt = base64.b64decode(user["password_hash"])[:4]
    return bool(user["password_hash"] == password_hash(password, salt))


def test_passwords_are_told_once_and_stand_as_hashes_in_the_definitions(typed: Any) -> None:
    done = typed()
    assert done.code == Exit.OK
    users = {user["name"]: user for user in done.definitions["users"]}
    assert list(users) == [f"fleet-{role}" for role in (*SERVICES, *PEOPLE)]
    assert done.passwords.keys() == users.keys()
    assert all(fits(users[name], password) for name, password in done.passwords.items())
    assert not any(password in done.out for password in done.passwords.values())
    assert len(set(done.passwords.values())) == len(users)


def test_each_call_makes_new_passwords(typed: Any) -> None:
    first, second = typed().passwords, typed().passwords
    assert not set(first.values()) & set(second.values())


def test_every_user_has_permissions_in_the_one_vhost(typed: Any) -> None:
    definitions = typed().definitions
    names = [user["name"] for user in definitions["users"]]
    assert [row["user"] for row in definitions["permissions"]] == names
    assert {row["user"] for row in definitions["topic_permissions"]} == set(names)
    rows = (*definitions["permissions"], *definitions["topic_permissions"])
    assert {row["vhost"] for row in rows} == {"/"} == {v["name"] for v in definitions["vhosts"]}
    assert definitions["policies"] and definitions["queues"] and definitions["bindings"]


def test_names_are_chosen(typed: Any) -> None:
    done = typed("--exchange", "gateio", "--exchange", "okx", "--prefix", "x.", "--no-services")
    assert list(done.passwords) == [f"x.{role}" for role in PEOPLE]
    done = typed("--exchange", "gateio", "--exchange", "okx", "--prefix", "")
    collectors = [name for name in done.passwords if name.startswith("collector")]
    assert collectors == ["collector-gateio", "collector-okx"]


def test_as_json_passwords_stand_beside_the_definitions(typed: Any) -> None:
    done = typed("--json", "--no-services")
    told = orjson.loads(done.out)
    assert done.err == ""
    assert [user["role"] for user in told["users"]] == PEOPLE
    for user, defined in zip(told["users"], told["definitions"]["users"], strict=True):
        assert fits(defined, user["password"]) and user["user"] == defined["name"]


def test_exchanges_vhost_and_data_exchange_are_the_configurations(typed: Any, home: Path) -> None:
    config = {
        "exchanges": ["gateio", "okx"],
        "rabbitmq": {"vhost": "market data", "exchange": "my_data"},
    }
    (home / "config.json").write_bytes(orjson.dumps(config))
    definitions = typed().definitions
    collectors = [u["name"] for u in definitions["users"] if "collector" in u["name"]]
    assert collectors == ["fleet-collector-gateio", "fleet-collector-okx"]
    assert {row["vhost"] for row in definitions["permissions"]} == {"market data"}
    assert "my_data" in [exchange["name"] for exchange in definitions["exchanges"]]


def test_the_vhost_of_the_environment_wins(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://a:b@broker/a%2Fb")
    assert typed().definitions["vhosts"] == [{"name": "a/b"}]
    monkeypatch.setenv("AMQP_URL", "amqp://a:b@broker")
    assert typed().definitions["vhosts"] == [{"name": "/"}]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--exchange", "nowhere"),
        ("--exchange", "gate", "--exchange", "gateio"),
        ("--prefix", "a b"),
        ("--prefix", "ü"),
    ],
)
def test_what_can_not_be_is_a_matter_of_usage(typed: Any, arguments: tuple[str, ...]) -> None:
    done = typed(*arguments)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert len(done.err.splitlines()) == 1
