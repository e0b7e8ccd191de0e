"""The supervisord that started us, over its unix socket: asked in a thread, with a deadline."""

import asyncio
from dataclasses import dataclass
from typing import Any
from xmlrpc.client import Fault

from shared.clock import Clock
from shared.errors import ErrandError
from shared.supervisor_socket import UNANSWERED, call

#: For a whole question.
_ANSWER_S = 6.0
#: `stopwaitsecs` of our programs is 15; a start counts after `startsecs`, 5.
_STOP_S, _START_S = 20.0, 25.0
_POLL_S = 0.2
_UP = frozenset(("STARTING", "RUNNING", "BACKOFF"))
_DOWN = frozenset(("STOPPED", "EXITED", "FATAL", "UNKNOWN"))
#: Faults by which supervisord says that it is so already, or that it has no such program.
_BAD_NAME, _ALREADY_STARTED, _NOT_RUNNING, _ALREADY_ADDED = 10, 60, 70, 90


@dataclass(frozen=True, slots=True)
class Program:
    """A program's state, in supervisord's words."""

    name: str
    state: str  # STARTING, RUNNING, BACKOFF, STOPPING, STOPPED, EXITED, FATAL, UNKNOWN
    pid: int  # 0: no process

    @property
    def up(self) -> bool:
        return self.state in _UP

    @property
    def down(self) -> bool:
        return self.state in _DOWN


class Supervisord:
    """Raises ErrandError where it can not be asked, or says no."""

    def __init__(self, url: str | None, clock: Clock) -> None:
        self._url = url
        self._clock = clock

    async def programs(self) -> dict[str, Program]:
        """All programs, by name."""
        found = map(_program, await self._ask("getAllProcessInfo"))
        return {program.name: program for program in found}

    async def program(self, name: str) -> Program:
        return _program(await self._ask("getProcessInfo", name))

    async def knows(self, name: str) -> bool:
        """Whether a program is part of the configuration as it was last read."""
        return any(info["name"] == name for info in await self._ask("getAllConfigInfo"))

    async def reload(self) -> None:
        """Read the configuration again; programs go on as they are."""
        await self._ask("reloadConfig")

    async def add(self, name: str) -> None:
        """Take up a program of the configuration; it starts where it starts by itself."""
        await self._ask("addProcessGroup", name, fine=_ALREADY_ADDED)

    async def stop(self, name: str) -> None:
        """Until it has ended."""
        await self._ask("stopProcess", name, False, fine=_NOT_RUNNING)
        deadline = self._clock.monotonic() + _STOP_S
        while not (program := await self.program(name)).down:
            await self._patience(program, deadline, "does not end")

    async def signal(self, name: str, word: str) -> None:
        """Have a program's process hear a signal, `HUP`; one that does not run has no need to."""
        await self._ask("signalProcess", name, word, fine=_NOT_RUNNING)

    async def start(self, name: str) -> None:
        """Until it runs, for long enough that supervisord calls it running."""
        deadline = self._clock.monotonic() + _START_S
        while (program := await self.program(name)).state == "STOPPING":
            await self._patience(program, deadline, "does not end")
        await self._ask("startProcess", name, False, fine=_ALREADY_STARTED)
        while (program := await self.program(name)).state != "RUNNING":
            if program.down:
                raise ErrandError(f"{name} does not start: {program.state}, see its log")
            await self._patience(program, deadline, "does not start")

    async def _patience(self, program: Program, deadline: float, trouble: str) -> None:
        if self._clock.monotonic() > deadline:
            raise ErrandError(f"{program.name} {trouble}: {program.state}, see its log")
        await self._clock.sleep(_POLL_S)

    async def _ask(self, method: str, *arguments: object, fine: int = 0) -> Any:
        """`fine` is the code of a fault that is as good as success."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await asyncio.to_thread(call, _socket_path(self._url), method, *arguments)
        except Fault as fault:
            if fault.faultCode == fine:
                return None
            if fault.faultCode == _BAD_NAME:
                raise ErrandError(f"this host has no program {arguments[0]}") from fault
            raise ErrandError(f"supervisord says no: {fault.faultString}") from fault
        except UNANSWERED as error:
            raise ErrandError(f"supervisord does not answer: {_reason(error)}") from error


def _socket_path(url: str | None) -> str:
    if url is None:
        raise ErrandError("this agent was not started by supervisord")
    if not url.startswith("unix://"):
        raise ErrandError("supervisord has no unix socket, and agents use no other")
    return url.removeprefix("unix://")


def _program(info: dict[str, Any]) -> Program:
    return Program(str(info["name"]), str(info["statename"]), int(info["pid"]))


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
