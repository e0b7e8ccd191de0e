"""Control commands: from the bytes of a message to a command, or to the reason why it is none."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from coordinator.fields import Fields, shown
from shared.collection import CollectionTask
from shared.endpoints import Endpoint
from shared.orders import MAX_TRIP_S

MAX_BODY_BYTES = 64 * 1024

#: What changes the registry, what reads it, and what asks processes to do something.
WRITES = (
    "add_symbol",
    "remove_symbol",
    "set_symbols",
    "add_task",
    "remove_task",
    "enable_exchange",
    "disable_exchange",
    "rollback",
)
READS = ("get_symbols", "get_statistics", "list_tasks", "get_workers", "get_history")
ERRANDS = ("restart_worker", "reload_config", "trip_breaker", "reset_breaker")
COMMANDS = WRITES + READS + ERRANDS
#: With a `host` they are that host's, and change nothing of the registry but what it has to know.
SWITCHES = ("enable_exchange", "disable_exchange")


@dataclass(frozen=True, slots=True)
class Command:
    """A command whose fields are sound. Whether it can be done depends on the registry."""

    name: str
    correlation_id: str | None
    symbols: tuple[str, ...] = ()
    venue: str | None = None  # canonical
    expected_revision: int | None = None  # of the state
    exchange_name: str | None = None  # the venue as the client called it
    task: CollectionTask | None = None
    task_id: str | None = None
    worker: str | None = None
    host: str | None = None
    kind: str | None = None
    limit: int | None = None
    before: int | None = None
    after: str | None = None
    to: int | None = None
    endpoint: Endpoint | None = None
    seconds: float | None = None

    @property
    def writes(self) -> bool:
        return self.name in WRITES and self.host is None

    @property
    def is_errand(self) -> bool:
        """Whether an agent or collectors have to do it."""
        return self.name in ERRANDS or self.host is not None

    @property
    def symbol(self) -> str:
        return self.symbols[0]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that is answered with an error, whatever the registry holds."""

    code: Literal["invalid_json", "invalid_command", "unknown_command", "unauthorized"]
    message: str
    correlation_id: str | None
    name: str | None = None  # the command, as the client wrote it
    known: bool = False  # whether `name` is a command of ours


def parse(body: bytes, property_id: str | None = None) -> Command | Refusal:
    """`property_id` is the correlation id of the AMQP message, for bodies without one."""
    property_id = property_id or None
    if len(body) > MAX_BODY_BYTES:
        size = f"the body has {len(body)} bytes, more than {MAX_BODY_BYTES}"
        return Refusal("invalid_command", size, property_id)
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Refusal("invalid_json", f"The body is not JSON: {error}", property_id)
    if not isinstance(content, dict):
        return Refusal("invalid_command", "The body is not a JSON object", property_id)
    return _command(content, property_id)


def _command(content: dict[str, Any], property_id: str | None) -> Command | Refusal:
    fields = Fields(content)
    correlation_id = fields.correlation_id() or property_id
    name = content.get("command")
    if not isinstance(name, str):
        reason = "is missing" if name is None else "is not a string"
        return Refusal("invalid_command", f"command: {reason}", correlation_id)
    if name not in COMMANDS:
        text = f"Unknown command {shown(name)}; known are {', '.join(COMMANDS)}"
        return Refusal("unknown_command", text, correlation_id, shown(name))
    fields.check_timestamp()
    command = _READERS[name](fields, Command(name, correlation_id))
    if name in WRITES:
        command = replace(command, expected_revision=fields.natural("expected_revision"))
    if fields.wrong:
        text = "; ".join(fields.wrong)
        return Refusal("invalid_command", text, correlation_id, name, known=True)
    return command


def _symbol(fields: Fields, command: Command) -> Command:
    return replace(command, symbols=fields.symbol(entries=True), venue=fields.venue())


def _symbols(fields: Fields, command: Command) -> Command:
    return replace(command, symbols=fields.symbol_list(), venue=fields.venue())


def _venue(fields: Fields, command: Command) -> Command:
    return replace(command, venue=fields.venue())


def _switch(fields: Fields, command: Command) -> Command:
    return replace(
        command,
        venue=fields.venue(needed=True),
        exchange_name=fields.exchange_name(),
        host=fields.text("host"),
    )


def _task(fields: Fields, command: Command) -> Command:
    task = fields.task()
    return replace(command, task=task, venue=task.exchange if task else None)


def _task_id(fields: Fields, command: Command) -> Command:
    return replace(command, task_id=fields.text("task_id", needed=True))


def _task_list(fields: Fields, command: Command) -> Command:
    return replace(
        command,
        venue=fields.venue(),
        symbols=fields.symbol(needed=False),
        kind=fields.text("kind"),
        limit=fields.limit(),
        after=fields.text("after"),
    )


def _history(fields: Fields, command: Command) -> Command:
    return replace(command, limit=fields.limit(), before=fields.natural("before"))


def _rollback(fields: Fields, command: Command) -> Command:
    return replace(command, to=fields.natural("to", needed=True))


def _worker(fields: Fields, command: Command) -> Command:
    return replace(command, worker=fields.text("worker", needed=True))


def _host(fields: Fields, command: Command) -> Command:
    return replace(command, host=fields.text("host"))


def _breaker(fields: Fields, command: Command) -> Command:
    trips = command.name == "trip_breaker"
    return replace(
        command,
        venue=fields.venue(needed=True),
        endpoint=fields.endpoint(),
        seconds=fields.seconds("seconds", MAX_TRIP_S) if trips else None,
    )


def _nothing(_: Fields, command: Command) -> Command:
    return command


_READERS: dict[str, Callable[[Fields, Command], Command]] = {
    "add_symbol": _symbol,
    "remove_symbol": _symbol,
    "set_symbols": _symbols,
    "get_symbols": _venue,
    "get_statistics": _nothing,
    "add_task": _task,
    "remove_task": _task_id,
    "list_tasks": _task_list,
    "enable_exchange": _switch,
    "disable_exchange": _switch,
    "get_workers": _venue,
    "get_history": _history,
    "rollback": _rollback,
    "restart_worker": _worker,
    "reload_config": _host,
    "trip_breaker": _breaker,
    "reset_breaker": _breaker,
}
