"""A websocket frame as it goes over the wire, encoded once for all who get it."""

import gzip
import struct
from dataclasses import dataclass

TEXT = 0x81
BINARY = 0x82
CLOSE = 0x88
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Frame:
    """`wire` is the complete unmasked frame; `truth` the tail of its line in the truth log."""

    wire: bytes
    truth: str


def payload(data: bytes) -> bytes:
    """What `wire` was given, unzipped where it is gzip."""
    size = data[1]
    found = data[{126: 4, 127: 10}.get(size, 2) :]
    return gzip.decompress(found) if found.startswith(GZIP_MAGIC) else found


def wire(payload: bytes, opcode: int = TEXT) -> bytes:
    """`payload` as one final websocket frame (RFC 6455, 5.2); a server does not mask."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", opcode, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", opcode, 126, size) + payload
    return struct.pack("!BBQ", opcode, 127, size) + payload
