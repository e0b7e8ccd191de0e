"""The commands that took effect, with their answers: bounded, oldest out."""

from collections.abc import Iterator
from dataclasses import dataclass

MAX_IDS = 10_000
MAX_ANSWER_BYTES = 8 * 1024 * 1024

Key = tuple[str | None, str]  # user, correlation id


@dataclass(frozen=True, slots=True)
class Applied:
    digest: str  # of the command's body
    answer: bytes


class AppliedTable:
    """All readers of a log hold the same: what goes out depends on the order of records alone."""

    def __init__(self, max_ids: int = MAX_IDS, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._entries: dict[Key, Applied] = {}
        self._bytes = 0
        self._max_ids = max_ids
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[Key, Applied]]:
        return iter(self._entries.items())

    @property
    def bytes(self) -> int:
        return self._bytes

    def get(self, key: Key) -> Applied | None:
        return self._entries.get(key)

    def put(self, key: Key, entry: Applied) -> None:
        self._entries[key] = entry
        self._bytes += _size(key, entry)
        while self._full() and len(self._entries) > 1:
            oldest = next(iter(self._entries))
            self._bytes -= _size(oldest, self._entries.pop(oldest))

    def _full(self) -> bool:
        return len(self._entries) > self._max_ids or self._bytes > self._max_bytes


def _size(key: Key, entry: Applied) -> int:
    """About what it takes in a snapshot, where an answer is a string within JSON."""
    answer = entry.answer
    escapes = answer.count(b'"') + answer.count(b"\\")
    return len(answer) + escapes + sum(len(part.encode()) for part in key if part)
