"""What an agent does with the programs of its host, against a supervisord that only remembers."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.supervisor_conf import PROGRAMS
from shared.config import Environment, read_environment
from shared.errands import Action, Errand
from shared.errors import ErrandError
from shared.host_exchanges import HostExchanges, exchanges_path, read_host_exchanges
from shared.venues import VENUES
from tests.fakes import FakeClock
from workers.agent.deeds import Deeds
from workers.agent.errand_book import ErrandBook, Waiting
from workers.agent.programs import CollectorProgram, collector_of, is_collector_of, program_of
from workers.agent.supervisord import Program, Supervisord


class Host(Supervisord):
    """Programs by name with their pids; 0: stopped."""

    def __init__(self, included: Path, **pids: int) -> None:
        super().__init__(None, FakeClock())
        self.included = included
        self.pids = {name.replace("_", "-"): pid for name, pid in pids.items()}
        self.configured = set(self.pids)
        self.did: list[str] = []
        self.fails: str | None = None

    async def programs(self) -> dict[str, Program]:
        return {name: await self.program(name) for name in self.pids}

    async def program(self, name: str) -> Program:
        if name not in self.pids:
            raise ErrandError(f"this host has no program {name}")
        pid = self.pids[name]
        return Program(name, "RUNNING" if pid else "STOPPED", pid)

    async def knows(self, name: str) -> bool:
        return name in self.configured

    async def reload(self) -> None:
        self.did.append("reload")
        self.configured |= {path.stem for path in self.included.glob("*.ini")}

    async def add(self, name: str) -> None:
        assert name in self.configured
        self.pids.setdefault(name, 0)

    async def signal(self, name: str, word: str) -> None:
        self.did.append(f"{word} {name}")

    async def stop(self, name: str) -> None:
        self.did.append(f"stop {name}")
        self.pids[name] = 0
        self._crash_at("stop")

    async def start(self, name: str) -> None:
        self._crash_at("start")
        if not (await self.program(name)).pid:
            self.did.append(f"start {name}")
            self.pids[name] = 1000 + len(self.did)

    def _crash_at(self, step: str) -> None:
        if self.fails == step:
            raise ErrandError(f"{step} failed")


@dataclass
class Desk:
    """An agent's deeds, on host `a`."""

    home: Path
    host: Host
    clock: FakeClock = field(default_factory=FakeClock)
    sent: int = 0

    def __post_init__(self) -> None:
        self.book = ErrandBook(self.home / "errands.json", self.clock)
        self.deeds = Deeds(environment(self.home), self.host, self.book)

    def waiting(self, action: Action, worker: str = "", exchange: str = "") -> Waiting:
        self.sent += 1
        errand = Errand(
            id=str(self.sent),
            action=action,
            worker=worker or None,
            exchange=exchange or None,
            sent_at=self.clock.now_ms(),
        )
        self.book.take(errand)
        waiting = self.book.next()
        assert waiting is not None
        return waiting

    async def do(self, action: Action, worker: str = "", exchange: str = "") -> str:
        waiting = self.waiting(action, worker, exchange)
        try:
            return await self.deeds.do(waiting)
        finally:
            self.book.finish(waiting, True, "")

    @property
    def exchanges(self) -> HostExchanges:
        return read_host_exchanges(exchanges_path(self.home))


def environment(home: Path) -> Environment:
    given = {"FLEET_HOME": str(home), "FLEET_HOST_ID": "a", "FLEET_CONFIG": str(home / "c.json")}
    return read_environment(given)


