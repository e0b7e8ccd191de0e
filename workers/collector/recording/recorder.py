"""The recording of one venue by one process: from the tap to the files."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.clock import Clock
from shared.config import Recording, Settings, VenueKeys
from workers.collector.recording.shelf import Shelf
from workers.collector.recording.tap import Tap
from workers.collector.recording.tape import Tape
from workers.collector.recording.writer import Writer

_GB = 10**9


class Recorder:
    """`async with recorder:` writes what comes through its `tap`."""

    def __init__(
        self, root: Path, venue: str, config: Recording, keys: VenueKeys, clock: Clock
    ) -> None:
        self.tape = Tape(clock.now_ns)
        self.tap = Tap(self.tape, keys.credentials().values())
        self.shelf = Shelf(root, venue, round(config.max_gb * _GB))
        self._writer = Writer(self.tape, self.shelf, clock)

    @classmethod
    def of(
        cls, settings: Settings, venue: str, clock: Clock, root: Path | None = None
    ) -> "Recorder":
        """As the configuration says; below the fleet's home where no `root` is given."""
        keys = settings.keys.get(venue, VenueKeys())
        root = root or settings.environment.home / "recordings"
        return cls(root, venue, settings.config.recording, keys, clock)

    async def __aenter__(self) -> Self:
        self._writer.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._writer.end)

    def counts(self) -> dict[str, int]:
        """For heartbeats, and for a summary at the end."""
        writer = self._writer
        return {
            "frames": writer.frames,
            "bodies": writer.bodies,
            "bytes": writer.bytes,
            "written": writer.written,
            "lost": self.tape.lost + writer.unwritten,
            "files": self.shelf.files,
            "deleted": self.shelf.deleted,
        }
