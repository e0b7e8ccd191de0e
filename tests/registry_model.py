"""The registry as one would keep it on paper: a model that is too simple to be wrong, and commands
to try it with."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any

from coordinator.records import Operation, Record
from coordinator.registry import Registry, Verdict
from shared.venues import canonical_venue
from tests.coordinators import EXCHANGES

Command = dict[str, Any]

#: Few, so that commands meet each other.
SYMBOLS = tuple(f"T{number}/USDT:USDT" for number in range(12))
TASKS = tuple(f"task-{number}" for number in range(6))
_WEIGHTS = {
    "add_symbol": 35,
    "remove_symbol": 22,
    "set_symbols": 8,
    "add_task": 12,
    "remove_task": 9,
    "enable_exchange": 7,
    "disable_exchange": 7,
}


@dataclass
class Wishes:
    """What commands may change; venues by their canonical names."""

    symbols: list[str] = field(default_factory=list)
    own: dict[str, list[str]] = field(default_factory=dict)
    excluded: dict[str, list[str]] = field(default_factory=dict)
    disabled: list[str] = field(default_factory=list)
    tasks: dict[str, Command] = field(default_factory=dict)

    def effective(self, venue: str) -> list[str]:
        wanted = dict.fromkeys(self.symbols + self.own.get(venue, []))
        return [symbol for symbol in wanted if symbol not in self.excluded.get(venue, [])]

    def current(self, venue: str | None) -> list[str]:
        return list(self.symbols) if venue is None else self.effective(venue)

    def tidy(self) -> "Wishes":
        """Without empty lists, which mean nothing."""
        self.own = {venue: some for venue, some in self.own.items() if some}
        self.excluded = {venue: some for venue, some in self.excluded.items() if some}
        return self


class Model:
    """Takes commands one after the other; begins as a seed leaves the registry."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self.now = Wishes(list(symbols))
        self.state_revision = 1
        self._past = {0: Wishes(), 1: deepcopy(self.now)}

    def take(self, command: Command) -> str | None:
        """Do it; the error code where it is refused, which changes nothing."""
        before = deepcopy(self.now)
        error = self._do(command)
        assert error is None or self.now == before
        if self.now.tidy() != before:
            self.state_revision += 1
            self._past[self.state_revision] = deepcopy(self.now)
        return error

    def _do(self, command: Command) -> str | None:
        venue = canonical_venue(command["exchange"]) if command.get("exchange") else None
        match command["command"]:
            case "add_symbol":
                return self._add(command["symbol"], venue)
            case "remove_symbol":
                return self._remove(command["symbol"], venue)
            case "set_symbols":
                self._set(command["symbols"], venue)
            case "add_task":
                return self._add_task(command)
            case "remove_task":
                return self._remove_task(command["task_id"])
            case "rollback":
                return self._roll_back(command["to"])
            case name:
                self._switch(str(venue), enabled=name == "enable_exchange")
        return None

    def _add(self, symbol: str, venue: str | None) -> str | None:
        if symbol in self.now.current(venue):
            return "duplicate_symbol"
        if venue is None:
            self.now.symbols.append(symbol)
            return None
        if symbol not in self.now.symbols:
            self.now.own.setdefault(venue, []).append(symbol)
        if symbol in self.now.excluded.get(venue, []):
            self.now.excluded[venue].remove(symbol)
        return None

    def _remove(self, symbol: str, venue: str | None) -> str | None:
        if symbol not in self.now.current(venue):
            return "symbol_not_found"
        if venue is None:
            self.now.symbols.remove(symbol)
            return None
        if symbol in self.now.own.get(venue, []):
            self.now.own[venue].remove(symbol)
        if symbol in self.now.symbols:
            self.now.excluded.setdefault(venue, []).append(symbol)
        return None

    def _set(self, symbols: list[str], venue: str | None) -> None:
        if venue is None:
            self.now.symbols = list(symbols)
            return
        inherited = self.now.symbols
        self.now.own[venue] = [symbol for symbol in symbols if symbol not in inherited]
        self.now.excluded[venue] = [symbol for symbol in inherited if symbol not in symbols]

    def _add_task(self, command: Command) -> str | None:
        if command["task_id"] in self.now.tasks:
            return "duplicate_task"
        self.now.tasks[command["task_id"]] = task_of(command)
        return None

    def _remove_task(self, task_id: str) -> str | None:
        return None if self.now.tasks.pop(task_id, None) else "task_not_found"

    def _switch(self, venue: str, enabled: bool) -> None:
        is_enabled = venue not in self.now.disabled
        if is_enabled and not enabled:
            self.now.disabled.append(venue)
        elif enabled and not is_enabled:
            self.now.disabled.remove(venue)

    def _roll_back(self, to: int) -> str | None:
        if to > self.state_revision:
            return "invalid_command"
        self.now = deepcopy(self._past[to])
        return None


