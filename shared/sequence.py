"""Sequence numbers: +1 for each message of a run (epoch) on a routing key.

The last number of each key stays on disk, with the run that gave it, so that the first message of
a later run on that key can say where the one before it ended.
"""

import asyncio
from pathlib import Path
from typing import Any

from shared.files import read_json, write_json


class Sequences:
    """Numbers of one epoch, by routing key."""

    def __init__(self, path: Path, epoch: str) -> None:
        self.epoch = epoch
        self._path = path
        self._numbers: dict[str, int] = {}
        self._former = _parsed(read_json(path))  # epoch and number, of keys without one here

    def next_headers(self, key: str) -> dict[str, Any]:
        """`seq` for the next message on `key`; with `prev_epoch` and `prev_seq` on its first."""
        number = self._numbers.get(key, 0) + 1
        self._numbers[key] = number
        former = self._former.pop(key, None)
        if former is None:
            return {"seq": number}
        return {"seq": number, "prev_epoch": former[0], "prev_seq": former[1]}

    async def save(self) -> None:
        """Keep the numbers for later runs. Raises OSError."""
        current = {key: (self.epoch, number) for key, number in self._numbers.items()}
        await asyncio.to_thread(write_json, self._path, self._former | current)


def _parsed(content: Any) -> dict[str, tuple[str, int]]:
    """What `save` wrote, without anything that is not."""
    parsed = {}
    for key, entry in content.items() if isinstance(content, dict) else ():
        match entry:
            case [str(epoch), int(number)]:
                parsed[key] = (epoch, number)
    return parsed
