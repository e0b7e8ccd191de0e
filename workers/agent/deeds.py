"""What an agent can do: each errand as steps that may be begun again after a crash."""

import logging

from shared.config import Environment, load_settings
from shared.errands import Errand
from shared.errors import ConfigurationError, ErrandError
from shared.host_exchanges import (
    HostExchanges,
    exchanges_path,
    read_host_exchanges,
    write_host_exchanges,
)
from workers.agent.errand_book import ErrandBook, Waiting
from workers.agent.programs import (
    CollectorProgram,
    ProgramFiles,
    collector_of,
    is_collector_of,
    program_of,
    reads_configuration,
)
from workers.agent.supervisord import Supervisord

log = logging.getLogger("main")


class Deeds:
    """Each gives a line that says what was done. Raises ErrandError, OSError."""

    def __init__(
        self, environment: Environment, supervisord: Supervisord, book: ErrandBook
    ) -> None:
        home = environment.home
        self._environment = environment
        self._host = environment.host_id
        self._supervisord = supervisord
        self._book = book
        self._files = ProgramFiles(home / "supervisor")
        self._path = exchanges_path(home)
        self.exchanges = read_host_exchanges(self._path)

    async def do(self, waiting: Waiting) -> str:
        errand = waiting.errand
        match errand.action:
            case "restart":
                return await self._restart(waiting, [program_of(errand.worker or "", self._host)])
            case "start":
                return await self._start(errand.worker or "")
            case "stop":
                name = program_of(errand.worker or "", self._host)
                await self._supervisord.stop(name)
                return f"{name} is stopped"
            case "add":
                return await self._add(errand)
            case "leave":
                return await self._leave(waiting)
            case "reload":
                return await self._reload()

    async def _restart(self, waiting: Waiting, names: list[str]) -> str:
        """One after the other. Those that were restarted before a crash of ours are not again."""
        if waiting.pids is None:
            found = await self._supervisord.programs()
            if missing := [name for name in names if name not in found]:
                raise ErrandError(f"this host has no program {missing[0]}")
            self._book.begin(waiting, {name: found[name].pid for name in names})
        for name, pid in (waiting.pids or {}).items():
            program = await self._supervisord.program(name)
            if program.up and program.pid == pid:
                log.info("Restarting %s", name)
                await self._supervisord.stop(name)
            await self._supervisord.start(name)
        return f"restarted {', '.join(names) or 'nothing'}"

    async def _start(self, worker: str) -> str:
        name = program_of(worker, self._host)
        if not await self._supervisord.knows(name):
            await self._make(collector_of(worker, self._host))
        await self._supervisord.add(name)
        await self._supervisord.start(name)
        return f"{name} runs"

    async def _add(self, errand: Errand) -> str:
        """A collector that waits sees the file by itself: no process is restarted for it."""
        program = self._program(errand)
        if not await self._supervisord.knows(program.name):
            await self._make(program)
        await self._supervisord.add(program.name)
        self._write(self.exchanges.with_added(program.venue))
        await self._supervisord.start(program.name)
        return f"{program.name} collects"

    async def _leave(self, waiting: Waiting) -> str:
        venue = waiting.errand.exchange or ""
        found = await self._supervisord.programs()
        self._write(self.exchanges.with_left(venue))
        names = [name for name, p in found.items() if is_collector_of(name, venue) and p.up]
        await self._restart(waiting, names)
        return f"{', '.join(names) or 'nothing'} collects no more, and waits"

    async def _reload(self) -> str:
        try:
            load_settings(self._environment)
        except ConfigurationError as error:
            raise ErrandError(f"the configuration stays as it is: {error}") from error
        found = await self._supervisord.programs()
        names = sorted(name for name, p in found.items() if p.up and reads_configuration(name))
        for name in names:
            await self._supervisord.signal(name, "HUP")
        return f"{len(names)} programs look at their configuration"

    def _write(self, exchanges: HostExchanges) -> None:
        write_host_exchanges(self._path, exchanges)
        self.exchanges = exchanges

    def _program(self, errand: Errand) -> CollectorProgram:
        venue = errand.exchange or ""
        if errand.worker is None:
            return CollectorProgram(venue)
        program = collector_of(errand.worker, self._host)
        if program.venue != venue:
            raise ErrandError(f"{errand.worker!r} is no collector of {venue}")
        return program

    async def _make(self, program: CollectorProgram) -> None:
        """A file for a program that supervisord does not know; the others are not touched."""
        path = self._files.write(program)
        try:
            await self._supervisord.reload()
            if not await self._supervisord.knows(program.name):
                raise ErrandError(f"supervisord's configuration does not include {path.parent}")
        except ErrandError:
            path.unlink(missing_ok=True)
            raise
        log.info("There is a new program, %s", program.name)
