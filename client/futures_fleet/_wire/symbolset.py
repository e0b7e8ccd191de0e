# Copied from shared/symbolset.py by scripts/wire.py: change that one.
"""What the coordinator tells the workers of a venue: its whole desired state."""

from pydantic import ConfigDict, Field, model_validator

from futures_fleet._wire.collection import CollectionTask
from futures_fleet._wire.messages import Message


class Notice(Message):
    """What processes tell each other. A reader overlooks fields that only a newer writer knows:
    while a fleet is renewed, host after host, both are there."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Revision(Message):
    """A point in the registry's log. Only revisions of one registry can be compared."""

    registry: str  # id of the registry; a new one always wins
    epoch: int  # how many claims the log had seen
    offset: int  # of the record in the stream

    def replaces(self, applied: "Revision | None") -> bool:
        """Whether a worker which has applied `applied` takes this one."""
        if applied is None or applied.registry != self.registry:
            return True
        return (self.epoch, self.offset) > (applied.epoch, applied.offset)


class Peer(Notice):
    """A worker among those that share the symbols of a venue."""

    worker: str  # stable id, `binance-0@host`
    egress: str  # from where its requests leave: workers with one egress share the venue's limits


class SymbolSet(Notice):
    """The effective state of one venue: full, never a difference, so that any message heals."""

    exchange: str  # the venue's name on the wire, fixed by the registry
    venue: str  # its canonical name
    revision: Revision
    enabled: bool = True  # false: the venue is collected by nobody, `symbols` is empty
    symbols: list[str]  # unified, in the order in which they were added
    workers: list[Peer] = []  # members; none: whoever hears this collects everything
    owners: list[int] = Field(default=[])  # of each symbol: the place of its owner in `workers`
    tasks: list[CollectionTask] = []  # beyond what each symbol implies

    @model_validator(mode="after")
    def _each_has_an_owner(self) -> "SymbolSet":
        if not self.workers:
            if self.owners:
                raise ValueError("owners without workers")
            return self
        if len(self.owners) != len(self.symbols):
            raise ValueError(f"{len(self.owners)} owners of {len(self.symbols)} symbols")
        if not all(0 <= owner < len(self.workers) for owner in self.owners):
            raise ValueError("an owner that is no worker")
        return self

    def owned_by(self, worker: str) -> list[str]:
        """The symbols that a worker shall collect, all of them where nobody shares."""
        if not self.workers:
            return list(self.symbols)
        places = {place for place, peer in enumerate(self.workers) if peer.worker == worker}
        shared = zip(self.symbols, self.owners, strict=True)
        return [symbol for symbol, owner in shared if owner in places]

    def owner_of(self, symbol: str) -> str | None:
        """Who shall collect a symbol; None where nobody shares, or it is not desired."""
        if not self.workers or symbol not in self.symbols:
            return None
        return self.workers[self.owners[self.symbols.index(symbol)]].worker

    def peers_of(self, worker: str) -> list[Peer]:
        """All members but this one."""
        return [peer for peer in self.workers if peer.worker != worker]
