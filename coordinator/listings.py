"""Which venues list a symbol, as far as their collectors have told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.clock import Clock
from shared.errors import ConfigurationError
from shared.status import MarketList
from shared.venues import canonical_venue

#: A worker that says nothing for so long, some missed lists, is gone.
_FRESH_S = 30.0


@dataclass(frozen=True, slots=True)
class Listing:
    """One symbol; venues by wire name. A venue whose list is unknown stands on neither side."""

    on: tuple[str, ...]
    absent: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def nowhere(self) -> bool:
        return bool(self.absent) and not self.on and not self.unknown


@dataclass(frozen=True, slots=True)
class _Told:
    """What one worker has listed, and when."""

    symbols: Sequence[str]
    methods: Sequence[str]
    at: float


class Listings:
    """What each venue lists: whatever one of its workers says, of whom each asks the venue in its
    own time, so that a list newer than another's is not taken back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[str, dict[str, _Told]] = {}  # by canonical name and worker
        #: By canonical name, as many as we know: symbols with their quote turnover of 24 hours.
        self._symbols: dict[str, dict[str, float | None]] = {}

    def update(self, markets: MarketList) -> None:
        """Raises ConfigurationError for a venue that the fleet does not know."""
        venue = canonical_venue(markets.exchange)
        now, told = self._clock.monotonic(), self._told.get(venue, {})
        told = {worker: one for worker, one in told.items() if now - one.at < _FRESH_S}
        self._told[venue] = told | {markets.worker: _Told(markets.symbols, markets.methods, now)}
        before, volumes = self._symbols.get(venue, {}), markets.volumes
        # A worker that has just started lists markets before it knows what is traded there.
        self._symbols[venue] = {
            symbol: volumes.get(symbol, before.get(symbol))
            for one in self._told[venue].values()
            for symbol in one.symbols
        }

    def known(self, venue: str) -> Mapping[str, float | None] | None:
        """What a venue lists, by its canonical name, with the turnover of each where known."""
        return self._symbols.get(venue)

    def methods(self, venue: str) -> list[str]:
        """What can be asked of a venue, by its canonical name, as `shared.requests` has it."""
        told = self._told.get(venue, {}).values()
        return sorted({method for one in told for method in one.methods})

    def ranked(self, venue: str) -> bool:
        """Whether the turnover of most that a venue lists is known."""
        symbols = self._symbols.get(venue, {})
        return 2 * sum(volume is not None for volume in symbols.values()) > len(symbols) > 0

    def of(self, symbol: str, exchanges: Sequence[str]) -> Listing:
        on: list[str] = []
        absent: list[str] = []
        unknown: list[str] = []
        for exchange in exchanges:
            listed = self._listed(exchange)
            side = unknown if listed is None else on if symbol in listed else absent
            side.append(exchange)
        return Listing(tuple(on), tuple(absent), tuple(unknown))

    def _listed(self, exchange: str) -> Mapping[str, float | None] | None:
        try:
            return self._symbols.get(canonical_venue(exchange))
        except ConfigurationError:
            return None