def added(home: Path) -> list[Path]:
    """The program files that an agent has written."""
    return list(home.glob("supervisor/*.ini"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    pids = {"collector_gate": 10, "collector_gate_1": 11, "collector_htx": 12, "coordinator": 13}
    return Desk(tmp_path, Host(tmp_path / "supervisor", agent=9, **pids))


async def test_a_restart_touches_one_program(desk: Desk) -> None:
    await desk.do("restart", "gate-0@a")
    assert desk.host.did == ["stop collector-gate", "start collector-gate"]
    await desk.do("restart", "gate-1@a")
    assert desk.host.did[2:] == ["stop collector-gate-1", "start collector-gate-1"]
    await desk.do("restart", "coordinator@a")
    assert desk.host.did[4:] == ["stop coordinator", "start coordinator"]


async def test_a_stopped_program_is_started(desk: Desk) -> None:
    desk.host.pids["collector-gate"] = 0
    await desk.do("restart", "gate-0@a")
    assert desk.host.did == ["start collector-gate"]


@pytest.mark.parametrize(
    "worker",
    ["gate-0@b", "gate-2@a", "gate-0", "agent@a", "nyse-0@a", "gate-0@", "../x-0@a", "gate-00@a"],
)
async def test_what_this_agent_may_not_restart_is_refused(desk: Desk, worker: str) -> None:
    with pytest.raises(ErrandError):
        await desk.do("restart", worker)
    assert desk.host.did == []


async def test_a_restart_that_a_crash_interrupted_is_finished_not_repeated(desk: Desk) -> None:
    desk.host.fails = "start"
    waiting = desk.waiting("restart", "gate-0@a")
    with pytest.raises(ErrandError):
        await desk.deeds.do(waiting)
    desk.host.fails = None
    after = ErrandBook(desk.home / "errands.json", desk.clock).next()
    assert after is not None
    await desk.deeds.do(after)
    assert desk.host.did == ["stop collector-gate", "start collector-gate"]
    await desk.deeds.do(after)  # killed again before the end was on disk
    assert desk.host.did == ["stop collector-gate", "start collector-gate"]


async def test_stop_and_start(desk: Desk) -> None:
    await desk.do("stop", "gate-0@a")
    await desk.do("start", "gate-0@a")
    assert desk.host.did == ["stop collector-gate", "start collector-gate"]
    await desk.do("start", "gate-2@a")
    assert desk.host.did[2:] == ["reload", "start collector-gate-2"]


async def test_adding_a_venue_makes_its_program_and_touches_no_other(desk: Desk) -> None:
    before = dict(desk.host.pids)
    await desk.do("add", exchange="okx")
    assert desk.exchanges == HostExchanges(added=("okx",))
    assert (desk.home / "supervisor" / "collector-okx.ini").exists()
    assert desk.host.did == ["reload", "start collector-okx"]
    assert {name: desk.host.pids[name] for name in before} == before
    await desk.do("add", exchange="okx")
    assert desk.host.did == ["reload", "start collector-okx"]


async def test_adding_a_venue_whose_program_waits_restarts_nothing(desk: Desk) -> None:
    await desk.do("add", exchange="htx")
    assert desk.host.did == [] and desk.exchanges.added == ("htx",)


async def test_a_second_worker_of_a_venue_can_be_added(desk: Desk) -> None:
    await desk.do("add", "htx-1@a", "htx")
    assert "--index 1\n" in (desk.home / "supervisor" / "collector-htx-1.ini").read_text()
    with pytest.raises(ErrandError):
        await desk.do("add", "htx-1@a", "gate")


async def test_a_configuration_that_does_not_include_our_files_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Host(tmp_path / "elsewhere", agent=9))
    with pytest.raises(ErrandError, match="include"):
        await desk.do("add", exchange="okx")
    assert not added(tmp_path)
    assert desk.exchanges == HostExchanges()


async def test_leaving_restarts_the_collectors_of_that_venue_alone(desk: Desk) -> None:
    await desk.do("leave", exchange="gate")
    assert desk.exchanges == HostExchanges(left=("gate",))
    assert [step for step in desk.host.did if step.startswith("stop")] == [
        "stop collector-gate",
        "stop collector-gate-1",
    ]
    assert all(desk.host.pids[name] for name in ("collector-gate", "collector-gate-1"))


async def test_a_reload_signals_those_that_read_the_configuration_and_no_other(
    desk: Desk,
) -> None:
    (desk.home / "c.json").write_text('{"exchanges": ["gate"]}')
    desk.host.pids |= {"broker": 7, "epmd": 8, "simulator": 9, "agent": 10, "coordinator": 0}
    told = await desk.do("reload")
    signalled = [deed.removeprefix("HUP ") for deed in desk.host.did]
    assert signalled == ["agent", "collector-gate", "collector-gate-1", "collector-htx"]
    assert told == "4 programs look at their configuration"


async def test_a_wrong_configuration_signals_nobody_and_is_told(desk: Desk) -> None:
    (desk.home / "c.json").write_text('{"exchanges": []}')
    with pytest.raises(ErrandError, match=r"stays as it is.*exchanges"):
        await desk.do("reload")
    assert desk.host.did == []


async def test_leaving_starts_nothing_that_was_stopped(desk: Desk) -> None:
    desk.host.pids["collector-gate"] = 0
    await desk.do("leave", exchange="gate")
    assert desk.host.did == ["stop collector-gate-1", "start collector-gate-1"]


async def test_without_supervisord_errands_fail_with_a_reason_and_change_nothing(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    for url in (None, "http://127.0.0.1:9001", f"unix://{tmp_path}/none.sock"):
        book = ErrandBook(tmp_path / "errands.json", clock)
        deeds = Deeds(environment(tmp_path), Supervisord(url, clock), book)
        for action, fields in (
            ("restart", {"worker": "gate-0@a"}),
            ("add", {"exchange": "okx"}),
            ("leave", {"exchange": "gate"}),
        ):
            sent = {"id": f"{url} {action}", "action": action, "sent_at": clock.now_ms()}
            waiting = Waiting(errand=Errand.model_validate(sent | fields))
            with pytest.raises(ErrandError, match=r"supervisord|unix socket"):
                await deeds.do(waiting)
        assert not exchanges_path(tmp_path).exists()
        assert not added(tmp_path)


@pytest.mark.parametrize("path", sorted(PROGRAMS.glob("collector-*.ini")), ids=lambda p: p.stem)
def test_a_program_that_is_added_is_like_those_of_the_repository(path: Path) -> None:
    venue = path.stem.removeprefix("collector-")
    assert CollectorProgram(venue).text == path.read_text()


def test_the_programs_of_a_venue_are_told_from_others() -> None:
    assert is_collector_of("collector-gate", "gate")
    assert is_collector_of("collector-gate-3", "gate")
    assert not is_collector_of("collector-gateway", "gate")
    assert not is_collector_of("collector-htx", "gate")
    names = {CollectorProgram(venue, index).name for venue in VENUES for index in range(10)}
    assert len(names) == 10 * len(VENUES)
    assert program_of("gate-0@x.y", "x.y") == "collector-gate"
    assert collector_of("gate-7@x@y", "x@y") == CollectorProgram("gate", 7)
