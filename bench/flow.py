"""Whether trades of some symbols come, and from which venues."""

import time

from bench.listener import Headers
from shared.symbols import symbol_key


class Flow:
    """`take` is told of each message of `bindings`; `silent_s` says since when nothing has come."""

    def __init__(self, *symbols: str) -> None:
        self.bindings = [("futures_data", f"trades.*.{symbol_key(one)}") for one in symbols]
        self._began = time.monotonic()
        self._came: dict[tuple[str, str], float] = {}  # by venue and symbol key, monotonic

    def take(self, routing_key: str, _body: bytes, _headers: Headers, _now_s: float) -> None:
        _, venue, key = routing_key.split(".")
        self._came[venue, key] = time.monotonic()

    def silent_s(self, venue: str, symbol: str) -> float:
        """Seconds since the last trade of a symbol, or since the beginning."""
        return time.monotonic() - self._came.get((venue, symbol_key(symbol)), self._began)
