"""The statistics of the fleet: counted from heartbeats, kept on disk, told on request."""

import asyncio
import logging
from pathlib import Path

import orjson
from pydantic import ValidationError

from coordinator.answers import success
from coordinator.commands import Command
from coordinator.registry import Registry
from coordinator.roster import Roster
from coordinator.statistics import Totals, answer_data, block
from shared.clock import Clock
from shared.files import read_json, write_json
from shared.status import Heartbeat

SAVE_S = 2.0
BLOCK_S = 60.0

log = logging.getLogger("main")


class Tally:
    """Saved before each answer, so that no number once told falls at a restart."""

    def __init__(self, directory: Path, roster: Roster, clock: Clock) -> None:
        self._path = directory / "statistics.json"
        self._roster = roster
        self._clock = clock
        self._totals = _loaded(self._path)
        self._changed = False
        self._told = self._totals.by_exchange()
        self.told_at = clock.monotonic()  # of the last report
        self._saving = asyncio.Lock()

    def observe(self, heartbeat: Heartbeat) -> None:
        self._changed |= self._totals.observe(heartbeat)

    async def answer(self, command: Command, registry: Registry) -> bytes:
        """The answer to get_statistics."""
        exchanges = list(registry.exchanges.values())
        data = answer_data(self._totals.by_exchange(), exchanges)
        data["workers"] = len(self._roster.alive("collector"))
        await self.save()
        text = "Statistics retrieved successfully"
        now_s = self._clock.now_ms() // 1000
        answer = success(command.name, command.correlation_id, text, data, now_s)
        return orjson.dumps(answer)

    async def save(self) -> None:
        """Write what changed. A full disk is logged; the answer goes out all the same."""
        async with self._saving:
            if not self._changed:
                return
            self._changed = False
            content = self._totals.model_dump()
            try:
                await asyncio.to_thread(write_json, self._path, content)
            except OSError as error:
                self._changed = True
                log.error("Statistics can not be kept in %s: %s", self._path, error)

    def report(self, registry: Registry) -> None:
        """Log what was added since the last report."""
        totals, now = self._totals.by_exchange(), self._clock.monotonic()
        exchanges = list(registry.exchanges.values())
        for line in block(self._told, totals, exchanges, round(now - self.told_at)):
            log.info("%s", line)
        self._told, self.told_at = totals, now


def _loaded(path: Path) -> Totals:
    content = read_json(path)
    if content is None:
        return Totals()
    try:
        return Totals.model_validate(content)
    except ValidationError:
        log.error("%s is damaged: the statistics start from nothing", path)
        return Totals()
