"""`fleet status`: the programs of this host; workers, coordinators and agents of all hosts."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aio_pika.abc import AbstractConnection
from pydantic import ValidationError

from cli.broker_address import find_address, run_on
from cli.endpoints import read_endpoints
from cli.exits import CommandFailed, Exit
from cli.output import print_json, print_table, say
from cli.place import Place
from cli.roster import BEAT_HEADINGS, cell, degraded, print_exchanges, print_workers
from cli.supervisor import Program, Supervisor
from shared.broker import Broker, own_queue
from shared.control import request
from shared.errors import BrokerError, ConfigurationError
from shared.status import HEARTBEAT_S, Heartbeat
from shared.topology import STATUS

LISTEN_S = HEARTBEAT_S + 0.5
_ANSWER_S = 5.0
_LOG_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Status:
    """What could be seen; None where there was nobody to ask, and why."""

    programs: list[Program] | None
    programs_error: str
    heartbeats: list[Heartbeat] | None
    heartbeats_error: str
    fleet: dict[str, Any] | None = None  # the data of `get_workers`
    fleet_error: str = ""

    @property
    def exit(self) -> Exit:
        if self.programs is None and self.heartbeats is None:
            return Exit.UNREACHABLE
        all_run = all(program.ok for program in self.programs or ())
        whole = self.fleet is not None and not degraded(self.fleet)
        return Exit.OK if all_run and self.heartbeats and whole else Exit.DEGRADED


def run_status(place: Place, as_json: bool) -> Exit:
    status = look(place)
    if as_json:
        print_json(as_dict(status))
    else:
        _print(status)
    return status.exit


def look(place: Place) -> Status:
    """Ask supervisord, then the coordinator, and listen for one round of heartbeats."""
    programs, programs_error = None, ""
    try:
        programs = Supervisor(socket_of(place)).programs()
    except CommandFailed as error:
        programs_error = str(error)
    try:
        address = find_address(place)
        broker = address.broker("fleet-status")
        heartbeats, answer = run_on(address, broker, _heard(broker))
    except (CommandFailed, ConfigurationError) as error:
        return Status(programs, programs_error, None, str(error), None, str(error))
    if answer.get("success"):
        return Status(programs, programs_error, heartbeats, "", answer["data"])
    return Status(programs, programs_error, heartbeats, "", None, str(answer.get("message")))


def socket_of(place: Place) -> Path:
    """supervisord's, of what runs in this clone."""
    running = read_endpoints(place.endpoints)
    return Path(running.supervisor_socket) if running else place.supervisor_socket


def as_dict(status: Status) -> dict[str, Any]:
    programs, heartbeats = status.programs, status.heartbeats
    return {
        "state": status.exit.name.lower(),
        "programs": [_described(p) for p in programs] if programs is not None else None,
        "programs_error": status.programs_error or None,
        "heartbeats": [b.model_dump() for b in heartbeats] if heartbeats is not None else None,
        "heartbeats_error": status.heartbeats_error or None,
        "fleet": status.fleet,
        "fleet_error": status.fleet_error or None,
    }


async def _heard(broker: Broker) -> tuple[list[Heartbeat], dict[str, Any]]:
    connection = await broker.connect("status")
    try:
        heartbeats, answer = await asyncio.gather(_listen(connection), _ask(broker))
        return heartbeats, answer
    finally:
        await connection.close()


async def _listen(connection: AbstractConnection) -> list[Heartbeat]:
    channel = await connection.channel()
    queue = await own_queue(channel, "client", "status", [(STATUS, "heartbeat.#")])
    beats: dict[str, Heartbeat] = {}
    try:
        async with asyncio.timeout(LISTEN_S), queue.iterator(no_ack=True) as messages:
            async for message in messages:
                _take(beats, message.body)
    except TimeoutError:
        pass
    return sorted(beats.values(), key=lambda beat: (beat.role, beat.worker))


