"""What the coordinator knows of the fleet, as answers: workers, tasks, history."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from coordinator.answers import Answer, failure, success
from coordinator.commands import Command
from coordinator.decisions import Desk
from coordinator.records import Note
from coordinator.registry import Registry
from coordinator.roster import GONE_S, Member, Roster
from shared.clock import Clock
from shared.collection import CollectionTask
from shared.errors import ConfigurationError
from shared.symbolset import Revision
from shared.venues import canonical_venue

_TASKS_AT_ONCE = 200
_NOTES_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Reports:
    """Each method makes the data of one answer."""

    registry: Registry
    roster: Roster
    desk: Desk
    revised_s: float  # how long ago what workers are told has changed
    clock: Clock

    def answer(self, command: Command) -> Answer:
        """The answer to a command that reads; without the revision."""
        if command.venue is not None and command.venue not in self.registry.exchanges:
            return self._refusal(command, f"exchange: {command.venue} is not collected")
        match command.name:
            case "get_workers":
                return self._done(command, "Workers retrieved successfully", self.workers(command))
            case "list_tasks":
                return self._done(command, "Tasks retrieved successfully", self.tasks(command))
            case "get_history":
                return self._done(command, "History retrieved successfully", self.history(command))
            case _:
                return self.desk.symbols(command)

    def workers(self, command: Command) -> Answer:
        """Who is there, who shall collect what, and what really flows."""
        venues = self.registry.exchanges if command.venue is None else [command.venue]
        heard = {member.heartbeat.worker: member for member in self.roster.members("collector")}
        workers = [
            self._collector(worker, venue, heard.get(worker))
            for venue in venues
            for worker in self._workers_of(venue, heard.values())
        ]
        names = self.registry.exchanges
        return {
            "workers": workers,
            "coordinators": [self._other(m) for m in self.roster.members("coordinator")],
            "agents": [self._other(m) for m in self.roster.members("agent")],
            "symbols": {
                names[venue]: self._symbols(venue, heard, each=command.venue is not None)
                for venue in venues
            },
        }

    def tasks(self, command: Command) -> Answer:
        """Tasks in the order of their ids, with who runs each and how it goes."""
        wanted = [
            task
            for _, task in sorted(self.registry.tasks.items())
            if command.venue in (None, task.exchange)
            and (not command.symbols or task.symbol == command.symbol)
            and command.kind in (None, task.kind)
        ]
        rest = [t for t in wanted if command.after is None or t.task_id > command.after]
        page = rest[: command.limit or _TASKS_AT_ONCE]
        more = len(rest) > len(page)
        return {
            "tasks": [self._task(task) for task in page],
            "count": len(wanted),
            "next": page[-1].task_id if more else None,
        }

    def history(self, command: Command) -> Answer:
        """The latest notes first."""
        notes = [
            note
            for note in reversed(list(self.registry.history))
            if command.before is None or note.state_revision < command.before
        ]
        names = self.registry.exchanges
        page = _whole_revisions(notes, command.limit or _NOTES_AT_ONCE)
        rows = [
            {
                "state_revision": note.state_revision,
                "at": note.at,
                "by": note.by,
                "coordinator": note.coordinator,
                "command": note.what,
                "exchange": names.get(note.exchange or "", note.exchange),
                "text": note.text,
            }
            for note in page
        ]
        earliest = self.registry.history.earliest(self.registry.state_revision)
        return {"history": rows, "count": len(notes), "earliest": earliest}

    # --- workers

    def _workers_of(self, venue: str, heard: Iterable[Member]) -> list[str]:
        """Members, and whoever else was heard of."""
        others = [m.heartbeat.worker for m in heard if _venue(m) == venue]
        return sorted({*self.registry.members.get(venue, {}), *others})

    def _collector(self, worker: str, venue: str, member: Member | None) -> dict[str, Any]:
        enrolled = self.registry.members.get(venue, {})
        owners = self.registry.owners.get(venue, {})
        row: dict[str, Any] = {
            "worker": worker,
            "role": "collector",
            "exchange": self.registry.exchanges[venue],
            "host": worker.partition("@")[2],
            "egress": enrolled[worker].egress if worker in enrolled else None,
            "member": worker in enrolled,
            "assigned": sum(owner == worker for owner in owners.values()),
        }
        if member is None:
            return row | {"state": "gone", "epoch": None, "revision": None, "age_s": None} | _NONE
        beat, holdings = member.heartbeat, member.holdings
        return row | {
            "state": self._state(member),
            "epoch": beat.epoch,
            "revision": _dumped(beat.revision),
            "collected": len(holdings.collected) if holdings else None,
            "live": len(member.live) if holdings else None,
            "lag": self._lag_s(beat.revision),
            "age_s": self._age_s(member),
        }

    def _other(self, member: Member) -> dict[str, Any]:
        beat = member.heartbeat
        row = {
            "worker": beat.worker,
            "role": beat.role,
            "host": beat.worker.partition("@")[2],
            "state": self._state(member),
            "epoch": beat.epoch,
            "age_s": self._age_s(member),
        }
        if beat.role == "coordinator":
            row |= {
                "leader": beat.details.get("leader") is True,
                "revision": _dumped(beat.revision),
            }
        else:
            row |= {"details": beat.details}
        return row

    def _state(self, member: Member) -> str:
        if self.clock.monotonic() - member.heard_at >= GONE_S:
            return "gone"
        if self.roster.is_suspect(member):
            return "suspect"
        return member.heartbeat.state

    def _lag_s(self, applied: Revision | None) -> float:
        """How long a worker lives by an older revision than the one that holds, in seconds."""
        return 0.0 if applied == self.registry.revision else round(self.revised_s, 1)

    def _age_s(self, member: Member) -> float:
        return round(self.clock.monotonic() - member.heard_at, 1)

    def _symbols(self, venue: str, heard: dict[str, Member], *, each: bool) -> dict[str, Any]:
        desired = self.registry.collected(venue)
        owners = self.registry.owners.get(venue, {})
        live = [
            member
            for member in heard.values()
            if _venue(member) == venue and self._state(member) not in {"gone", "stopping"}
        ]
        flowing = {symbol for member in live for symbol in member.live}
        row: dict[str, Any] = {
            "enabled": venue not in self.registry.disabled,
            "desired": len(desired),
            "assigned": len(owners),
            "live": sum(symbol in flowing for symbol in desired),
            "unlisted": list(self.registry.unlisted.get(venue, ())),
            "methods": self.desk.listings.methods(venue),
        }
        if each:
            row["each"] = {
                symbol: {
                    "owner": owners.get(symbol),
                    "live": [m.heartbeat.worker for m in live if symbol in m.live],
                }
                for symbol in desired
            }
        return row

    # --- tasks

    def _task(self, task: CollectionTask) -> dict[str, Any]:
        owner = self.registry.owners.get(task.exchange, {}).get(task.symbol)
        member = self.roster.of(owner) if owner else None
        row = self.desk.told(task) | {"owner": owner}
        if member is None or self._state(member) in {"gone", "suspect"}:
            return row | {"state": "pending"}
        said = member.heartbeat.details.get("tasks")
        failing = said.get("failing") if isinstance(said, dict) else None
        reason = failing.get(task.task_id) if isinstance(failing, dict) else None
        if isinstance(reason, str):
            return row | {"state": "failing", "reason": reason}
        is_told = member.heartbeat.revision == self.registry.revision
        is_had = task.symbol in member.live or member.holdings is None
        return row | {"state": "running" if is_told and is_had else "pending"}

    def _done(self, command: Command, message: str, data: Answer) -> Answer:
        now_s = self.clock.now_ms() // 1000
        return success(command.name, command.correlation_id, message, data, now_s)

    def _refusal(self, command: Command, text: str) -> Answer:
        now_s = self.clock.now_ms() // 1000
        return failure(command.name, command.correlation_id, "invalid_command", text, now_s)


def _whole_revisions(notes: list[Note], limit: int) -> list[Note]:
    """A page of about `limit`: `before` names a revision, so none is cut in two."""
    page = notes[:limit]
    for note in notes[limit:]:
        if note.state_revision != page[-1].state_revision:
            break
        page.append(note)
    return page


_NONE = {"collected": None, "live": None, "lag": None}


def _venue(member: Member) -> str | None:
    try:
        return canonical_venue(member.heartbeat.exchange or "")
    except ConfigurationError:
        return None


def _dumped(revision: Revision | None) -> dict[str, Any] | None:
    return None if revision is None else revision.model_dump()
