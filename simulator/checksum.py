"""The checksum that bitget and okx put into their books."""

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from zlib import crc32

CHECKSUM_LEVELS = 25


def checksum(bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int:
    """Signed CRC32 of `bid price:size:ask price:size:…` over the best 25 of each side."""
    pairs: Iterable[tuple[Sequence[str], Sequence[str]]] = zip_longest(
        (row[:2] for row in bids[:CHECKSUM_LEVELS]),
        (row[:2] for row in asks[:CHECKSUM_LEVELS]),
        fillvalue=(),
    )
    value = crc32(":".join(chain.from_iterable(chain.from_iterable(pairs))).encode())
    return value - (1 << 32) if value >= 1 << 31 else value
