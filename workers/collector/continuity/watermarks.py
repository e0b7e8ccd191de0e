"""Up to where everything is safe: with the broker or on disk; kept in a file for the next run.

Nothing on the hot path pays for it: what was last put is noted with a mark of the outbox, and holds
as soon as everything before that mark is settled.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from shared.files import read_json, write_json

INTERVAL_S = 0.25

#: By section (a kind), then by stream: key and time of the last thing, or whatever names it.
Marks = dict[str, dict[str, Any]]

log = logging.getLogger("main")


class Settling(Protocol):
    """The part of an outbox that this needs."""

    def mark(self) -> int: ...

    def settled_up_to(self, mark: int) -> bool: ...


class Watermarks:
    """One file a worker, replaced in one step. A crash of the machine may leave an older one; then
    the next run refills from further back."""

    def __init__(self, path: Path, outbox: Settling, current: Callable[[], Marks]) -> None:
        #: What the run before left, and nobody has taken over yet: it is kept as it is.
        self.former: Marks = _parsed(read_json(path))
        #: What is kept as it is now, whatever is settled; and who hears that it is on disk.
        self.at_once: Callable[[], Marks] = dict
        self.on_kept: Callable[[], None] = lambda: None
        self._settled: Marks = {}
        self._path, self._outbox, self._current = path, outbox, current
        self._noted: Marks = {}
        self._mark = 0
        self._written: Marks = {}
        self._failing = False

    def take(self, section: str, name: str) -> Any:
        """Take over what the run before left there, None where it left nothing. It stays on disk
        until something newer is safe."""
        mark = self.former.get(section, {}).pop(name, None)
        if mark is not None:
            for marks in (self._settled, self._noted):
                if marks or marks is self._settled:  # nothing noted stays nothing noted
                    marks.setdefault(section, {}).setdefault(name, mark)
        return mark

    def safe(self, section: str) -> dict[str, Any]:
        """By stream, the last thing that is safe as of the last `save`."""
        return self._settled.get(section, {})

    def forget(self, section: str, name: str) -> None:
        """Nobody will take it over."""
        self.former.get(section, {}).pop(name, None)

    async def save(self) -> None:
        """Each 250 ms: write what has become safe, note what was put since."""
        if self._noted and self._outbox.settled_up_to(self._mark):
            self._settled, self._noted = self._noted, {}
        if not self._noted:
            self._mark, self._noted = self._outbox.mark(), self._current()
        now = self._settled | self.at_once()
        former = {name: left | now.get(name, {}) for name, left in self.former.items()}
        await self._write(now | former)
        self.on_kept()

    async def _write(self, marks: Marks) -> None:
        if marks == self._written:
            return
        try:
            await asyncio.to_thread(write_json, self._path, marks, durable=False)
        except OSError as error:
            if not self._failing:
                log.error("The watermarks can not be kept on disk: %s", error)
            self._failing = True
            return
        self._failing, self._written = False, marks


def _parsed(content: Any) -> Marks:
    if not isinstance(content, dict):
        return {}
    return {name: marks for name, marks in content.items() if isinstance(marks, dict)}
