"""What the coordinator tells the workers of a venue: its whole desired state."""

from shared.messages import Message


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


class SymbolSet(Message):
    """The effective state of one venue: full, never a difference, so that any message heals."""

    exchange: str  # the venue's name on the wire, fixed by the registry
    venue: str  # its canonical name
    revision: Revision
    symbols: list[str]  # unified, in the order in which they were added
