"""A websocket frame as it goes over the wire, encoded once for all who get it."""

import struct
from dataclasses import dataclass

TEXT = 0x81
BINARY = 0x82


@dataclass(frozen=True, slots=True)
class Frame:
    """`wire` is the complete unmasked frame; `truth` the tail of its line in the truth log."""

    wire: bytes
    truth: str


def wire(payload: bytes, opcode: int = TEXT) -> bytes:
    """`payload` as one final websocket frame (RFC 6455, 5.2); a server does not mask."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", opcode, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", opcode, 126, size) + payload
    return struct.pack("!BBQ", opcode, 127, size) + payload
