"""Noticing that the configuration may have changed: its files, and SIGHUP."""

import asyncio
import logging
import signal
from pathlib import Path

from shared.config.manager import ConfigManager
from shared.tasks import ended

#: What is written in several steps is read once: after so long without another change, and no
#: later than that.
_STEP_MS, _DEBOUNCE_MS = 50, 1000
#: How often it is looked whether there are other directories to watch.
_LOOK_MS = 2000

log = logging.getLogger("main")


class ConfigWatch:
    """Has `manager` reload for each change of its files, for each SIGHUP and each `hurry`."""

    def __init__(self, manager: ConfigManager) -> None:
        self._manager = manager
        self._wanted = asyncio.Event()

    def hurry(self) -> None:
        """Look now, whatever the files say."""
        self._wanted.set()

    async def run(self) -> None:
        """Watch, for ever."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.hurry)
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                self._manager.reload_config()
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            await ended(watching)

    async def _watch(self) -> None:
        while True:
            try:
                await self._watch_these(self._directories())
            except OSError as error:
                log.warning("The configuration can not be watched: %s", error)
                await asyncio.sleep(_LOOK_MS / 1000)
                self.hurry()

    async def _watch_these(self, directories: list[Path]) -> None:
        """Until others are to be watched. What changed before the system watches is found at the
        first look. Raises OSError."""
        # Imported here: what only reads the configuration needs no watcher.
        from watchfiles import awatch

        first = True
        looks = awatch(
            *directories,
            watch_filter=None,
            recursive=False,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
        )
        async for changes in looks:
            places = self._places()
            if first or any(_concerns(Path(changed), places) for _, changed in changes):
                self.hurry()
            first = False
            if self._directories() != directories:
                return

    def _places(self) -> set[Path]:
        return {_absolute(path) for path in self._manager.places()}

    def _directories(self) -> list[Path]:
        """Not the files, since editors and Kubernetes replace files and links."""
        return sorted({d for path in self._places() for d in _directories(path)})


def _absolute(path: Path) -> Path:
    return path if path.is_absolute() else Path.cwd() / path


def _directories(path: Path) -> list[Path]:
    found = [path] if path.is_dir() else []
    return found + ([path.parent] if path.parent.is_dir() else [])


def _concerns(changed: Path, places: set[Path]) -> bool:
    """Whether it is one of them, lies in one, or is what Kubernetes switches them all by."""
    return changed in places or changed.parent in places or changed.name == "..data"
