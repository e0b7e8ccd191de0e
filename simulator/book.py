"""A full order book with numbered changes.

A level is named by its key: the price in ticks, negative for asks. So both sides ascend towards
their best level, which is last, and one mapping holds the sizes of both.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

View = dict[int, int]
"""Sizes in units by key."""

JOURNAL_MAX = 16_384
"""Changes remembered; the slowest stream takes them once a second at most."""


class Book:
    """Levels, the update id of the last change, and the keys changed by each."""

    def __init__(self, levels: View, update_id: int) -> None:
        self.sizes = dict(levels)
        self.bids = sorted(key for key in levels if key > 0)
        self.asks = sorted(key for key in levels if key < 0)
        self.update_id = update_id
        self._journal: list[int] = []
        self._journal_from = update_id

    @property
    def best_bid(self) -> int:
        return self.bids[-1]

    @property
    def best_ask(self) -> int:
        return -self.asks[-1]

    def set(self, key: int, size: int) -> None:
        """One change: `size` units at `key`, 0 removes the level."""
        side = self.bids if key > 0 else self.asks
        if size:
            if key not in self.sizes:
                insort(side, key)
            self.sizes[key] = size
        elif self.sizes.pop(key, None) is None:
            return
        else:
            del side[bisect_left(side, key)]
        self.update_id += 1
        self._journal.append(key)
        if len(self._journal) > JOURNAL_MAX:
            self._forget(JOURNAL_MAX // 2)

    def _forget(self, count: int) -> None:
        del self._journal[:count]
        self._journal_from += count

    def skip(self, count: int) -> None:
        """Let `count` ids pass unseen: nobody follows this book right now."""
        self.update_id += count
        self._journal.clear()
        self._journal_from = self.update_id

    def changed_since(self, update_id: int) -> View:
        """Absolute sizes of all levels touched after `update_id`, 0 where the level is gone."""
        keys = self._journal[max(0, update_id - self._journal_from) :]
        return {key: self.sizes.get(key, 0) for key in keys}

    def each_since(self, update_id: int) -> Iterator[tuple[int, int, int]]:
        """Every change after `update_id`: its number, the key, and the size there by now."""
        start = max(0, update_id - self._journal_from)
        for number, key in enumerate(self._journal[start:], self._journal_from + start + 1):
            yield number, key, self.sizes.get(key, 0)

    def view(self, depth: int) -> View:
        """The best `depth` levels of each side, best bid first, then best ask first."""
        sizes = self.sizes
        top = {key: sizes[key] for key in reversed(self.bids[-depth:])}
        for key in reversed(self.asks[-depth:]):
            top[key] = sizes[key]
        return top


def difference(old: View, new: View) -> View:
    """What turns view `old` into `new`: new sizes, and 0 for levels that fell out."""
    changes = {key: size for key, size in new.items() if old.get(key) != size}
    for key in old:
        if key not in new:
            changes[key] = 0
    return changes
