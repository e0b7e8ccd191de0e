"""Frames of quotes and trades, rendered before they are due.

Each carries a number of its own in what a collector passes on: a quote in its bid, a trade in its
id. Numbers are dense per symbol and kind. All fields have a fixed width, so a frame costs one `%`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

TICK_S = 0.002
#: A quote's bid is this plus its number, plus .1: seven digits whatever the number.
NUMBER_BASE = 1_000_000
TRADE_ID_BASE = 1_000_000_000
_UPDATE_ID_BASE = 1_000_000_000_000
QUOTE, TRADE = "bookTicker", "aggTrade"

_BODIES = {
    QUOTE: '{"e":"bookTicker","u":%%d,"s":"%(id)s","b":"%%d.10","B":"31.21","a":"%%d.20",'
    '"A":"40.66","T":%%d,"E":%%d}',
    TRADE: '{"e":"aggTrade","E":%%d,"a":%%d,"s":"%(id)s","p":"1000000.10","q":"0.512","f":%%d,'
    '"l":%%d,"T":%%d,"m":true}',
}
_TEXT_LONG = b"\x81\x7e"  # a final text frame whose size stands in two bytes: 126 … 65535

Connection = TypeVar("Connection")


@dataclass(slots=True)
class Stream:
    """One stream of one market; on a `combined` connection its frames have an envelope."""

    id: str  # the market's
    kind: str
    combined: bool
    number: int = 0  # of the last frame
    _template: bytes = field(init=False)

    def __post_init__(self) -> None:
        body = _BODIES[self.kind] % {"id": self.id}
        if self.combined:
            body = f'{{"stream":"{self.id.lower()}@{self.kind}","data":{body}}}'
        template = body.encode()
        size = len(template % _fields(self.kind, 1, 10**12))
        self._template = _TEXT_LONG + size.to_bytes(2).replace(b"%", b"%%") + template

    def render(self, t_ms: int) -> bytes:
        """The next frame, complete, with `t_ms` as its time."""
        self.number += 1
        return self._template % _fields(self.kind, self.number, t_ms)


def _fields(kind: str, number: int, t_ms: int) -> tuple[int, ...]:
    if kind == QUOTE:
        price = NUMBER_BASE + number
        return _UPDATE_ID_BASE + number, price, price, t_ms, t_ms
    trade = TRADE_ID_BASE + number
    return t_ms, trade, trade, trade, t_ms


@dataclass(frozen=True, slots=True)
class Tape(Generic[Connection]):
    """What goes to each connection at the end of each tick."""

    ticks: list[list[tuple[Connection, bytes]]]
    frames: int
    size: int  # bytes


def render(
    streams: Sequence[tuple[Stream, Connection]], rate: float, seconds: float, start_s: float
) -> Tape[Connection]:
    """`rate` frames a second, the streams in turn. Frame k is due `k / rate` after `start_s` (wall
    clock), which is the time it carries, and goes out with the first tick that is not earlier."""
    frames, size = int(rate * seconds), 0
    ticks: list[list[tuple[Connection, bytes]]] = []
    number = 0
    for tick in range(1, int(seconds / TICK_S) + 1):
        parts: dict[Connection, list[bytes]] = {}
        until = frames if tick == int(seconds / TICK_S) else min(frames, int(rate * tick * TICK_S))
        while number < until:
            stream, connection = streams[number % len(streams)]
            parts.setdefault(connection, []).append(
                stream.render(int(1000 * (start_s + number / rate)))
            )
            number += 1
        ticks.append([(connection, b"".join(part)) for connection, part in parts.items()])
        size += sum(len(data) for _, data in ticks[-1])
    return Tape(ticks, frames, size)
