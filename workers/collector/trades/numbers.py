"""Which numbers of a symbol's trades came, where a venue numbers them without holes."""

from bisect import bisect_left, bisect_right

#: Stretches that were given up and are taken if they come after all, a symbol.
_GIVEN_UP_KEPT = 1000


class Ranges:
    """Whole numbers as stretches (first, last), lowest first; no two of them touch."""

    __slots__ = ("stretches",)

    def __init__(self) -> None:
        self.stretches: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self.stretches)

    def __len__(self) -> int:
        """How many numbers."""
        return sum(last - first + 1 for first, last in self.stretches)

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self.stretches, number, key=_last)
        return at < len(self.stretches) and self.stretches[at][0] <= number

    def add(self, first: int, last: int) -> None:
        stretches = self.stretches
        start = bisect_left(stretches, first - 1, key=_last)
        end = bisect_right(stretches, last + 1, key=_first)
        if start < end:
            first = min(first, stretches[start][0])
            last = max(last, stretches[end - 1][1])
        stretches[start:end] = [(first, last)]

    def remove(self, first: int, last: int) -> list[tuple[int, int]]:
        """Take out what lies from `first` to `last`; the stretches of it that were there."""
        stretches = self.stretches
        start = bisect_left(stretches, first, key=_last)
        end = bisect_right(stretches, last, key=_first)
        met = stretches[start:end]
        if not met:
            return []
        low, high = met[0][0], met[-1][1]
        left = [(low, first - 1)] if low < first else []
        left += [(last + 1, high)] if high > last else []
        stretches[start:end] = left
        return [(max(one[0], first), min(one[1], last)) for one in met]

    def copy(self) -> "Ranges":
        copy = Ranges()
        copy.stretches = self.stretches.copy()
        return copy

    def clear(self) -> None:
        self.stretches.clear()


class NumberLine:
    """The numbers of one symbol.

    Those up to `floor` are not this run's to look for: they came to the one before it, or the
    symbol was not collected. Of those from `first` to `last` the `holes` are missing.
    """

    __slots__ = ("_given_up", "_resting", "first", "floor", "holes", "jumps", "last")

    def __init__(self, last: int | None = None) -> None:
        """Go on after `last`."""
        self.first = self.last = last
        self.floor = -1 if last is None else last
        self.holes = Ranges()
        self.jumps = 0  # how often numbers were found missing
        self._given_up = Ranges()
        self._resting = False  # what lies between the last trade and the next one is nobody's

    def take(self, first: int, last: int) -> bool:
        """Note that these came; False where all of them did before."""
        known = self.last
        if known is None or (self._resting and first > known):
            self.first, self.last, self._resting = first, last, False
            return True
        if first > known:
            self.last = last
            if first > known + 1:
                self._lack(known + 1, first - 1)
            return True
        if last > known:  # fills of which some came one by one
            self.last = last
            self._fill(first, known)
            return True
        return self._fill(first, last) or self._begin_earlier(first, last)

    def unknown_from(self, number: int) -> int:
        """The first number from `number` on of which nobody knows yet whether it was given: all
        below came, or are among the holes."""
        if self.first is None or self.last is None or self._resting or number < self.first:
            return number
        return max(number, self.last + 1)

    def lacks(self, number: int) -> bool:
        """Whether it may come yet, though higher ones came."""
        return number in self.holes or number in self._given_up

    def end_with(self, last: int) -> None:
        """No number above was ever given."""
        end, self.last = max(self.last or last, last), last
        for missing in (self.holes, self._given_up):
            missing.remove(last + 1, end)

    def lose(self, first: int, last: int) -> None:
        """These came, and got no further: they are missing again."""
        self.holes.add(first, last)

    def give_up(self, first: int, last: int) -> None:
        """Look no more for what is missing between these. If one comes after all, it is taken."""
        for one in self.holes.remove(first, last):
            self._given_up.add(*one)
        del self._given_up.stretches[:-_GIVEN_UP_KEPT]

    def rest(self) -> None:
        """The symbol is not collected any more. What came is known, should it be repeated later;
        what happens until then is not missing."""
        self.holes.clear()
        self._given_up.clear()
        self._resting = True
        self.floor = -1 if self.last is None else self.last

    def _fill(self, first: int, last: int) -> bool:
        came = False
        for missing in (self.holes, self._given_up):
            came = (bool(missing) and bool(missing.remove(first, last))) or came
        return came

    def _begin_earlier(self, first: int, last: int) -> bool:
        if self.first is None or last >= self.first or last <= self.floor:
            return False
        if last + 1 < self.first:
            self._lack(last + 1, self.first - 1)
        self.first = first
        return True

    def _lack(self, first: int, last: int) -> None:
        self.holes.add(first, last)
        self.jumps += 1


def _first(stretch: tuple[int, int]) -> int:
    return stretch[0]


def _last(stretch: tuple[int, int]) -> int:
    return stretch[1]