def _take(beats: dict[str, Heartbeat], body: bytes) -> None:
    try:
        beat = Heartbeat.model_validate_json(body)
    except ValidationError:
        return
    beats[beat.worker] = beat


async def _ask(broker: Broker) -> dict[str, Any]:
    """Whatever is wrong with the coordinator, the heartbeats are shown."""
    try:
        return await request(broker, {"command": "get_workers"}, _ANSWER_S)
    except BrokerError as error:
        return {"success": False, "message": str(error)}


def _print(status: Status) -> None:
    _print_programs(status)
    say("")
    if status.heartbeats is None:
        say(status.heartbeats_error)
        return
    if not status.heartbeats:
        say(f"no heartbeat within {LISTEN_S} s")
    collectors = [beat for beat in status.heartbeats if beat.role == "collector"]
    if status.fleet is not None:
        print_workers(status.fleet["workers"], {beat.worker: _counts(beat) for beat in collectors})
        say("")
        print_exchanges(status.fleet["symbols"], status.fleet["workers"])
    else:
        say(status.fleet_error)
        _print_collectors(collectors)
    _print_coordinators(beat for beat in status.heartbeats if beat.role == "coordinator")
    _print_agents(beat for beat in status.heartbeats if beat.role == "agent")


def _print_programs(status: Status) -> None:
    if status.programs is None:
        say(status.programs_error)
        return
    rows = [(p.name, p.state, p.description) for p in status.programs]
    print_table(("program", "state", ""), rows)
    for program in status.programs:
        if not program.ok and (words := last_words(program.log)):
            say(f"  {program.name}: {words}")


def _print_collectors(beats: list[Heartbeat]) -> None:
    """Where no coordinator answers, what they say themselves."""
    rows = [(b.worker, b.state, _revision(b), *_counts(b), _age(b)) for b in beats]
    if rows:
        print_table(("worker", "state", "revision", *BEAT_HEADINGS, "age s"), rows)


def _print_coordinators(beats: Iterable[Heartbeat]) -> None:
    rows = [
        (
            beat.worker,
            "leads" if beat.details.get("leader") is True else "stands by",
            beat.state,
            _revision(beat),
            cell(beat.details.get("state_revision")),
            _age(beat),
        )
        for beat in beats
    ]
    if rows:
        say("")
        print_table(("coordinator", "", "state", "revision", "state revision", "age s"), rows)


def _print_agents(beats: Iterable[Heartbeat]) -> None:
    rows = [_agent_row(beat) for beat in beats]
    if rows:
        say("")
        errands = ("waiting", "done", "failed", "refused")
        print_table(("agent", "state", "programs", *errands, "last errand", "age s"), rows)


def _agent_row(beat: Heartbeat) -> tuple[str, ...]:
    programs, errands = (_dict(beat.details.get(name)) for name in ("programs", "errands"))
    run = sum(state == "RUNNING" for state in programs.values())
    counts = (cell(errands.get(name)) for name in ("waiting", "done", "failed", "refused"))
    last = (errands.get("last") or [{}])[-1].get("text")
    return (beat.worker, beat.state, f"{run} of {len(programs)}", *counts, cell(last), _age(beat))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _counts(beat: Heartbeat) -> tuple[str, ...]:
    return tuple(str(getattr(beat.statistics, name)) for name in BEAT_HEADINGS)


def _revision(beat: Heartbeat) -> str:
    return f"{beat.revision.epoch}.{beat.revision.offset}" if beat.revision else "-"


def _age(beat: Heartbeat) -> str:
    return f"{max(0.0, time.time() - beat.sent_at / 1000):.1f}"


def last_words(log: str) -> str:
    """The last line of a program's log: why it does not run, where it is one of ours."""
    try:
        with Path(log).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


def _described(program: Program) -> dict[str, Any]:
    words = "" if program.ok else last_words(program.log)
    return asdict(program) | {"last_log_line": words or None}
