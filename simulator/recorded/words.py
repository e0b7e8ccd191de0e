"""One venue's words, as far as a replay needs them."""

import gzip
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson

from simulator.frame import GZIP_MAGIC

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """What a client's command does: streams joined and left, and what it is answered."""

    joined: frozenset[str] = NOTHING
    left: frozenset[str] = NOTHING
    answers: tuple[str | bytes, ...] = ()


class Recorded(ABC):
    """Names of streams are its own business; a frame and a subscription have to agree on them."""

    venue: str
    subject: str
    """The query parameter that names the market."""
    snapshot_path: str | None = None
    """The REST path from which clients take a book to begin with, where the stream brings none."""
    constants: Mapping[str, str] = MappingProxyType({})
    """Answers to paths that a capture need not hold."""

    @abstractmethod
    def streams(self, frame: Any) -> frozenset[str]:
        """The streams to which a recorded frame belongs; none for answers, pings and the like."""

    @abstractmethod
    def command(self, text: str) -> Change:
        """What a client sent."""

    @abstractmethod
    def missing(self, path: str) -> object:
        """The venue's JSON for a path that was not recorded."""

    def book(self, _stream: str) -> str | None:
        """The market whose book this stream continues from a snapshot by REST, if it does."""
        return None

    def belongs(self, data: str | bytes) -> frozenset[str]:
        """The same as `streams`, of a frame as it is on the wire."""
        if isinstance(data, bytes) and data.startswith(GZIP_MAGIC):
            data = gzip.decompress(data)
        try:
            frame = orjson.loads(data)
        except orjson.JSONDecodeError:
            return NOTHING
        try:
            return self.streams(frame)
        except (AttributeError, KeyError, TypeError):
            return NOTHING  # garbage that somebody recorded


def text(message: object) -> str:
    return orjson.dumps(message).decode()
