"""Until when a venue will not be asked at all: known to all processes of a host, by a file."""

from contextlib import suppress
from pathlib import Path

from shared.clock import Clock
from shared.files import read_json, write_json

#: How long a ban can be at most; binance's are up to three days.
MAX_BAN_S = 7 * 86_400.0


class Bans:
    """Of one venue. A ban that another process has met is seen with the next look."""

    def __init__(self, path: Path | None, clock: Clock) -> None:
        """Without a path it is this process's alone."""
        self._path = path
        self._clock = clock
        self._until_ms = 0  # wall clock
        self._version: tuple[int, int] | None = None

    def left_s(self) -> float:
        """How long no request may be made, 0 for no ban."""
        self._look()
        left_s = (self._until_ms - self._clock.now_ms()) / 1000
        return min(max(0.0, left_s), MAX_BAN_S)

    def ban(self, seconds: float) -> None:
        """A longer one stays. A disk that refuses costs the others the news, no more."""
        self._look()
        until_ms = self._clock.now_ms() + round(1000 * min(seconds, MAX_BAN_S))
        if until_ms <= self._until_ms:
            return
        self._until_ms = until_ms
        self._write()

    def _write(self) -> None:
        if self._path is not None:
            with suppress(OSError):
                write_json(self._path, {"until_ms": self._until_ms})

    def _look(self) -> None:
        if self._path is None:
            return
        try:
            found = self._path.stat()
        except OSError:
            return
        version = (found.st_ino, found.st_mtime_ns)  # two of one tick are two files
        if version != self._version:
            self._version = version
            said = read_json(self._path)
            until_ms = said.get("until_ms") if isinstance(said, dict) else None
            if isinstance(until_ms, int):
                if until_ms < self._until_ms:  # written over by one who had not seen ours
                    self._write()
                self._until_ms = max(self._until_ms, until_ms)
