"""Sequence numbers: +1 for each message of a run (epoch) on a routing key.

The last numbers stay on disk, so that the first message of the next run on a key can say where
the one before it ended.
"""

from pathlib import Path
from typing import Any

from shared.files import read_json, write_json


class Sequences:
    """Numbers of one epoch, by routing key."""

    def __init__(self, path: Path, epoch: str) -> None:
        self.epoch = epoch
        self._path = path
        self._numbers: dict[str, int] = {}
        former = read_json(path)
        self._former_epoch, self._former = _parsed(former)

    def next_headers(self, key: str) -> dict[str, Any]:
        """`seq` for the next message on `key`; with `prev_epoch` and `prev_seq` on its first."""
        number = self._numbers.get(key, 0) + 1
        self._numbers[key] = number
        if number == 1 and key in self._former:
            return {"seq": 1, "prev_epoch": self._former_epoch, "prev_seq": self._former[key]}
        return {"seq": number}

    def save(self) -> None:
        """Keep the numbers for the next run. Raises OSError."""
        write_json(self._path, {"epoch": self.epoch, "numbers": self._numbers})


def _parsed(content: Any) -> tuple[str, dict[str, int]]:
    match content:
        case {"epoch": str(epoch), "numbers": dict(numbers)}:
            return epoch, {k: v for k, v in numbers.items() if isinstance(v, int)}
        case _:
            return "", {}
