"""The wall-clock grid: one point a symbol and interval, spread over the interval by the symbol."""

import hashlib


def offset_ms(symbol: str, interval_ms: int) -> int:
    """Where in the interval a symbol has its point: the same in every process and run."""
    digest = hashlib.blake2b(symbol.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % interval_ms


class Grid:
    """Which symbols are due. Points that passed meanwhile are skipped, not made up for."""

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._last: dict[str, int] = {}  # by symbol: the cycle that was served last
        self._offsets: dict[str, int] = {}

    def set_symbols(self, symbols: list[str], now_ms: int) -> None:
        """A new symbol's first point is the next one."""
        self._offsets = {symbol: offset_ms(symbol, self._interval_ms) for symbol in symbols}
        self._last = {s: self._last.get(s, self._cycle(s, now_ms)) for s in symbols}

    def due(self, now_ms: int) -> list[tuple[str, int]]:
        """Symbols whose point has come, each with its cycle: the grid's time in milliseconds."""
        ready = [(s, self._cycle(s, now_ms)) for s in self._offsets]
        ready = [(symbol, cycle) for symbol, cycle in ready if self._is_new(symbol, cycle)]
        self._last.update(ready)
        return ready

    def _is_new(self, symbol: str, cycle: int) -> bool:
        """A cycle far behind the last one is new as well: the wall clock was set back."""
        last = self._last[symbol]
        return cycle > last or cycle < last - 2 * self._interval_ms

    def _cycle(self, symbol: str, now_ms: int) -> int:
        return (now_ms - self._offsets[symbol]) // self._interval_ms * self._interval_ms
