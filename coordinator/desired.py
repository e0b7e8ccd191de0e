"""What the fleet shall collect: symbols for all venues, and each venue's own view of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

Symbols = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Desired:
    """Symbols in the order in which they came; venues by their canonical names."""

    symbols: Symbols = ()
    own: Mapping[str, Symbols] = field(default_factory=dict)  # beyond the global ones
    excluded: Mapping[str, Symbols] = field(default_factory=dict)  # taken from the global ones

    def effective(self, venue: str) -> Symbols:
        """Global, and the venue's own, without what the venue excludes."""
        excluded = frozenset(self.excluded.get(venue, ()))
        union = merged(self.symbols, self.own.get(venue, ()))
        return tuple(symbol for symbol in union if symbol not in excluded)

    def current(self, venue: str | None) -> Symbols:
        """What a command sees: the global list, or the effective one of a venue."""
        return self.symbols if venue is None else self.effective(venue)

    def add(self, symbols: Iterable[str], venue: str | None) -> "Desired":
        if venue is None:
            return replace(self, symbols=merged(self.symbols, symbols))
        added = tuple(symbols)
        wanted = without(added, self.symbols)
        return self._of_venue(
            venue,
            own=merged(self.own.get(venue, ()), wanted),
            excluded=without(self.excluded.get(venue, ()), added),
        )

    def remove(self, symbols: Iterable[str], venue: str | None) -> "Desired":
        removed = tuple(symbols)
        if venue is None:
            return replace(self, symbols=without(self.symbols, removed))
        inherited = frozenset(self.symbols)
        return self._of_venue(
            venue,
            own=without(self.own.get(venue, ()), removed),
            excluded=merged(self.excluded.get(venue, ()), (s for s in removed if s in inherited)),
        )

    def put(self, symbols: Iterable[str], venue: str | None) -> "Desired":
        """Exactly these symbols, globally or on one venue."""
        wanted = merged((), symbols)
        if venue is None:
            return replace(self, symbols=wanted)
        return self._of_venue(
            venue,
            own=without(wanted, self.symbols),
            excluded=without(self.symbols, wanted),
        )

    def _of_venue(self, venue: str, own: Symbols, excluded: Symbols) -> "Desired":
        return replace(
            self,
            own=_with(self.own, venue, own),
            excluded=_with(self.excluded, venue, excluded),
        )


def merged(first: Iterable[str], second: Iterable[str]) -> Symbols:
    """Both, each symbol once, in the order of its first mention."""
    return tuple(dict.fromkeys((*first, *second)))


def without(symbols: Iterable[str], removed: Iterable[str]) -> Symbols:
    gone = frozenset(removed)
    return tuple(symbol for symbol in symbols if symbol not in gone)


def _with(lists: Mapping[str, Symbols], venue: str, symbols: Symbols) -> dict[str, Symbols]:
    """The lists with the venue's replaced; an empty one is left out."""
    return {key: value for key, value in {**lists, venue: symbols}.items() if value}
