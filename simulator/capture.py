"""Recorded traffic of a venue, whatever format it is stored in."""

import gzip
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import orjson


@dataclass(frozen=True, slots=True)
class Body:
    """A recorded REST answer: the URL's path and query, and the text."""

    path: str
    query: dict[str, str]
    text: str


@dataclass(frozen=True, slots=True)
class Received:
    """A recorded websocket frame; `t_s` epoch seconds of its receipt, `text` as on the wire."""

    t_s: float
    text: str


class Capture(ABC):
    """What a replay needs of a recording; each format is one subclass."""

    @abstractmethod
    def bodies(self) -> Iterator[Body]: ...

    @abstractmethod
    def frames(self) -> Iterator[Received]:
        """In the order of receipt."""


class JsonLines(Capture):
    """`DIR/http/NAME.jsonl.gz` of {url, t, headers, body}, `DIR/frames/NAME.jsonl.gz` of
    {file, t, dir, url, raw}, of which `dir` = `recv` counts."""

    def __init__(self, directory: Path, name: str) -> None:
        self._http = directory / "http" / f"{name}.jsonl.gz"
        self._frames = directory / "frames" / f"{name}.jsonl.gz"

    def bodies(self) -> Iterator[Body]:
        with gzip.open(self._http) as lines:
            for line in lines:
                row = orjson.loads(line)
                url = urlsplit(row["url"])
                yield Body(url.path, dict(parse_qsl(url.query)), row["body"])

    def frames(self) -> Iterator[Received]:
        with gzip.open(self._frames) as lines:
            for line in lines:
                row = orjson.loads(line)
                if row["dir"] == "recv":
                    yield Received(row["t"], row["raw"])
