"""Which venues list a symbol, as far as their collectors have told."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import ConfigurationError
from shared.status import MarketList
from shared.venues import canonical_venue


@dataclass(frozen=True, slots=True)
class Listing:
    """One symbol; venues by wire name. A venue whose list is unknown stands on neither side."""

    on: tuple[str, ...]
    absent: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def nowhere(self) -> bool:
        return bool(self.absent) and not self.on and not self.unknown


class Listings:
    """The latest market list of each venue."""

    def __init__(self) -> None:
        self._symbols: dict[str, frozenset[str]] = {}  # by canonical name: as many as we know

    def update(self, markets: MarketList) -> None:
        """Raises ConfigurationError for a venue that the fleet does not know."""
        self._symbols[canonical_venue(markets.exchange)] = frozenset(markets.symbols)

    def of(self, symbol: str, exchanges: Sequence[str]) -> Listing:
        on: list[str] = []
        absent: list[str] = []
        unknown: list[str] = []
        for exchange in exchanges:
            listed = self._listed(exchange)
            side = unknown if listed is None else on if symbol in listed else absent
            side.append(exchange)
        return Listing(tuple(on), tuple(absent), tuple(unknown))

    def _listed(self, exchange: str) -> frozenset[str] | None:
        try:
            return self._symbols.get(canonical_venue(exchange))
        except ConfigurationError:
            return None
