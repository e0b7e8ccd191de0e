"""supervisord's files, as text: variants of supervisord.conf, and programs made at run time."""

import shlex
from collections.abc import Mapping, Sequence
from configparser import RawConfigParser
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from cli.place import ROOT
from cli.private_broker import PrivateBroker
from shared.errors import ConfigurationError

PROGRAMS = ROOT / "deploy" / "supervisor" / "programs"
#: How the names of the agent's files begin.
_ADDED = "collector-"
_LOG_BYTES, _LOGS_KEPT = "20MB", 5


@dataclass(frozen=True, slots=True)
class Program:
    """A program section; the options are those of the files in deploy/supervisor/programs."""

    name: str
    command: Sequence[str]
    priority: int
    environment: Mapping[str, str] = field(default_factory=dict)
    start_s: int = 5
    stop_s: int = 15

    def text(self) -> str:
        options = {
            "command": _literal(shlex.join(self.command)),
            "directory": "%(ENV_FLEET_ROOT)s",
            "environment": environment_value(self.environment),
            "priority": self.priority,
            "autostart": "true",
            "autorestart": "true",
            "startsecs": self.start_s,
            "startretries": 5,
            "stopsignal": "TERM",
            "stopwaitsecs": self.stop_s,
            "stopasgroup": "false",  # RabbitMQ's script passes the signal on, once
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": "%(ENV_FLEET_LOGS)s/%(program_name)s.log",
            "stdout_logfile_maxbytes": _LOG_BYTES,
            "stdout_logfile_backups": _LOGS_KEPT,
        }
        lines = [f"{name}={value}" for name, value in options.items() if value != ""]
        return "\n".join((f"[program:{self.name}]", *lines)) + "\n"


def broker_programs(broker: PrivateBroker) -> list[Program]:
    """The node and its port mapper, which has to be there first and to go last."""
    environment = broker.environment()
    return [
        Program("epmd", broker.epmd_command, priority=1, environment=environment, start_s=1),
        Program("broker", broker.command, priority=2, environment=environment, stop_s=30),
    ]


def write_programs(directory: Path, programs: Sequence[Program]) -> None:
    """One file a program; what a run before has left there is gone, but for the collectors that
    the host's agent has added, unless the repository has a file for them by now."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.ini"):
        if not old.name.startswith(_ADDED) or (PROGRAMS / old.name).exists():
            old.unlink()
    for program in programs:
        (directory / f"{program.name}.ini").write_text(program.text(), encoding="utf-8")


def variant(home: Path, logs: Path, socket: Path, includes: Sequence[str]) -> str:
    """supervisord.conf with other places to write to, and other programs."""
    conf = RawConfigParser(strict=False, comment_prefixes=(";",), inline_comment_prefixes=None)
    conf.read(ROOT / "supervisord.conf", encoding="utf-8")
    conf["unix_http_server"]["file"] = _literal(str(socket))
    conf["supervisorctl"]["serverurl"] = _literal(f"unix://{socket}")
    main = conf["supervisord"]
    main["logfile"] = _literal(str(logs / "supervisord.log"))
    main["childlogdir"] = _literal(str(logs))
    main["pidfile"] = _literal(str(home / "supervisord.pid"))
    main["environment"] = environment_value({"FLEET_ROOT": str(ROOT), "FLEET_LOGS": str(logs)})
    conf["include"]["files"] = " ".join(map(_literal, includes))
    text = StringIO()
    conf.write(text, space_around_delimiters=False)
    return text.getvalue()


def environment_value(environment: Mapping[str, str]) -> str:
    """`environment=` of supervisord. Raises ConfigurationError for what it can not express."""
    for value in environment.values():
        if '"' in value or "\n" in value:
            raise ConfigurationError(f"supervisord can not take {value!r} in an environment")
    return ",".join(f'{name}="{_literal(value)}"' for name, value in environment.items())


def _literal(text: str) -> str:
    """Percent signs are the only thing that supervisord expands."""
    return text.replace("%", "%%")
