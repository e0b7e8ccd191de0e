"""The agent process of a host, from its start to its ordered end."""

import asyncio
import contextlib
import logging
from typing import Any

from shared.broker import Broker
from shared.clock import Clock
from shared.config import Settings
from shared.errors import ErrandError
from shared.monitoring import monitor_host, monitor_of
from shared.service import Stop, running
from shared.vitals import Vitals
from workers.agent.deeds import Deeds
from workers.agent.errand_book import ErrandBook, Waiting
from workers.agent.mailbox import Mailbox
from workers.agent.pulse import Pulse
from workers.agent.supervisord import Supervisord

PROGRAM = "agent"
#: How long the errand at hand may take once a stop was asked for; then the next run does it.
_FINISH_S = 5.0

log = logging.getLogger("main")


class Agent:
    """Wires the parts together; `run` is the story."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        environment = settings.environment
        self.worker = f"{PROGRAM}@{environment.host_id}"
        broker = Broker.of(settings, self.worker)
        supervisord = Supervisord(environment.supervisor_url, clock)
        self.book = ErrandBook(settings.state_dir(PROGRAM) / "errands.json", clock)
        self.deeds = Deeds(environment, supervisord, self.book)
        self.mailbox = Mailbox(broker, self.worker, self.book)
        vitals = Vitals(clock)
        self.monitor = monitor_of(settings, vitals, clock)
        monitor_host(self.monitor, settings, broker)
        self.pulse = Pulse(broker, self.worker, supervisord, self._report, vitals)
        self._busy = asyncio.Lock()

    async def run(self, stop: Stop) -> None:
        """Do errands until `stop`; the one at hand is finished where that is soon done."""
        async with running(stop, self.pulse.run(), self.monitor.run()):
            async with running(stop, self.mailbox.run(), self._do_errands()):
                self.pulse.state = "running"
                await stop.wait()
                await self._finish_errand()
            await self.pulse.say_goodbye()

    async def _do_errands(self) -> None:
        """One after the other: a host whose programs all restart at once collects nothing."""
        while True:
            self.book.arrived.clear()
            while (waiting := self.book.next()) is not None:
                async with self._busy:
                    await self._do(waiting)
            await self.book.arrived.wait()

    async def _do(self, waiting: Waiting) -> None:
        errand = waiting.errand
        log.info("Errand %r: %s %r", errand.id, errand.action, errand.of)
        try:
            text = await self.deeds.do(waiting)
        except ErrandError as error:
            self._failed(waiting, str(error))
        except OSError as error:
            self._failed(waiting, f"a file can not be written: {error.strerror}")
        else:
            log.info("Errand %r: %s", errand.id, text)
            self.book.finish(waiting, True, text)

    def _failed(self, waiting: Waiting, reason: str) -> None:
        log.error("Errand %r failed: %s", waiting.errand.id, reason)
        self.book.finish(waiting, False, reason)

    async def _finish_errand(self) -> None:
        """The lock is kept, so that no other follows."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_S):
                await self._busy.acquire()

    def _report(self) -> tuple[str | None, dict[str, Any]]:
        exchanges = self.deeds.exchanges.model_dump()
        told: dict[str, Any] = {"errands": self.book.as_dict(), "exchanges": exchanges}
        if unwell := self.monitor.as_dict():
            told["unwell"] = unwell
        return self.mailbox.name, told
