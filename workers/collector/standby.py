"""A collector that has nothing to collect yet: it waits, without ccxt, until there is."""

import asyncio
import logging
from pathlib import Path

from pydantic import ValidationError

from shared.clock import Clock
from shared.config import Settings
from shared.files import read_json
from shared.host_exchanges import exchanges_path, read_host_exchanges
from shared.service import Stop
from shared.symbolset import SymbolSet
from shared.tasks import ended

#: How often the host's file is looked at.
_LOOK_S = 1.0

log = logging.getLogger("main")


class Standby:
    """Finds out whether this host collects a venue, and by what name the fleet calls it."""

    def __init__(self, settings: Settings, venue: str, index: int, clock: Clock) -> None:
        environment = settings.environment
        self._settings = settings
        self._venue = venue
        self._named = settings.config.wire_name(venue)
        self._program = program_name(venue, index)
        self._worker = f"{venue}-{index}@{environment.host_id}"
        self._exchanges = exchanges_path(environment.home)
        self._clock = clock

    async def name(self, stop: Stop) -> str | None:
        """The venue's name on the wire, as soon as this host collects it; None for a stop before.

        The config's, else the one by which this worker collected the venue last, else what the
        registry announces; the canonical one where the registry does not know the venue.
        Raises ConfigurationError for a broker that refuses its user.
        """
        asking = asyncio.ensure_future(self._name())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            await ended(asking, stopping)

    async def _name(self) -> str:
        await self._until_wanted()
        return self._named or self._kept() or await self._announced()

    async def _until_wanted(self) -> None:
        looked_at: int | None = None
        while True:
            changed_at = _changed_at(self._exchanges)
            if changed_at != looked_at:
                here = read_host_exchanges(self._exchanges)
                if here.collects(self._venue, named=self._named is not None):
                    return
                if looked_at is None:
                    log.info("%s: waiting", self._reason())
                looked_at = changed_at
            await self._clock.sleep(_LOOK_S)

    def _reason(self) -> str:
        if self._named is None:
            return f"The config does not name {self._venue}"
        return f"This host has left {self._venue}"

    def _kept(self) -> str | None:
        path = self._settings.state_dir(self._program) / "symbols.json"
        try:
            kept = SymbolSet.model_validate(read_json(path))
        except (ValidationError, OSError):
            return None
        return kept.exchange if kept.venue == self._venue else None

    async def _announced(self) -> str:
        log.info("The config has no name for %s: waiting for the registry's", self._venue)
        # Imported here: a collector that waits for its host needs no AMQP library.
        from workers.collector.wire_name import WireName

        return await WireName(self._settings, self._venue, self._worker, self._clock).announced()


def program_name(venue: str, index: int) -> str:
    """Under supervisord, in file names and on connections."""
    return f"collector-{venue}" + (f"-{index}" if index else "")


def _changed_at(path: Path) -> int:
    """Another number after each writing of the file; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
