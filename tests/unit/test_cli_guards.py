"""What `fleet up` and `fleet demo` refuse, and a supervisord that does not answer."""

import os
import socket
import subprocess
from pathlib import Path
from subprocess import PIPE
from typing import Any
from xmlrpc.client import Fault

import pytest

from cli import supervisor as supervisor_module
from cli.endpoints import Endpoints
from cli.exits import CommandFailed, Exit
from cli.guards import only_one, refuse_orphaned_broker, refuse_second_fleet, refuse_white_space
from cli.processes import started_at
from cli.supervisor import Supervisor
from shared import supervisor_socket
from tests.places import place


def test_one_at_a_time(tmp_path: Path) -> None:
    with (
        only_one(tmp_path / "new" / "lock", "a fleet runs"),
        pytest.raises(CommandFailed, match="a fleet runs"),
        only_one(tmp_path / "new" / "lock", "a fleet runs"),
    ):
        pass
    with only_one(tmp_path / "new" / "lock", "a fleet runs"):
        pass


@pytest.mark.parametrize("kind", ["fleet", "demo"])
def test_a_fleet_that_runs_here_is_not_written_over(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Supervisor, "answers", lambda _self: False)
    refuse_second_fleet(place(tmp_path), beside_demo=False)
    started = started_at(os.getpid()) or 0.0
    Endpoints(kind, os.getpid(), started, "amqp://", "", "").write(tmp_path / "endpoints.json")
    with pytest.raises(CommandFailed, match=f"a {kind} runs"):
        refuse_second_fleet(place(tmp_path), beside_demo=False)
    if kind == "demo":
        refuse_second_fleet(place(tmp_path), beside_demo=True)


def test_a_pid_that_is_used_again_is_no_fleet(tmp_path: Path) -> None:
    Endpoints("fleet", os.getpid(), 1.0, "amqp://", "", "").write(tmp_path / "endpoints.json")
    refuse_second_fleet(place(tmp_path), beside_demo=True)


def test_a_broker_that_outlived_its_fleet_is_not_started_again(tmp_path: Path) -> None:
    refuse_orphaned_broker(tmp_path)
    environment = {"RABBITMQ_MNESIA_BASE": str(tmp_path / "mnesia")}
    up = ["/bin/sh", "-c", "echo up; read line"]
    with subprocess.Popen(up, env=environment, stdin=PIPE, stdout=PIPE) as node:
        assert node.stdout is not None
        assert node.stdout.readline() == b"up\n"
        (tmp_path / "pid").write_text(f"{node.pid}\n")
        with pytest.raises(CommandFailed, match=f"pid {node.pid}"):
            refuse_orphaned_broker(tmp_path)
        refuse_orphaned_broker(tmp_path / "other")
    refuse_orphaned_broker(tmp_path)


def test_a_path_that_supervisord_can_not_include_is_told(tmp_path: Path) -> None:
    refuse_white_space(place(tmp_path))
    with pytest.raises(CommandFailed) as caught:
        refuse_white_space(place(tmp_path / "My Code"))
    assert caught.value.code is Exit.CONFIG


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (Fault(6, "SHUTDOWN_STATE"), Exit.DEGRADED),
        (Fault(10, "BAD_NAME"), Exit.FAILED),
        (TimeoutError("timed out"), Exit.UNREACHABLE),
    ],
)
def test_what_supervisord_does_not_do_is_one_line(
    raised: Exception, code: Exit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*_: object) -> None:
        raise raised

    monkeypatch.setattr(supervisor_module, "call", call)
    with pytest.raises(CommandFailed) as caught:
        Supervisor(Path("/s")).programs()
    assert caught.value.code is code
    assert not Supervisor(Path("/s")).answers()


def test_a_supervisord_that_is_frozen_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_socket, "_SOCKET_S", 0.1)
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(str(tmp_path / "s"))
        frozen.listen()
        with pytest.raises(TimeoutError):
            supervisor_socket.call(str(tmp_path / "s"), "getState")
