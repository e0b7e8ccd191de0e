"""A running supervisord, spoken to through its unix socket."""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

from cli.exits import CommandFailed, Exit
from shared.supervisor_socket import SHUTTING_DOWN, UNANSWERED, call

_POLL_S = 0.1
_STOPPED = frozenset(("STOPPED", "EXITED", "FATAL", "UNKNOWN"))


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its state, in supervisord's words."""

    name: str
    state: str  # STARTING, RUNNING, BACKOFF, STOPPING, STOPPED, EXITED, FATAL
    pid: int | None
    up_s: int
    description: str
    log: str

    @property
    def ok(self) -> bool:
        return self.state in {"RUNNING", "STARTING"}

    @property
    def stopped(self) -> bool:
        return self.state in _STOPPED


class RefusedError(CommandFailed):
    """supervisord says no."""


class Supervisor:
    """Raises CommandFailed where nothing listens on the socket, or does not answer in time."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def answers(self) -> bool:
        try:
            self._call("getState")
        except CommandFailed:
            return False
        return True

    def programs(self) -> list[Program]:
        return [_program(info) for info in self._call("getAllProcessInfo")]

    def pid(self) -> int:
        return int(self._call("getPID"))

    def shutdown(self) -> None:
        self._call("shutdown")

    def stop_in_order(self, timeout_s: float) -> None:
        """Stop all programs, the last to start first; those of one priority at the same time.

        supervisord's own shutdown does it one by one.
        """
        deadline = time.monotonic() + timeout_s
        infos = sorted(self._call("getAllConfigInfo"), key=_priority, reverse=True)
        for _, stage in groupby(infos, key=_priority):
            self._stop({info["name"] for info in stage}, deadline)

    def _stop(self, names: set[str], deadline: float) -> None:
        for name in names:
            with suppress(RefusedError):  # it has ended by itself
                self._call("stopProcess", name, False)
        while time.monotonic() < deadline:
            if all(p.stopped for p in self.programs() if p.name in names):
                return
            time.sleep(_POLL_S)

    def _call(self, method: str, *arguments: object) -> Any:
        try:
            return call(str(self._socket), method, *arguments)
        except Fault as fault:
            if fault.faultCode == SHUTTING_DOWN:
                raise CommandFailed("supervisord is shutting down", Exit.DEGRADED) from fault
            raise RefusedError(f"supervisord says no: {fault.faultString}") from fault
        except UNANSWERED as error:
            raise CommandFailed(
                f"no supervisord answers at {self._socket}", Exit.UNREACHABLE
            ) from error


def broken(programs: Iterable[Program]) -> list[Program]:
    return [program for program in programs if not program.ok]


def _priority(info: dict[str, Any]) -> int:
    return int(info["process_prio"])


def _program(info: dict[str, Any]) -> Program:
    return Program(
        name=str(info["name"]),
        state=str(info["statename"]),
        pid=int(info["pid"]) or None,
        up_s=int(info["now"] - info["start"]) if info["pid"] else 0,
        description=str(info["description"]),
        log=str(info["stdout_logfile"]),
    )
