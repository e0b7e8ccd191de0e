"""What a command does to the registry, and what it is answered. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from coordinator.answers import Answer, failure, success
from coordinator.commands import Command
from coordinator.desired import Desired
from coordinator.listings import Listings
from coordinator.records import Change, NoChange, Op, Rollback, Switch, TaskAdded, TaskRemoved
from coordinator.registry import Registry
from shared.collection import MAX_TASKS, CollectionTask
from shared.config import MAX_SYMBOLS
from shared.entries import MAX_ENTRIES, expanded, is_entry


@dataclass(frozen=True, slots=True)
class Decision:
    """An operation for the log, and the answer that holds once it stands there."""

    op: Op
    answer: Answer


@dataclass(frozen=True, slots=True)
class Desk:
    """What decisions are made from."""

    registry: Registry
    listings: Listings
    now_s: int
    attended: Collection[str] | None = None  # venues with living workers; None: not known

    def decide(self, command: Command) -> Decision:
        """What becomes of a command that writes."""
        refused = self._refused(command)
        if refused is not None:
            return Decision(NoChange(), refused)
        match command.name:
            case "add_symbol":
                return self._add(command)
            case "remove_symbol":
                return self._remove(command)
            case "set_symbols":
                return self._set(command)
            case "add_task":
                return self._add_task(command)
            case "remove_task":
                return self._remove_task(command)
            case "rollback":
                return self._roll_back(command)
            case _:
                return self._switch(command)

    def symbols(self, command: Command) -> Answer:
        """The answer to get_symbols."""
        if self._foreign(command):
            return self._foreign_venue(command)
        symbols = list(self.registry.desired.current(command.venue))
        data: Answer = {"symbols": symbols, "count": len(symbols)}
        if command.venue is not None:
            data["enabled"] = command.venue not in self.registry.disabled
        return self._done(command, "Symbols retrieved successfully", data)

    def _refused(self, command: Command) -> Answer | None:
        if command.name != "enable_exchange" and self._foreign(command):
            return self._foreign_venue(command)
        current = self.registry.state_revision
        if command.expected_revision not in (None, current):
            text = f"The state revision is {current}, not {command.expected_revision}"
            return {**self._failure(command, "revision_conflict", text), "data": {}}
        return None

    # --- symbols

    def _add(self, command: Command) -> Decision:
        symbol, venue = command.symbol, command.venue
        if symbol in self.registry.desired.named(venue):
            return self._unchanged(command, "duplicate_symbol", f"Symbol {symbol} already exists")
        after = self.registry.desired.add((symbol,), venue)
        if refusal := self._too_many(after):
            return self._unchanged(command, "invalid_command", refusal)
        data: Answer = {"symbol": symbol, "current_symbols": list(after.current(venue))}
        data |= self._meaning(symbol, venue) if is_entry(symbol) else self._listing(symbol, venue)
        answer = self._done(command, f"Symbol {symbol} added successfully", data)
        return Decision(Change(op="add", symbols=[symbol], exchange=venue), answer)

    def _remove(self, command: Command) -> Decision:
        symbol, venue = command.symbol, command.venue
        if not self.registry.desired.has(symbol, venue):
            return self._unchanged(command, "symbol_not_found", f"Symbol {symbol} not found")
        after = self.registry.desired.remove((symbol,), venue)
        data = {"symbol": symbol, "current_symbols": list(after.current(venue))}
        answer = self._done(command, f"Symbol {symbol} removed successfully", data)
        return Decision(Change(op="remove", symbols=[symbol], exchange=venue), answer)

    def _set(self, command: Command) -> Decision:
        after = self.registry.desired.put(command.symbols, command.venue)
        if refusal := self._too_many(after):
            return self._unchanged(command, "invalid_command", refusal)
        symbols = list(after.current(command.venue))
        data = {"current_symbols": symbols, "count": len(symbols)}
        answer = self._done(command, "Symbols set successfully", data)
        op = Change(op="set", symbols=list(command.symbols), exchange=command.venue)
        return Decision(op, answer)

    def _listing(self, symbol: str, venue: str | None) -> Answer:
        listing = self.listings.of(symbol, self._wire_names(venue))
        data: Answer = {"listed_on": list(listing.on), "not_listed_on": list(listing.absent)}
        if listing.nowhere:
            data["warning"] = f"No exchange lists {symbol}"
        elif self._unattended(venue):
            data["warning"] = "No worker collects it just now"
        return data

    def _meaning(self, entry: str, venue: str | None) -> Answer:
        """How many symbols an entry means, by exchange, as far as market lists are known."""
        venues = self.registry.exchanges if venue is None else [venue]
        lists = {v: listed for v in venues if (listed := self.listings.known(v)) is not None}
        names = self.registry.exchanges
        return {"means": {names[v]: len(expanded(entry, lists[v])) for v in lists}}

    def _unattended(self, venue: str | None) -> bool:
        if self.attended is None:
            return False
        wanted = set(self.registry.exchanges) if venue is None else {venue}
        return not wanted.difference(self.registry.disabled).intersection(self.attended)

    def _too_many(self, desired: Desired) -> str | None:
        entries = len(desired.entries())
        if entries > MAX_ENTRIES:
            return f"{entries} entries would be more than {MAX_ENTRIES}"
        venues = self.registry.exchanges
        sizes = [len(desired.symbols), *(len(desired.effective(venue)) for venue in venues)]
        if max(sizes) > MAX_SYMBOLS:
            return f"An exchange would have more than {MAX_SYMBOLS} symbols"
        return None

    # --- tasks, venues, and the way back

    def _add_task(self, command: Command) -> Decision:
        task = command.task
        assert task is not None
        if task.task_id in self.registry.tasks:
            return self._unchanged(command, "duplicate_task", f"Task {task.task_id} exists already")
        if len(self.registry.tasks) >= MAX_TASKS:
            text = f"There are {MAX_TASKS} tasks, which is as many as there may be"
            return self._unchanged(command, "invalid_command", text)
        count = len(self.registry.tasks) + 1
        data = {"task_id": task.task_id, "task": self.told(task), "tasks": count}
        if task.symbol not in self.registry.collected(task.exchange):
            data["warning"] = f"{task.symbol} is not collected there: the task waits for it"
        answer = self._done(command, f"Task {task.task_id} added successfully", data)
        return Decision(TaskAdded(task=task), answer)

    def _remove_task(self, command: Command) -> Decision:
        task_id = command.task_id or ""
        if task_id not in self.registry.tasks:
            return self._unchanged(command, "task_not_found", f"Task {task_id} not found")
        data = {"task_id": task_id, "tasks": len(self.registry.tasks) - 1}
        answer = self._done(command, f"Task {task_id} removed successfully", data)
        return Decision(TaskRemoved(task_id=task_id), answer)

    def _switch(self, command: Command) -> Decision:
        venue, enabled = command.venue or "", command.name == "enable_exchange"
        name = self.registry.exchanges.get(venue, command.exchange_name or venue)
        is_so = venue in self.registry.exchanges and enabled == (
            venue not in self.registry.disabled
        )
        state = "enabled" if enabled else "disabled"
        exchanges = self.switches() | {name: enabled}
        data = {"exchange": name, "enabled": enabled, "exchanges": exchanges}
        if is_so:
            answer = self._done(command, f"Exchange {name} is {state} already", data)
            return Decision(NoChange(), answer)
        answer = self._done(command, f"Exchange {name} {state} successfully", data)
        return Decision(Switch(exchange=venue, name=name, enabled=enabled), answer)

    def of_one_host(self, command: Command) -> Answer:
        """The answer to a switch that changes nothing for others."""
        if (refused := self._refused(command)) is not None:
            return refused
        name = self.registry.exchanges[command.venue or ""]
        data = {"exchange": name, "enabled": False, "exchanges": self.switches()}
        return self._done(command, "", data)

    def _roll_back(self, command: Command) -> Decision:
        to, now = command.to or 0, self.registry.state_revision
        history = self.registry.history
        if not history.reaches(to, now):
            text = f"to: history goes from {history.earliest(now)} to {now}"
            return self._unchanged(command, "invalid_command", text)
        data: Answer = {"restored": to, "current_symbols": self._symbols_at(to)}
        op = NoChange() if to == now else Rollback(to=to)
        return Decision(op, self._done(command, f"Rolled back to state revision {to}", data))

    def _symbols_at(self, state_revision: int) -> list[str]:
        registry = self.registry
        return list(registry.history.back(registry.wishes(), state_revision).desired.symbols)

    def told(self, task: CollectionTask) -> dict[str, Any]:
        """A task as clients know it."""
        name = self.registry.exchanges.get(task.exchange, task.exchange)
        return task.model_dump(exclude_none=True) | {"exchange": name}

    def switches(self) -> dict[str, bool]:
        """By wire name: whether a venue is on."""
        registry = self.registry
        return {name: v not in registry.disabled for v, name in registry.exchanges.items()}

    def _unchanged(self, command: Command, code: str, message: str) -> Decision:
        return Decision(NoChange(), self._failure(command, code, message))

    def _foreign(self, command: Command) -> bool:
        return command.venue is not None and command.venue not in self.registry.exchanges

    def _foreign_venue(self, command: Command) -> Answer:
        known = ", ".join(self.registry.exchanges.values())
        text = f"exchange: {command.venue} is not collected; known are {known}"
        return self._failure(command, "invalid_command", text)

    def _wire_names(self, venue: str | None) -> list[str]:
        exchanges = self.registry.exchanges
        return list(exchanges.values()) if venue is None else [exchanges[venue]]

    def _done(self, command: Command, message: str, data: Answer) -> Answer:
        return success(command.name, command.correlation_id, message, data, self.now_s)

    def _failure(self, command: Command, code: str, message: str) -> Answer:
        return failure(command.name, command.correlation_id, code, message, self.now_s)
