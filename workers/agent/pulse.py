"""The agent's heartbeat: the programs of its host, its mailbox, and what became of errands."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractConnection

from shared.broker import CONNECTION_ERRORS, Broker, publish
from shared.errors import ErrandError
from shared.service import every
from shared.status import HEARTBEAT_S, MAX_HEARTBEAT_BYTES, Heartbeat, State
from shared.topology import STATUS, heartbeat_key
from shared.vitals import Vitals
from workers.agent.supervisord import Supervisord

#: Programs that a heartbeat names, at most.
MAX_PROGRAMS = 40
_GOODBYE_S = 2.0

log = logging.getLogger("main")


class Pulse:
    """Asks supervisord what runs, and tells it each HEARTBEAT_S on a connection of its own.

    A supervisord that hangs delays no heartbeat.
    """

    def __init__(
        self,
        broker: Broker,
        worker: str,
        supervisord: Supervisord,
        report: Callable[[], tuple[str | None, dict[str, Any]]],
        vitals: Vitals,
    ) -> None:
        """`report` gives the mailbox's name and what else the details shall hold."""
        self.state: State = "starting"
        self._broker = broker
        self._worker = worker
        self._clock = vitals.clock
        self._epoch = f"{worker}/{self._clock.now_ms()}"
        self._supervisord = supervisord
        self._report = report
        self._vitals = vitals
        self._programs: dict[str, str] = {}
        self._trouble: str | None = "not asked yet"
        self._channel: AbstractChannel | None = None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._vitals.run())
            tasks.create_task(every(HEARTBEAT_S, self._look, self._clock))
            tasks.create_task(self._broker.keep("agent status", self._session))

    async def say_goodbye(self) -> None:
        self.state = "stopping"
        if self._channel is None:
            return
        with suppress(*CONNECTION_ERRORS):
            async with asyncio.timeout(_GOODBYE_S):
                await self._tell(self._channel)

    def heartbeat(self) -> Heartbeat:
        mailbox, report = self._report()
        names = sorted(self._programs)[:MAX_PROGRAMS]
        details: dict[str, Any] = {
            "programs": {name: self._programs[name] for name in names},
            "programs_untold": len(self._programs) - len(names),
            "supervisord": self._trouble or "answers",
            **report,
            "process": self._vitals.read().as_dict(),
        }
        return Heartbeat(
            role="agent",
            exchange=None,
            worker=self._worker,
            epoch=self._epoch,
            state=self.state,
            sent_at=self._clock.now_ms(),
            revision=None,
            mailbox=mailbox,
            details=details,
        )

    async def _look(self) -> None:
        try:
            found = await self._supervisord.programs()
        except ErrandError as error:
            reason = str(error)
            if reason != self._trouble:
                log.warning("The programs of this host are unknown: %s", reason)
            self._trouble, self._programs = reason, {}
        else:
            self._trouble = None
            self._programs = {name: program.state for name, program in found.items()}

    async def _session(self, connection: AbstractConnection) -> None:
        channel = await connection.channel()
        await self._broker.declare(channel, queues=False)
        self._channel = channel
        try:
            while True:
                await self._tell(channel)
                await self._clock.sleep(HEARTBEAT_S)
        finally:
            self._channel = None

    async def _tell(self, channel: AbstractChannel) -> None:
        beat = self.heartbeat()
        await publish(channel, STATUS, heartbeat_key(beat.role, None, beat.worker), _body(beat))


def _body(beat: Heartbeat) -> bytes:
    """At most MAX_HEARTBEAT_BYTES: the programs go first, then all details."""
    without = {**beat.details, "programs": {}, "programs_untold": len(beat.details["programs"])}
    for details in (beat.details, without, {}):
        body = beat.model_copy(update={"details": details}).model_dump_json().encode()
        if len(body) <= MAX_HEARTBEAT_BYTES:
            break
    return body
