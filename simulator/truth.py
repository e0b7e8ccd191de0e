"""The truth log: what the venues really received and sent, one JSON object a line."""

import asyncio
from collections import deque
from pathlib import Path
from time import time_ns
from typing import IO

import orjson

LINES_KEPT = 200_000
FLUSH_S = 0.1


class Truth:
    """Keeps the last lines in memory, and all of them in `path` where one is given.

    Every line has `t` (epoch nanoseconds), `venue` and `event`: `rest`, `open`, `close`,
    `received`, `subscribed`, `unsubscribed`, `sent` or `fault`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._count = 0
        self._pending: list[str] = []
        self._file: IO[str] | None = path.open("a", encoding="utf-8") if path else None

    def add(self, line: str) -> None:
        self._lines.append(line)
        self._count += 1
        if self._file is not None:
            self._pending.append(line)

    def note(self, venue: str, event: str, **facts: object) -> None:
        line = {"t": time_ns(), "venue": venue, "event": event, **facts}
        self.add(orjson.dumps(line).decode())

    def after(self, number: int, venue: str | None) -> tuple[int, list[str]]:
        """Lines numbered above `number` (the first line is 1) as kept, and the last number."""
        skip = max(0, number - (self._count - len(self._lines)))
        lines = list(self._lines)[skip:]
        if venue:
            mark = f'"venue":"{venue}"'
            lines = [line for line in lines if mark in line]
        return self._count, lines

    def flush(self) -> None:
        if self._file is not None and self._pending:
            self._file.write("\n".join(self._pending) + "\n")
            self._file.flush()
            self._pending.clear()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            self.flush()

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()
