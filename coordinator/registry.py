"""The registry: the fold of its log. Pure; every reader of the same records comes to the same."""

from dataclasses import replace
from enum import Enum

from coordinator.answers import finished
from coordinator.applied import Applied, AppliedTable
from coordinator.assignment import assign
from coordinator.desired import Desired, Symbols, merged, without
from coordinator.history import History, Wishes, described
from coordinator.records import (
    Change,
    Claim,
    ConfigChange,
    Fence,
    Given,
    Listed,
    Members,
    Note,
    Op,
    Operation,
    Record,
    Remembered,
    Rollback,
    Seed,
    Snapshot,
    State,
    Switch,
    TaskAdded,
    TaskRemoved,
)
from shared.collection import CollectionTask
from shared.symbolset import Peer, Revision


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
        self.first_offset: int | None = None  # of the first record that was read
        self.last_offset = -1
        self.state_revision = 0
        self.desired = Desired()
        self.exchanges: dict[str, str] = {}  # wire name by canonical name
        self.disabled: tuple[str, ...] = ()  # venues that nobody shall collect
        self.tasks: dict[str, CollectionTask] = {}  # by task id
        self.unlisted: dict[str, Symbols] = {}  # by venue: desired by name, and not listed
        self.members: dict[str, dict[str, Peer]] = {}  # by venue and worker
        self.owners: dict[str, dict[str, str]] = {}  # by venue: the worker of each symbol
        self.config_symbols: tuple[str, ...] = ()
        self.history = History()
        self.applied = AppliedTable()
        self.rejected = 0
        self._revision_offset = 0

    @property
    def seeded(self) -> bool:
        return self.id is not None

    @property
    def cut(self) -> bool:
        """Whether retention took the beginning of the log, and no snapshot stands in for it."""
        return not self.seeded and bool(self.first_offset)

    @property
    def revision(self) -> Revision | None:
        """Moved by claims, and by whatever workers are told."""
        if self.id is None:
            return None
        return Revision(registry=self.id, epoch=self.epoch, offset=self._revision_offset)

    def collected(self, venue: str) -> Symbols:
        """The symbols that workers of a venue shall collect."""
        return () if venue in self.disabled else self.desired.effective(venue)

    def fold(self, offset: int, record: Record) -> Verdict:
        if offset <= self.last_offset:
            return Verdict.SEEN
        self.last_offset = offset
        if self.first_offset is None:
            self.first_offset = offset
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
        desired = self.desired
        return State(
            registry=self.id,
            revision_offset=self._revision_offset,
            state_revision=self.state_revision,
            exchanges=self.exchanges,
            symbols=list(desired.symbols),
            own={venue: list(symbols) for venue, symbols in desired.own.items()},
            excluded={venue: list(symbols) for venue, symbols in desired.excluded.items()},
            config_symbols=list(self.config_symbols),
            applied=[
                Remembered(user=user, id=id_, digest=entry.digest, answer=entry.answer.decode())
                for (user, id_), entry in self.applied
            ],
            disabled=list(self.disabled),
            tasks=list(self.tasks.values()),
            expansions={
                venue: {entry: list(symbols) for entry, symbols in meant.items()}
                for venue, meant in desired.expansions.items()
            },
            unlisted={venue: list(symbols) for venue, symbols in self.unlisted.items()},
            members={venue: list(peers.values()) for venue, peers in self.members.items()},
            owners={venue: _by_worker(owners) for venue, owners in self.owners.items()},
            history=list(self.history),
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
        self._operate(offset, record)
        if given:
            self._remember(given)
        return Verdict.APPLIED

    def _leads(self, record: Operation) -> bool:
        return record.by == self.leader and record.epoch == self.epoch

    def _reject(self) -> Verdict:
        self.rejected += 1
        return Verdict.REJECTED

    def _operate(self, offset: int, record: Operation) -> None:
        wishes, exchanges = self.wishes(), dict(self.exchanges)
        told = (self.desired.expansions, self.members, self.owners)
        self._change(record.op)
        self._carry_over(wishes.desired)
        self._share_out()
        is_wished = (wishes, exchanges) != (self.wishes(), self.exchanges)
        if isinstance(record.op, Switch) and record.op.exchange not in exchanges:
            # What leads back from a venue that was taken up is to switch it off.
            disabled = merged(wishes.disabled, (record.op.exchange,))
            wishes = replace(wishes, disabled=disabled)
        if is_wished:
            self.state_revision += 1
        if is_wished or told != (self.desired.expansions, self.members, self.owners):
            self._revision_offset = offset
        if is_wished or isinstance(record.op, Listed):
            self._note(record, wishes if is_wished else None)

    def wishes(self) -> Wishes:
        """All that commands may change. Expansions are no wish of anybody's."""
        return Wishes(replace(self.desired, expansions={}), self.disabled, dict(self.tasks))

    def _change(self, op: Op) -> None:
        match op:
            case Change():
                self.desired = _changed(self.desired, op)
            case Switch():
                self._switch(op)
            case TaskAdded():
                self.tasks = {**self.tasks, op.task.task_id: op.task}
            case TaskRemoved():
                self.tasks = {i: task for i, task in self.tasks.items() if i != op.task_id}
            case Members():
                self._enrol(op)
            case Listed():
                self._list(op)
            case Rollback():
                self._roll_back(op.to)
            case Seed() | ConfigChange():
                self._configure(op)

    def _list(self, op: Listed) -> None:
        self.desired = self.desired.expand(op.exchange, op.expansions)
        unlisted = {**self.unlisted, op.exchange: tuple(op.unlisted)}
        self.unlisted = {venue: some for venue, some in unlisted.items() if some}

    def _configure(self, op: Seed | ConfigChange) -> None:
        if isinstance(op, Seed):
            self.id = op.registry
            self.desired = Desired(symbols=tuple(op.symbols))
            self.config_symbols = tuple(op.symbols)
            self.exchanges = dict(op.exchanges)
            return
        self.desired = self.desired.remove(op.removed, None).add(op.added, None)
        self.config_symbols = tuple(op.seen)
        self.exchanges = {**op.exchanges, **self.exchanges}

    def _switch(self, op: Switch) -> None:
        name = self.exchanges.get(op.exchange, op.name)
        self.exchanges = {**self.exchanges, op.exchange: name}
        if op.enabled:
            self.disabled = without(self.disabled, (op.exchange,))
        else:
            self.disabled = merged(self.disabled, (op.exchange,))

    def _enrol(self, op: Members) -> None:
        before = self.members.get(op.exchange, {})
        peers = {worker: peer for worker, peer in before.items() if worker not in op.left}
        peers |= {peer.worker: peer for peer in op.joined}
        members = {**self.members, op.exchange: peers}
        self.members = {venue: some for venue, some in members.items() if some}

    def _roll_back(self, to: int) -> None:
        if not self.history.reaches(to, self.state_revision):
            return
        back = self.history.back(self.wishes(), to)
        self.desired = replace(back.desired, expansions=self.desired.expansions)
        self.disabled, self.tasks = back.disabled, dict(back.tasks or {})

    def _carry_over(self, before: Desired) -> None:
        """Until an entry is expanded, it means what those meant that went with its coming: else
        symbols were let go of for a moment."""
        if not self.desired.entries():
            return
        for venue in self.exchanges:
            meant = self.desired.expansions.get(venue, {})
            named = self.desired.named(venue)
            new = [entry for entry in self.desired.entries() if entry in named]
            new = [entry for entry in new if entry not in meant]
            gone = [name for name in before.named(venue) if name not in named and name in meant]
            if new and gone:
                symbols = dict.fromkeys(symbol for entry in gone for symbol in meant[entry])
                carried = dict.fromkeys(new, tuple(symbols))
                self.desired = self.desired.expand(venue, {**meant, **carried})

    def _share_out(self) -> None:
        self.owners = {
            venue: assign(self.collected(venue), list(peers), self.owners.get(venue, {}))
            for venue, peers in self.members.items()
            if venue in self.exchanges
        }

    def _note(self, record: Operation, before: Wishes | None) -> None:
        what, venue, text = described(record.op)
        self.history.add(
            Note(
                state_revision=self.state_revision,
                at=record.at,
                by="config" if what in {"seed", "config"} else record.user,
                coordinator=record.by.partition("/")[0],
                what=what,
                exchange=venue,
                text=text,
                undo=None if before is None else before.undo(self.wishes()),
            )
        )

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
            expansions={
                venue: {entry: tuple(symbols) for entry, symbols in meant.items()}
                for venue, meant in state.expansions.items()
            },
        )
        self.disabled = tuple(state.disabled)
        self.tasks = {task.task_id: task for task in state.tasks}
        self.unlisted = {venue: tuple(symbols) for venue, symbols in state.unlisted.items()}
        self.members = {
            v: {peer.worker: peer for peer in some} for v, some in state.members.items()
        }
        self.owners = {
            venue: {symbol: worker for worker, symbols in owned.items() for symbol in symbols}
            for venue, owned in state.owners.items()
        }
        self._share_out()  # in the order of symbols; who owns what stays
        self.history = History(state.history)
        self.applied = AppliedTable()
        for entry in state.applied:
            applied = Applied(entry.digest, entry.answer.encode())
            self.applied.put((entry.user, entry.id), applied)


def _changed(desired: Desired, op: Change) -> Desired:
    match op.op:
        case "add":
            return desired.add(op.symbols, op.exchange)
        case "remove":
            return desired.remove(op.symbols, op.exchange)
        case "set":
            return desired.put(op.symbols, op.exchange)


def _by_worker(owners: dict[str, str]) -> dict[str, list[str]]:
    symbols: dict[str, list[str]] = {}
    for symbol, worker in owners.items():
        symbols.setdefault(worker, []).append(symbol)
    return symbols
