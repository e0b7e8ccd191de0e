"""The files of a venue's recordings: one an hour, the oldest deleted where there is no room."""

from datetime import UTC, datetime
from pathlib import Path
from typing import IO

_HOUR_NS = 3_600_000_000_000
#: A file is at most this share of the bound, so that deleting the oldest leaves most of it.
_SHARE = 8


class Shelf:
    """`{root}/{venue}/{YYYY-MM-DD}/{HH}-{start_ms}.jsonl.zst`, days and hours of UTC."""

    def __init__(self, root: Path, venue: str, max_bytes: int) -> None:
        self.files = 0  # begun in this run
        self.deleted = 0
        self.directory = root / venue
        self._max_bytes = max_bytes
        self._file: IO[bytes] | None = None
        self._path: Path | None = None
        self._size = 0
        self._until_ns = 0
        self._others = 0  # bytes of the files before this one

    def append(self, block: bytes, at_ns: int) -> None:
        """Write a block whose first line is of `at_ns`. Raises OSError; then the whole block has to
        be written again, which begins another file."""
        file = self._file_for(block, at_ns)
        self._make_room(len(block))
        try:
            view = memoryview(block)
            while view:
                view = view[file.write(view) :]
        except OSError:
            self.close()
            raise
        self._size += len(block)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _file_for(self, block: bytes, at_ns: int) -> IO[bytes]:
        full = self._size > 0 and self._size + len(block) > self._max_bytes // _SHARE
        if self._file is None or at_ns >= self._until_ns or full:
            self.close()
            self._file = self._begin(at_ns)
        return self._file

    def _begin(self, at_ns: int) -> IO[bytes]:
        start = datetime.fromtimestamp(at_ns / 1e9, UTC)
        day = self.directory / f"{start:%Y-%m-%d}"
        day.mkdir(parents=True, exist_ok=True)
        path = day / f"{start:%H}-{at_ns // 1_000_000}.jsonl.zst"
        while path.exists():  # of a block before it within the same millisecond
            at_ns += 1_000_000
            path = day / f"{start:%H}-{at_ns // 1_000_000}.jsonl.zst"
        file = path.open("xb", buffering=0)
        self._path, self._size = path, 0
        self._until_ns = at_ns - at_ns % _HOUR_NS + _HOUR_NS
        self._others = sum(size for _, size in self._older())
        self.files += 1
        return file

    def _make_room(self, size: int) -> None:
        if self._others + self._size + size <= self._max_bytes:
            return
        older = self._older()
        self._others = sum(size for _, size in older)
        for path, freed in older:
            if self._others + self._size + size <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            self.deleted += 1
            self._others -= freed
            if not any(path.parent.iterdir()):
                path.parent.rmdir()

    def _older(self) -> list[tuple[Path, int]]:
        """All files but the open one with their sizes, oldest first: names sort by time."""
        paths = sorted(self.directory.glob("*/*.jsonl.zst"), key=_start)
        return [(path, path.stat().st_size) for path in paths if path != self._path]


def _start(path: Path) -> tuple[str, int, str]:
    start = path.name.partition("-")[2].partition(".")[0]
    return path.parent.name, int(start) if start.isdecimal() else 0, path.name
