"""The fleet's own recordings: `DIR/VENUE/YYYY-MM-DD/HH-START.jsonl.zst`, see docs/recording.md."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import zstandard
from yarl import URL

from simulator.capture import Body, Capture, Ended, Event, Received, Sent

_PIECE = 2**20


class Recording(Capture):
    """All that was recorded of one venue, in the order of time."""

    whole = True

    def __init__(self, directory: Path, venue: str) -> None:
        self._directory = directory / venue
        self._prefix = f"/{venue}"

    def events(self) -> Iterator[Event]:
        files = self.files()
        if not files:
            raise FileNotFoundError(f"nothing was recorded in {self._directory}")
        for file in files:
            for row in rows(file):
                event = self._event(row)
                if event is not None:
                    yield event

    def _event(self, row: dict[str, Any]) -> Event | None:
        at_s, wire = row["t"] / 1e9, row["conn"]
        match row["dir"]:
            case "recv":
                return Received(at_s, _data(row), wire)
            case "rest":
                return self._body(row)
            case "send":
                return Sent(at_s, row["raw"], wire)
            case "open" | "close":
                return Ended(at_s, wire)
        return None

    def files(self) -> list[Path]:
        """Oldest first."""
        return sorted(self._directory.glob("*/[0-9][0-9]-[0-9]*.jsonl.zst"), key=_start_ms)

    def _body(self, row: dict[str, Any]) -> Body:
        url, data = URL(row["url"]), _data(row)
        return Body(
            # Of a venue that was simulated or behind a proxy of that form.
            path=url.path.removeprefix(self._prefix),
            query=dict(url.query),
            data=data.encode() if isinstance(data, str) else data,
            method=row["method"],
            status=row["status"],
            headers=row["headers"],
            at_s=row["t"] / 1e9,
            asked_s=row["asked"] / 1e9,
        )


def rows(path: Path) -> Iterator[Any]:
    """The lines of a file up to its last whole zstd frame; what is behind it was cut off."""
    for block in _blocks(path):
        yield from map(orjson.loads, block.splitlines())


def _blocks(path: Path) -> Iterator[bytes]:
    unzip, block, rest = zstandard.ZstdDecompressor(), b"", b""
    with path.open("rb") as file:
        frame = unzip.decompressobj()
        while rest or (rest := file.read(_PIECE)):
            try:
                block += frame.decompress(rest)
            except zstandard.ZstdError:
                return
            rest = b""
            if frame.eof:
                yield block
                rest, block = frame.unused_data, b""
                frame = unzip.decompressobj()


def _data(row: dict[str, Any]) -> str | bytes:
    encoded = row.get("raw_b64")
    return row["raw"] if encoded is None else base64.b64decode(encoded)


def _start_ms(path: Path) -> int:
    """`HH-{start_ms}.jsonl.zst`."""
    return int(path.name[3:].partition(".")[0])
