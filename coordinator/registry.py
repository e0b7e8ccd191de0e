"""The registry: the fold of its log. Pure; every reader of the same records comes to the same."""

from enum import Enum

from coordinator.answers import finished
from coordinator.applied import Applied, AppliedTable
from coordinator.desired import Desired
from coordinator.records import (
    Change,
    Claim,
    ConfigChange,
    Fence,
    Given,
    NoChange,
    Op,
    Operation,
    Record,
    Remembered,
    Seed,
    Snapshot,
    State,
)
from shared.symbolset import Revision


class Verdict(Enum):
    """What became of a record."""

    APPLIED = "applied"
    REJECTED = "rejected"  # written by who did not lead any more
    REPEATED = "repeated"  # its command had taken effect before
    SEEN = "seen"  # its offset had been folded before
    UNREADY = "unready"  # before the first seed or snapshot: the log's beginning is missing


class Registry:
    """State after the records up to `last_offset`. Without an id nothing was ever seeded."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.leader: str | None = None
        self.epoch = 0
        self.last_offset = -1
        self.state_revision = 0
        self.desired = Desired()
        self.exchanges: dict[str, str] = {}  # wire name by canonical name
        self.config_symbols: tuple[str, ...] = ()
        self.applied = AppliedTable()
        self.rejected = 0
        self._revision_offset = 0

    @property
    def seeded(self) -> bool:
        return self.id is not None

    @property
    def revision(self) -> Revision | None:
        """Moved by claims and by changes of what is desired."""
        if self.id is None:
            return None
        return Revision(registry=self.id, epoch=self.epoch, offset=self._revision_offset)

    def fold(self, offset: int, record: Record) -> Verdict:
        if offset <= self.last_offset:
            return Verdict.SEEN
        self.last_offset = offset
        match record:
            case Claim():
                self.leader, self.epoch = record.by, self.epoch + 1
                self._revision_offset = offset
                return Verdict.APPLIED
            case Fence():
                return Verdict.APPLIED
            case Snapshot():
                return self._fold_snapshot(offset, record)
            case Operation():
                return self._fold_operation(offset, record)

    def state(self) -> State:
        """All of it, for a snapshot or the mirror. Only of a registry that was seeded."""
        assert self.id is not None
        return State(
            registry=self.id,
            revision_offset=self._revision_offset,
            state_revision=self.state_revision,
            exchanges=self.exchanges,
            symbols=list(self.desired.symbols),
            own={venue: list(symbols) for venue, symbols in self.desired.own.items()},
            excluded={venue: list(symbols) for venue, symbols in self.desired.excluded.items()},
            config_symbols=list(self.config_symbols),
            applied=[
                Remembered(user=user, id=id_, digest=entry.digest, answer=entry.answer.decode())
                for (user, id_), entry in self.applied
            ],
        )

    def _fold_operation(self, offset: int, record: Operation) -> Verdict:
        if not self._leads(record):
            # Without a seed nobody's operation counts, but only a known claim makes it wrong.
            return self._reject() if self.seeded or self.leader else Verdict.UNREADY
        if self.seeded == isinstance(record.op, Seed):
            return Verdict.REPEATED if self.seeded else Verdict.UNREADY
        given = record.given
        if given and self.applied.get((given.user, given.id)):
            return Verdict.REPEATED
        if self._change(record.op):
            self.state_revision += 1
            self._revision_offset = offset
        if given:
            self._remember(given)
        return Verdict.APPLIED

    def _leads(self, record: Operation) -> bool:
        return record.by == self.leader and record.epoch == self.epoch

    def _reject(self) -> Verdict:
        self.rejected += 1
        return Verdict.REJECTED

    def _change(self, op: Op) -> bool:
        """Take the operation; whether it moved what is desired."""
        before = (self.desired, self.exchanges)
        match op:
            case NoChange():
                pass
            case Change(op="add"):
                self.desired = self.desired.add(op.symbols, op.exchange)
            case Change(op="remove"):
                self.desired = self.desired.remove(op.symbols, op.exchange)
            case Change():
                self.desired = self.desired.put(op.symbols, op.exchange)
            case Seed():
                self.id = op.registry
                self.desired = Desired(symbols=tuple(op.symbols))
                self.config_symbols = tuple(op.symbols)
                self.exchanges = dict(op.exchanges)
            case ConfigChange():
                self.desired = self.desired.remove(op.removed, None).add(op.added, None)
                self.config_symbols = tuple(op.seen)
                self.exchanges = {**op.exchanges, **self.exchanges}
        return before != (self.desired, self.exchanges)

    def _remember(self, given: Given) -> None:
        answer = finished(given.answer, self.revision, self.state_revision)
        self.applied.put((given.user, given.id), Applied(given.digest, answer))

    def _fold_snapshot(self, offset: int, record: Snapshot) -> Verdict:
        # An epoch above ours proves that claims are missing from what we read: retention took
        # them. Nobody who was deposed can write one.
        missed_claims = record.epoch > self.epoch
        if not missed_claims and not (record.by == self.leader and record.epoch == self.epoch):
            return self._reject()
        self.leader, self.epoch = record.by, record.epoch
        self._restore(record.state, offset)
        return Verdict.APPLIED

    def _restore(self, state: State, offset: int) -> None:
        self.id = state.registry
        self._revision_offset = offset if state.revision_offset is None else state.revision_offset
        self.state_revision = state.state_revision
        self.exchanges = dict(state.exchanges)
        self.config_symbols = tuple(state.config_symbols)
        self.desired = Desired(
            symbols=tuple(state.symbols),
            own={venue: tuple(symbols) for venue, symbols in state.own.items()},
            excluded={venue: tuple(symbols) for venue, symbols in state.excluded.items()},
        )
        self.applied = AppliedTable()
        for entry in state.applied:
            applied = Applied(entry.digest, entry.answer.encode())
            self.applied.put((entry.user, entry.id), applied)
