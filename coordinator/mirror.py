"""The registry on this machine's disk: what is left where the broker lost its log."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from coordinator.records import State
from shared.errors import DataProcessingError
from shared.files import read_json, write_json

#: Changes in quick succession are written as one.
_GAP_S = 0.2

log = logging.getLogger("main")


class Mirror:
    """One file, replaced as a whole after each change."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "registry.json"
        self._changed = asyncio.Event()

    def load(self) -> State | None:
        """What was written last, or None. Raises DataProcessingError for a damaged file."""
        if not self.path.exists():
            return None
        try:
            return State.model_validate(read_json(self.path))
        except ValidationError:
            raise DataProcessingError(f"{self.path} is damaged") from None

    def mark(self) -> None:
        """Have the state written soon."""
        self._changed.set()

    def remove(self) -> bool:
        """Forget; whether there was anything."""
        existed = self.path.exists()
        self.path.unlink(missing_ok=True)
        return existed

    async def run(self, state: Callable[[], State | None]) -> None:
        """Write what `state` gives after each change, for ever."""
        while True:
            await self._changed.wait()
            await self.flush(state())
            await asyncio.sleep(_GAP_S)

    async def flush(self, state: State | None) -> None:
        """A full disk is logged; it stops no command."""
        self._changed.clear()
        if state is None:
            return
        try:
            await asyncio.to_thread(_write, self.path, state)
        except OSError as error:
            log.error("The registry can not be mirrored to %s: %s", self.path, error)


def _write(path: Path, state: State) -> None:
    write_json(path, state.model_dump(mode="json"))
