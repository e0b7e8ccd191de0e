import json
import os
from pathlib import Path

import pytest

from cli.broker_address import find_address, run_on
from cli.endpoints import Endpoints, read_endpoints
from cli.exits import CommandFailed, Exit
from cli.processes import started_at
from shared.broker import Broker
from shared.errors import BrokerError
from shared.topology import topology
from tests.places import place

ENDPOINTS = Endpoints(
    kind="demo",
    pid=os.getpid(),
    started=started_at(os.getpid()) or 0.0,
    amqp_url="amqp://demo:demo@127.0.0.1:2/",
    supervisor_socket="/s",
    config="/nowhere/config.json",
)


def configure(home: Path, **fields: object) -> None:
    (home / "config.json").write_text(json.dumps({"exchanges": ["binance"], **fields}))


def test_the_environment_comes_first_then_the_configuration_then_what_runs(tmp_path: Path) -> None:
    configure(tmp_path, rabbitmq={"host": "configured", "exchange": "mine"})
    ENDPOINTS.write(tmp_path / "endpoints.json")
    given = find_address(place(tmp_path, "amqp://given/"))
    assert (given.url, given.data_exchange) == ("amqp://given/", "mine")
    configured = find_address(place(tmp_path))
    assert "@configured:5672/" in configured.url
    assert str(tmp_path / "endpoints.json") in configured.hint
    assert "demo:demo" not in configured.hint  # which is printed
    configure(tmp_path)
    assert find_address(place(tmp_path)).url == ENDPOINTS.amqp_url


def test_no_broker_at_all_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as caught:
        find_address(place(tmp_path))
    assert caught.value.code is Exit.UNREACHABLE


def test_endpoints_hold_a_password_and_are_for_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"
    ENDPOINTS.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_endpoints(path) == ENDPOINTS


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"kind": "demo", "pid": 1}'])
def test_what_is_no_endpoints_file_counts_for_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "endpoints.json").write_text(content)
    assert read_endpoints(tmp_path / "endpoints.json") is None


def test_endpoints_of_a_fleet_that_has_died_count_for_nothing(tmp_path: Path) -> None:
    fields = json.loads((_written(tmp_path)).read_text()) | {"pid": 2**22 - 1}
    (tmp_path / "endpoints.json").write_text(json.dumps(fields))
    assert read_endpoints(tmp_path / "endpoints.json") is None


def test_a_lost_broker_is_unreachable_but_a_closed_pipe_is_not(tmp_path: Path) -> None:
    broker = Broker("amqp://127.0.0.1:1/", "t", topology("x"), declares=False)
    address = find_address(place(tmp_path, "amqp://127.0.0.1:1/"))

    async def failing(error: Exception) -> None:
        raise error

    with pytest.raises(CommandFailed) as caught:
        run_on(address, broker, failing(BrokerError("away")))
    assert caught.value.code is Exit.UNREACHABLE
    with pytest.raises(BrokenPipeError):
        run_on(address, broker, failing(BrokenPipeError()))


def _written(home: Path) -> Path:
    path = home / "endpoints.json"
    ENDPOINTS.write(path)
    return path
