"""What was done to the registry, by whom and when; and the way back. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from coordinator.desired import Desired
from coordinator.records import (
    Change,
    ConfigChange,
    Listed,
    Note,
    Op,
    Rollback,
    Seed,
    Switch,
    TaskAdded,
    TaskRemoved,
    Undo,
)
from shared.collection import CollectionTask

MAX_NOTES = 200
#: Of which so many tell of market lists at most.
MAX_LISTINGS = 50
#: Names in all that may be undone together: what snapshots and memory are spared.
MAX_NAMES = 20_000
_SHOWN = 5
_LISTED = "listed"


@dataclass(frozen=True, slots=True)
class Wishes:
    """All that commands may change."""

    desired: Desired
    disabled: tuple[str, ...] = ()
    tasks: Mapping[str, CollectionTask] | None = None

    def undo(self, after: "Wishes") -> Undo:
        """What leads back from `after` to here."""
        mine, theirs = self.desired, after.desired
        return Undo(
            symbols=list(mine.symbols) if mine.symbols != theirs.symbols else None,
            own=_lists(mine.own) if mine.own != theirs.own else None,
            excluded=_lists(mine.excluded) if mine.excluded != theirs.excluded else None,
            disabled=list(self.disabled) if self.disabled != after.disabled else None,
            tasks=list((self.tasks or {}).values()) if self.tasks != after.tasks else None,
        )

    def undone(self, undo: Undo) -> "Wishes":
        desired = self.desired
        if undo.symbols is not None:
            desired = replace(desired, symbols=tuple(undo.symbols))
        if undo.own is not None:
            desired = replace(desired, own=_tuples(undo.own))
        if undo.excluded is not None:
            desired = replace(desired, excluded=_tuples(undo.excluded))
        disabled = self.disabled if undo.disabled is None else tuple(undo.disabled)
        tasks = self.tasks
        if undo.tasks is not None:
            tasks = {task.task_id: task for task in undo.tasks}
        return Wishes(desired, disabled, tasks)


class History:
    """The latest notes, oldest first: bounded in number and in what they would undo."""

    def __init__(self, notes: Iterable[Note] = ()) -> None:
        self._notes: list[Note] = []
        self._names = 0
        for note in notes:
            self.add(note)

    def __len__(self) -> int:
        return len(self._notes)

    def __iter__(self) -> Iterator[Note]:
        return iter(self._notes)

    def add(self, note: Note) -> None:
        self._notes.append(note)
        self._names += _names_in(note.undo)
        self._forget_a_listing()
        while len(self._notes) > MAX_NOTES or (self._names > MAX_NAMES and len(self._notes) > 1):
            self._names -= _names_in(self._notes.pop(0).undo)

    def _forget_a_listing(self) -> None:
        """What happens by itself, each hour, does not push out what was commanded."""
        listings = [place for place, note in enumerate(self._notes) if note.what == _LISTED]
        if len(listings) > MAX_LISTINGS:
            del self._notes[listings[0]]

    def reaches(self, state_revision: int, now: int) -> bool:
        """Whether the way back to a state revision is known; `now` is the one that holds."""
        known = {note.state_revision for note in self._notes if note.undo is not None}
        return 0 <= state_revision <= now and known >= set(range(state_revision + 1, now + 1))

    def earliest(self, now: int) -> int:
        """The first state revision that can be gone back to."""
        known = {note.state_revision for note in self._notes if note.undo is not None}
        while now in known:
            now -= 1
        return now

    def back(self, wishes: Wishes, state_revision: int) -> Wishes:
        """What was wished for at a state revision which is reached."""
        for note in reversed(self._notes):
            if note.undo is not None and note.state_revision > state_revision:
                wishes = wishes.undone(note.undo)
        return wishes


def described(op: Op) -> tuple[str, str | None, str]:
    """What an operation is called, the venue it is about, and a line on it."""
    match op:
        case Change():
            return f"{op.op}_symbol{'s' if op.op == 'set' else ''}", op.exchange, _some(op.symbols)
        case Switch():
            on = "enable" if op.enabled else "disable"
            return f"{on}_exchange", op.exchange, f"{on}d {op.name}"
        case TaskAdded():
            task = op.task
            return "add_task", task.exchange, f"{task.task_id}: {task.kind} of {task.symbol}"
        case TaskRemoved():
            return "remove_task", None, op.task_id
        case Rollback():
            return "rollback", None, f"back to state revision {op.to}"
        case Seed():
            return "seed", None, _some(op.symbols)
        case ConfigChange():
            parts = (("added", op.added), ("removed", op.removed), ("exchanges", op.exchanges))
            return "config", None, "; ".join(f"{w} {_some(list(n))}" for w, n in parts if n)
        case Listed():
            return _LISTED, op.exchange, _listed(op)
        case _:
            return op.op, None, ""


def _listed(op: Listed) -> str:
    meant = [f"{entry} means {len(symbols)} symbols" for entry, symbols in op.expansions.items()]
    absent = [f"not listed: {_some(op.unlisted)}"] if op.unlisted else []
    return "; ".join((*meant, *absent)) or "all are listed"


def _some(names: list[str]) -> str:
    few = ", ".join(names[:_SHOWN]) or "none"
    return few if len(names) <= _SHOWN else f"{few} and {len(names) - _SHOWN} more"


def _names_in(undo: Undo | None) -> int:
    if undo is None:
        return 0
    nested = [*(undo.own or {}).values(), *(undo.excluded or {}).values()]
    flat = (undo.symbols, undo.disabled, undo.tasks, *nested)
    return sum(len(names) for names in flat if names)


def _lists(lists: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {venue: list(symbols) for venue, symbols in lists.items()}


def _tuples(lists: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {venue: tuple(symbols) for venue, symbols in lists.items()}
