"""Which symbols to collect: those that are ours, and those that are no longer, until others have
them."""

from collections.abc import Callable, Collection

from shared.clock import Clock
from shared.symbolset import SymbolSet
from workers.collector.sharing.peers import Peers

#: How long both collect a symbol, once the new owner says that all of it flows.
OVERLAP_S = 1.0
#: How long a symbol with an open gap is kept beyond that, so that the gap is repaired.
REPAIR_S = 60.0


class Ownership:
    """Make before break: nothing is let go of that its new owner has not.

    One that never gets it leaves it with us: that costs requests, and no data.
    """

    def __init__(self, worker: str, peers: Peers, clock: Clock) -> None:
        self.is_repairing: Callable[[str], bool] = lambda _symbol: False
        self._worker, self._peers, self._clock = worker, peers, clock
        self._had_since: dict[str, float] = {}  # of symbols that others have by now

    def wanted(
        self, told: SymbolSet | None, assigned: Collection[str], held: Collection[str]
    ) -> list[str]:
        """What to collect now, in a stated order; `held` is what is collected so far."""
        if told is None or not told.workers:
            return list(assigned)
        mine = frozenset(assigned)
        owners = dict(zip(told.symbols, told.owners, strict=True))
        kept = [
            symbol
            for symbol in held
            if symbol in owners and symbol not in mine
            if not self._may_go(symbol, told.workers[owners[symbol]].worker, told)
        ]
        self._had_since = {s: at for s, at in self._had_since.items() if s in held}
        return [*assigned, *kept]

    def lent(self, told: SymbolSet | None, held: Collection[str]) -> set[str]:
        """What is collected in the place of another worker, or of one that is to be found."""
        if told is None or not told.workers:
            return set()
        return set(held).difference(told.owned_by(self._worker)).intersection(told.symbols)

    def _may_go(self, symbol: str, owner: str, told: SymbolSet) -> bool:
        now = self._clock.monotonic()
        if not self._peers.has_whole(symbol, owner, told.revision):
            self._had_since.pop(symbol, None)
            return False
        waited_s = now - self._had_since.setdefault(symbol, now)
        if waited_s < OVERLAP_S:
            return False
        return waited_s >= REPAIR_S or not self.is_repairing(symbol)
