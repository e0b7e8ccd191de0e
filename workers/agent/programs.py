"""The programs of workers: their names under supervisord, and the files of those that we add."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ErrandError
from shared.venues import VENUES

#: A host runs up to ten workers of a venue.
_WORKER = re.compile(r"(?P<venue>[a-z]+)-(?P<index>\d)@(?P<host>.+)", re.DOTALL)
#: Programs whose worker is called as they are; an agent does not restart itself.
_SINGLE = ("coordinator",)

#: Word for word a file of deploy/supervisor/programs: a test compares them.
_TEMPLATE = """\
[program:{name}]
command="%(ENV_FLEET_ROOT)s/.venv/bin/python" -m workers.collector {arguments}
directory=%(ENV_FLEET_ROOT)s
priority=20
autostart=true
autorestart=true
; An exit before startsecs counts as a failed start; a config error (exit 78) fails each time and
; ends in FATAL. Below 5 s supervisord, which looks once a second, may take it for a start.
startsecs=5
startretries=5
stopsignal=TERM
; A program gives itself 10 s to hand over what it holds.
stopwaitsecs=15
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile=%(ENV_FLEET_LOGS)s/%(program_name)s.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=5
"""


@dataclass(frozen=True, slots=True)
class CollectorProgram:
    """The program of one of a venue's workers on this host."""

    venue: str  # canonical
    index: int = 0

    @property
    def name(self) -> str:
        return f"collector-{self.venue}" + (f"-{self.index}" if self.index else "")

    @property
    def text(self) -> str:
        """Its file."""
        arguments = self.venue + (f" --index {self.index}" if self.index else "")
        return _TEMPLATE.format(name=self.name, arguments=arguments)


def collector_of(worker: str, host: str) -> CollectorProgram:
    """Of `binance-0@host`. Raises ErrandError where that is no collector of this host."""
    found = _WORKER.fullmatch(worker)
    if found is None or found["venue"] not in VENUES:
        raise ErrandError(f"{worker!r} is no collector")
    if found["host"] != host:
        raise ErrandError(f"{worker!r} does not run on {host}")
    return CollectorProgram(found["venue"], int(found["index"]))


def program_of(worker: str, host: str) -> str:
    """The program of any worker that an agent may restart. Raises ErrandError."""
    role, at, its_host = worker.partition("@")
    if at and role in _SINGLE and its_host == host:
        return role
    return collector_of(worker, host).name


def reads_configuration(name: str) -> bool:
    """Whether a program is one of ours that looks at its configuration when it is told to; others
    would end by the signal."""
    return name in (*_SINGLE, "agent") or re.fullmatch(r"collector-[a-z]+(-\d)?", name) is not None


def is_collector_of(name: str, venue: str) -> bool:
    """Whether a program is one of the venue's collectors, whatever its index."""
    return re.fullmatch(rf"collector-{re.escape(venue)}(-\d)?", name) is not None


class ProgramFiles:
    """A directory that supervisord's configuration includes, `{home}/supervisor`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, program: CollectorProgram) -> Path:
        """In one step, so that supervisord never reads a half of it. Raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"{program.name}.ini"
        draft = self.directory / f".{program.name}.{os.getpid()}"
        draft.write_text(program.text, encoding="utf-8")
        draft.replace(path)
        return path
