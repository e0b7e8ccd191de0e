"""An order book at full depth.

Both sides are kept as sorted keys beside their sizes, the best level last: a key is the price of a
bid and the negated price of an ask. An update costs half a microsecond a level.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import islice, zip_longest
from zlib import crc32

from shared.errors import BookDesyncError
from workers.collector.events import Level

#: Levels a side that a venue's checksum covers (bitget and okx: "the best 25").
_CHECKED = 25
#: Known levels a side below which a cut snapshot is renewed: half of what it showed.
_THIN = 500
_INFINITE = float("inf")


class Side:
    """Bids (`sign` 1) or asks (`sign` -1)."""

    __slots__ = ("horizon", "keys", "sign", "sizes", "texts")

    def __init__(self, sign: int, keep_texts: bool) -> None:
        self.sign = sign
        self.keys: list[float] = []  # ascending: the best is last
        self.sizes: dict[float, float] = {}
        #: The levels as the venue wrote them, `price:size`: what its checksum is made of.
        self.texts: dict[float, str] | None = {} if keep_texts else None
        self.horizon = -_INFINITE  # keys below it are not known in full, and not kept

    def replace(self, levels: Sequence[Level], limit: int | None) -> None:
        """Start anew from a snapshot; one of `limit` levels ends at the venue's cut, not where the
        book ends."""
        self.keys, self.sizes, self.horizon = [], {}, -_INFINITE
        if self.texts is not None:
            self.texts = {}
        self.apply(levels)
        if limit is not None and len(levels) >= limit:
            self.horizon = self.keys[0]

    def apply(self, levels: Sequence[Level]) -> None:
        """Set each level's size, 0 removes it. Raises BookDesyncError for what is no level."""
        sign, keys, sizes, texts = self.sign, self.keys, self.sizes, self.texts
        for level in levels:
            price, size = float(level[0]), float(level[1])
            if not (0 < price < _INFINITE and 0 <= size < _INFINITE):  # NaN fails as well
                raise BookDesyncError(f"level {list(level[:2])}")
            key = sign * price
            if size == 0:
                self._remove(key)
                continue
            if key < self.horizon:
                continue
            if key not in sizes:
                insort(keys, key)
            sizes[key] = size
            if texts is not None:
                texts[key] = f"{level[0]}:{level[1]}"

    def _remove(self, key: float) -> None:
        if self.sizes.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]
            if self.texts is not None:
                del self.texts[key]

    @property
    def best(self) -> float | None:
        """The best price, None where the side is empty."""
        return self.sign * self.keys[-1] if self.keys else None

    def top(self, depth: int) -> list[list[float]]:
        """The best `depth` levels, best first, as [price, size]."""
        sign, sizes = self.sign, self.sizes
        return [[sign * key, sizes[key]] for key in islice(reversed(self.keys), depth)]

    def size_to(self, price: float) -> float | None:
        """The size of all levels from the best up to `price`; None where that is not known."""
        limit = self.sign * price
        if limit < self.horizon or not self.keys:
            return None
        sizes = self.sizes
        return sum(sizes[key] for key in islice(self.keys, bisect_left(self.keys, limit), None))

    def checked_texts(self) -> list[str]:
        texts = self.texts or {}
        return [texts[key] for key in islice(reversed(self.keys), _CHECKED)]


class OrderBook:
    """Both sides, when they last changed, and what the venue calls that change."""

    def __init__(self, *, checksummed: bool = False) -> None:
        self.bids = Side(1, checksummed)
        self.asks = Side(-1, checksummed)
        self.update_id: int | None = None
        self.timestamp: int | None = None  # the venue's, milliseconds
        self.at = 0.0  # when it was last known to be right, monotonic seconds
        self.source = "stream"

    def replace(
        self, bids: Sequence[Level], asks: Sequence[Level], limit: int | None = None
    ) -> None:
        """Start anew from a snapshot; `limit` as in `Side.replace`."""
        self.bids.replace(bids, limit)
        self.asks.replace(asks, limit)

    def apply(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Set sizes. Raises BookDesyncError, and is of no use any more, where a level is none."""
        self.bids.apply(bids)
        self.asks.apply(asks)

    @property
    def crossed(self) -> bool:
        """Whether the best bid is above the best ask. Equal prices are a locked book: rare, but
        possible."""
        bids, asks = self.bids.keys, self.asks.keys
        return bool(bids and asks and bids[-1] > -asks[-1])

    @property
    def thin(self) -> bool:
        """Whether so much of what the snapshot showed is gone that a new one is due."""
        return any(
            side.horizon > -_INFINITE and len(side.keys) < _THIN for side in (self.bids, self.asks)
        )

    def checksum(self) -> int:
        """Signed crc32 over the best 25 levels, bids and asks taking turns, as the venue wrote
        them."""
        pairs = zip_longest(self.bids.checked_texts(), self.asks.checked_texts())
        text = ":".join(level for pair in pairs for level in pair if level is not None)
        unsigned = crc32(text.encode())
        return unsigned - 2**32 if unsigned >= 2**31 else unsigned
