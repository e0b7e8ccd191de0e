"""What the fleet shall collect: symbols for all venues, and each venue's own view of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from shared.entries import is_entry

Symbols = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Desired:
    """Symbols, and entries that stand for many, in the order in which they came; venues by their
    canonical names."""

    symbols: Symbols = ()
    own: Mapping[str, Symbols] = field(default_factory=dict)  # beyond the global ones
    excluded: Mapping[str, Symbols] = field(default_factory=dict)  # taken from the global ones
    #: What each entry means, by venue.
    expansions: Mapping[str, Mapping[str, Symbols]] = field(default_factory=dict)

    def named(self, venue: str | None) -> Symbols:
        """Symbols and entries by name: the global ones, or those that hold for a venue."""
        if venue is None:
            return self.symbols
        excluded = frozenset(self.excluded.get(venue, ()))
        union = merged(self.symbols, self.own.get(venue, ()))
        return tuple(name for name in union if name not in excluded)

    def effective(self, venue: str) -> Symbols:
        """What is collected there: entries as they are expanded, without what is excluded."""
        names = self.named(venue)
        if not any(map(is_entry, names)):
            return names
        meant, excluded = self.expansions.get(venue, {}), frozenset(self.excluded.get(venue, ()))
        each = (meant.get(name, ()) if is_entry(name) else (name,) for name in names)
        symbols = dict.fromkeys(symbol for some in each for symbol in some)
        return tuple(symbol for symbol in symbols if symbol not in excluded)

    def current(self, venue: str | None) -> Symbols:
        """What a command sees: the global list, or the effective one of a venue."""
        return self.symbols if venue is None else self.effective(venue)

    def has(self, name: str, venue: str | None) -> bool:
        """Whether a symbol or entry can be removed: it stands there by name, or an entry means
        it."""
        return name in self.named(venue) or (venue is not None and name in self.effective(venue))

    def entries(self) -> Symbols:
        """All that there are, whoever has them."""
        names = merged(self.symbols, (name for own in self.own.values() for name in own))
        return tuple(filter(is_entry, names))

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
        own = without(self.own.get(venue, ()), removed)
        left = replace(self, own=_with(self.own, venue, own))
        inherited = frozenset((*left.named(venue), *left.effective(venue)))
        return self._of_venue(
            venue,
            own=own,
            excluded=merged(self.excluded.get(venue, ()), (s for s in removed if s in inherited)),
        )

    def put(self, symbols: Iterable[str], venue: str | None) -> "Desired":
        """Exactly these, globally or on one venue."""
        wanted = merged((), symbols)
        if venue is None:
            return replace(self, symbols=wanted)
        return self._of_venue(
            venue,
            own=without(wanted, self.symbols),
            excluded=without(self.symbols, wanted),
        )

    def expand(self, venue: str, meant: Mapping[str, Iterable[str]]) -> "Desired":
        """Entries mean these on a venue from now on."""
        lists = {entry: tuple(symbols) for entry, symbols in meant.items()}
        expansions = {**self.expansions, venue: lists}
        return replace(self, expansions={key: value for key, value in expansions.items() if value})

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
