"""Recorded traffic of a venue, whatever format it is stored in."""

import gzip
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from yarl import URL


@dataclass(frozen=True, slots=True)
class Body:
    """A recorded REST answer; times in epoch seconds, `asked_s` when the request was sent.

    `path` and `query` as they are when decoded, `data` as it came.
    """

    path: str
    query: dict[str, str]
    data: bytes
    method: str = "GET"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    at_s: float = 0.0
    asked_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Received:
    """A recorded websocket frame; `at_s` epoch seconds of its receipt, `data` as on the wire: text,
    or the bytes of a binary frame, `wire` the number of its connection."""

    at_s: float
    data: str | bytes
    wire: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """What the recorded client sent over a connection."""

    at_s: float
    data: str
    wire: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A recorded connection ended; or another begins under its number, so that it has."""

    at_s: float
    wire: int


Event = Body | Received | Sent | Ended


class Capture(ABC):
    """What a replay needs of a recording; each format is one subclass."""

    whole: bool
    """Whether it holds whatever a client of today asks for, each question as it is asked; else
    answers are found by their path and market alone."""

    @abstractmethod
    def events(self) -> Iterator[Event]:
        """In the order of time. Raises OSError where nothing is recorded."""


class JsonLines(Capture):
    """`DIR/http/NAME.jsonl.gz` of {url, t, headers, body}, `DIR/frames/NAME.jsonl.gz` of
    {file, t, dir, url, raw}, of which `dir` = `recv` counts."""

    whole = False

    def __init__(self, directory: Path, name: str) -> None:
        self._http = directory / "http" / f"{name}.jsonl.gz"
        self._frames = directory / "frames" / f"{name}.jsonl.gz"

    def exists(self) -> bool:
        return self._frames.exists()

    def events(self) -> Iterator[Event]:
        """Answers first: each is there once, and holds for the whole capture."""
        yield from self.bodies()
        yield from self.frames()

    def bodies(self) -> Iterator[Body]:
        for row in _rows(self._http):
            url = URL(row["url"])
            yield Body(url.path, dict(url.query), row["body"].encode())

    def frames(self) -> Iterator[Received]:
        for row in _rows(self._frames):
            if row["dir"] == "recv":
                yield Received(row["t"], row["raw"])


def _rows(path: Path) -> Iterator[Any]:
    with gzip.open(path) as lines:
        yield from map(orjson.loads, lines)
