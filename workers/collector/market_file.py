"""What a venue listed, kept on disk: a restart need not ask again what it knows."""

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import ccxt
import orjson
import zstandard

from shared.clock import Clock
from shared.files import write_bytes

#: Of a list, unpacked: three thousand contracts with all that the venue says of each.
_MAX_BYTES = 64 * 1024 * 1024

log = logging.getLogger("main")


class MarketFile:
    """The latest list of one venue, in ccxt's form; the file's own time says when it was learned.
    One that was read from another address, or by another version of ccxt, is not this venue's."""

    def __init__(self, path: Path, addresses: object, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        told = orjson.dumps([ccxt.__version__, addresses], default=str)
        self._origin = hashlib.blake2b(told, digest_size=16).hexdigest()

    def save(self, markets: list[dict[str, Any]]) -> None:
        """A disk that refuses costs the next start a request, no more."""
        try:
            packed = zstandard.compress(orjson.dumps({"origin": self._origin, "markets": markets}))
            write_bytes(self._path, packed, durable=False)
            self.confirm()
        except (OSError, TypeError) as error:
            log.warning("The list of markets can not be kept on disk: %s", error)

    def confirm(self) -> None:
        """The list is still what the venue says."""
        with suppress(OSError):
            os.utime(self._path, ns=(self._clock.now_ns(), self._clock.now_ns()))

    def load(self, max_age_s: float) -> tuple[float, list[dict[str, Any]]] | None:
        """How many seconds ago it was learned, and the list; None where there is none as young."""
        try:
            age_s = (self._clock.now_ns() - self._path.stat().st_mtime_ns) / 1e9
            if not 0 <= age_s <= max_age_s:
                return None
            packed = self._path.read_bytes()
            unpacked = zstandard.ZstdDecompressor().decompress(packed, max_output_size=_MAX_BYTES)
            content = orjson.loads(unpacked)
            ours = content["origin"] == self._origin
            return (age_s, list(content["markets"])) if ours and content["markets"] else None
        except (OSError, zstandard.ZstdError, orjson.JSONDecodeError, KeyError, TypeError):
            return None