def task_of(command: Command) -> Command:
    """What matters of a task, as both sides tell it."""
    fields = ("task_id", "symbol", "kind", "interval")
    return {"exchange": canonical_venue(command["exchange"])} | {f: command[f] for f in fields}


def wishes_of(registry: Registry) -> Wishes:
    """What the coordinator's own fold came to, in the words of the model."""
    desired = registry.desired
    return Wishes(
        symbols=list(desired.symbols),
        own={venue: list(symbols) for venue, symbols in desired.own.items()},
        excluded={venue: list(symbols) for venue, symbols in desired.excluded.items()},
        disabled=list(registry.disabled),
        tasks={task.task_id: task_of(task.model_dump()) for task in registry.tasks.values()},
    ).tidy()


def mixed(random: Random, number: int, *, rollbacks: bool = False) -> Command:
    """A command of a mix that meets itself often. Its correlation id is of the number."""
    weights = _WEIGHTS | ({"rollback": 5} if rollbacks else {})
    name = random.choices(list(weights), list(weights.values()))[0]
    command: Command = {"command": name, "correlation_id": f"c{number}"}
    exchange = random.choice((None, None, *EXCHANGES))
    match name:
        case "add_symbol" | "remove_symbol":
            command["symbol"] = random.choice(SYMBOLS)
        case "set_symbols":
            command["symbols"] = random.sample(SYMBOLS, random.randrange(len(SYMBOLS)))
        case "add_task":
            command |= {"task_id": random.choice(TASKS), "symbol": random.choice(SYMBOLS)}
            command |= {"kind": random.choice(("ticker", "trades", "funding"))}
            command |= {"interval": random.choice((1.0, 5.5, 60.0))}
        case "remove_task":
            return command | {"task_id": random.choice(TASKS)}
        case "rollback":
            return command | {"to": random.randrange(8)}
    if name.endswith(("task", "exchange")):
        exchange = random.choice(EXCHANGES)
    return command | ({"exchange": exchange} if exchange else {})


@dataclass
class Account:
    """What a log says: how often each command took effect, and how it has to be answered."""

    registry: Registry = field(default_factory=Registry)
    effects: dict[str, int] = field(default_factory=dict)
    errors: dict[str, str | None] = field(default_factory=dict)
    current: dict[str, list[str]] = field(default_factory=dict)  # symbols, after commands on those


def accounted(
    records: list[tuple[int, Record]], commands: dict[str, Command], model: Model
) -> Account:
    """Fold a log whose commands are `commands`, by correlation id; after each record the registry
    is the model's."""
    account = Account()
    for offset, record in records:
        verdict = account.registry.fold(offset, record)
        given = record.given if isinstance(record, Operation) else None
        if verdict is Verdict.APPLIED and given is not None:
            _take(account, given.id, commands[given.id], model)
        if account.registry.seeded:
            assert wishes_of(account.registry) == model.now, f"after {record} at {offset}"
            assert account.registry.state_revision == model.state_revision, record
    return account


def _take(account: Account, id_: str, command: Command, model: Model) -> None:
    account.effects[id_] = account.effects.get(id_, 0) + 1
    account.errors[id_] = model.take(command)
    if command["command"].endswith(("symbol", "symbols")):
        venue = canonical_venue(command["exchange"]) if command.get("exchange") else None
        account.current[id_] = model.now.current(venue)


def check_answer(account: Account, id_: str, answer: Command) -> None:
    """An answer says what became of its command."""
    assert answer["success"] is (account.errors[id_] is None), answer
    assert answer.get("error") == account.errors[id_], answer
    if answer["success"] and id_ in account.current:
        assert answer["data"]["current_symbols"] == account.current[id_], answer
