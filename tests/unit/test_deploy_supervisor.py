from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from cli.place import ROOT, socket_path
from cli.private_broker import BrokerPorts, PrivateBroker
from cli.supervisor_conf import (
    PROGRAMS,
    Program,
    broker_programs,
    environment_value,
    variant,
    write_programs,
)
from shared.errors import ConfigurationError
from shared.service import STOP_DEADLINE_S
from shared.venues import VENUES


def programs_in(conf: Path) -> dict[str, object]:
    """The programs as supervisord itself understands the file."""
    options = ServerOptions()
    options.realize(["-c", str(conf)])
    return {
        program.name: program
        for group in options.process_group_configs
        for program in group.process_configs
    }


@pytest.fixture(scope="module")
def fleet() -> dict[str, object]:
    return programs_in(ROOT / "supervisord.conf")


def test_every_venue_has_a_program_and_coordinator_and_agent(fleet: dict[str, object]) -> None:
    expected = {"agent", "coordinator", *(f"collector-{venue}" for venue in VENUES)}
    assert expected == {path.stem for path in PROGRAMS.glob("*.ini")}
    assert expected <= set(fleet)


@pytest.mark.parametrize("venue", VENUES)
def test_a_collector_is_run_from_the_clone_for_its_venue(
    fleet: dict[str, object], venue: str
) -> None:
    program = vars(fleet[f"collector-{venue}"])
    assert program["command"] == f'"{ROOT}/.venv/bin/python" -m workers.collector {venue}'
    assert program["directory"] == str(ROOT)
    assert program["stdout_logfile"] == f"{ROOT}/logs/collector-{venue}.log"


@pytest.mark.parametrize("name", [path.stem for path in sorted(PROGRAMS.glob("*.ini"))])
def test_what_supervisord_promises_each_program(fleet: dict[str, object], name: str) -> None:
    program = vars(fleet[name])
    assert program["autostart"]
    assert program["startsecs"] >= 5, "an exit within a second or so would pass for a start"
    assert 3 <= program["startretries"] <= 10, "a config error has to end in FATAL"
    assert program["stopwaitsecs"] > STOP_DEADLINE_S
    assert program["stopasgroup"] and program["killasgroup"] and program["redirect_stderr"]
    assert program["stdout_logfile_maxbytes"] == 20 * 1024 * 1024
    assert program["stdout_logfile_backups"] == 5


def test_supervisord_has_no_port_and_a_private_socket() -> None:
    options = ServerOptions()
    options.realize(["-c", str(ROOT / "supervisord.conf")])
    (server,) = options.configroot.supervisord.server_configs
    assert server["file"] == str(ROOT / ".fleet" / "supervisor.sock")
    assert server["chmod"] == 0o700


def test_what_a_clone_needs_to_start_bare_is_committed() -> None:
    """supervisord makes no directories."""
    assert (ROOT / "logs" / ".gitkeep").exists() and (ROOT / ".fleet" / ".gitkeep").exists()


def test_a_variant_runs_the_same_programs_elsewhere(tmp_path: Path) -> None:
    home = tmp_path / "with a space"
    logs = home / "logs"
    logs.mkdir(parents=True)
    broker = PrivateBroker(home / "broker", BrokerPorts(1, 2, 3), Path("/opt/sbin"))
    generated = broker_programs(broker)
    write_programs(home / "programs", generated)
    conf = tmp_path / "supervisord.conf"
    includes = (f"{PROGRAMS}/*.ini", f"{tmp_path}/*/programs/*.ini")
    conf.write_text(variant(home, logs, home / "s.sock", includes))
    programs = programs_in(conf)
    assert {"epmd", "broker", "coordinator"} <= set(programs)
    assert vars(programs["coordinator"])["stdout_logfile"] == f"{logs}/coordinator.log"
    assert broker.environment().items() <= vars(programs["broker"])["environment"].items()


def test_the_broker_starts_before_the_rest_and_stops_after_it(fleet: dict[str, object]) -> None:
    broker = PrivateBroker(Path("x"), BrokerPorts(1, 2, 3), Path("/opt/sbin"))
    epmd, server = broker_programs(broker)
    others = [vars(program)["priority"] for program in fleet.values()]
    assert epmd.priority < server.priority < min(others)


def test_writing_programs_removes_those_of_a_run_before(tmp_path: Path) -> None:
    (tmp_path / "old.ini").touch()
    write_programs(tmp_path, [Program("new", ["true"], priority=1)])
    assert [path.name for path in tmp_path.glob("*.ini")] == ["new.ini"]


def test_what_the_agent_has_added_stays_unless_the_repository_has_it_too(tmp_path: Path) -> None:
    for name in ("collector-gate-1.ini", "collector-gate.ini"):
        (tmp_path / name).touch()
    write_programs(tmp_path, [])
    assert [path.name for path in tmp_path.glob("*.ini")] == ["collector-gate-1.ini"]


def test_the_agent_is_the_first_to_stop(fleet: dict[str, object]) -> None:
    """Else it would start again what is being stopped."""
    priorities = {name: vars(program)["priority"] for name, program in fleet.items()}
    agent = priorities.pop("agent")
    assert agent > max(priorities.values())


def test_what_supervisord_can_not_express_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        environment_value({"A": 'say "no"'})


def test_a_socket_path_is_short_enough_and_always_the_same(tmp_path: Path) -> None:
    assert socket_path(Path("/clone/.fleet")) == Path("/clone/.fleet/supervisor.sock")
    deep = tmp_path / ("d" * 100)
    assert len(str(socket_path(deep))) < 100
    assert socket_path(deep) == socket_path(deep) != socket_path(tmp_path / ("e" * 100))
