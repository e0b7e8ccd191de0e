"""`fleet status`: supervisord's programs on this host, and the heartbeats of all hosts."""

import asyncio
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aio_pika.abc import AbstractConnection

from cli.broker_address import ask
from cli.endpoints import read_endpoints
from cli.exits import CommandFailed, Exit
from cli.output import print_json, print_table, say
from cli.place import Place
from cli.supervisor import Program, Supervisor
from shared.broker import own_queue
from shared.status import HEARTBEAT_S, Heartbeat
from shared.topology import STATUS

LISTEN_S = HEARTBEAT_S + 0.5
_LOG_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Status:
    """What could be seen; None where there was nobody to ask, and why."""

    programs: list[Program] | None
    programs_error: str
    heartbeats: list[Heartbeat] | None
    heartbeats_error: str

    @property
    def exit(self) -> Exit:
        if self.programs is None and self.heartbeats is None:
            return Exit.UNREACHABLE
        all_run = all(program.ok for program in self.programs or ())
        return Exit.OK if all_run and self.heartbeats else Exit.DEGRADED


def run_status(place: Place, as_json: bool) -> Exit:
    status = look(place)
    if as_json:
        print_json(as_dict(status))
    else:
        _print(status)
    return status.exit


def look(place: Place) -> Status:
    """Ask supervisord, then listen for one round of heartbeats."""
    programs, programs_error = None, ""
    heartbeats, heartbeats_error = None, ""
    try:
        programs = Supervisor(socket_of(place)).programs()
    except CommandFailed as error:
        programs_error = str(error)
    try:
        heartbeats = ask(place, "status", _listen)
    except CommandFailed as error:
        heartbeats_error = str(error)
    return Status(programs, programs_error, heartbeats, heartbeats_error)


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
    }


async def _listen(connection: AbstractConnection) -> list[Heartbeat]:
    channel = await connection.channel()
    queue = await own_queue(channel, "client", "status", [(STATUS, "heartbeat.#")])
    beats: dict[str, Heartbeat] = {}
    try:
        async with asyncio.timeout(LISTEN_S), queue.iterator(no_ack=True) as messages:
            async for message in messages:
                beat = Heartbeat.model_validate_json(message.body)
                beats[beat.worker] = beat
    except TimeoutError:
        pass
    return sorted(beats.values(), key=lambda beat: (beat.role, beat.worker))


def _print(status: Status) -> None:
    if status.programs is None:
        say(status.programs_error)
    else:
        rows = [(p.name, p.state, p.description) for p in status.programs]
        print_table(("program", "state", ""), rows)
        for program in status.programs:
            if not program.ok and (words := last_words(program.log)):
                say(f"  {program.name}: {words}")
    say("")
    if status.heartbeats is None:
        say(status.heartbeats_error)
    elif not status.heartbeats:
        say(f"no heartbeat within {LISTEN_S} s")
    else:
        headings = (
            "worker",
            "state",
            "revision",
            "success",
            "errors",
            "published",
            "failed",
            "age",
        )
        print_table(headings, [_row(beat) for beat in status.heartbeats])


def _row(beat: Heartbeat) -> tuple[str, ...]:
    counts, revision = beat.statistics, beat.revision
    return (
        beat.worker,
        beat.state,
        f"{revision.epoch}.{revision.offset}" if revision else "-",
        str(counts.success),
        str(counts.errors),
        str(counts.published),
        str(counts.failed),
        f"{max(0.0, time.time() - beat.sent_at / 1000):.1f} s",
    )


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
