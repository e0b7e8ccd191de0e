"""Commands of the control API, as they are sent. Fields that are null are left out."""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from futures_fleet._wire.collection import TaskDelivery, TaskKind, TaskParameters
from futures_fleet._wire.endpoints import Endpoint

Name = Annotated[str, Field(min_length=1, max_length=255)]
Natural = Annotated[int, Field(ge=0)]
Limit = Annotated[int, Field(ge=1, le=200)]


class Command(BaseModel):
    """What all commands have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]

    #: Of the answer as well. The same command with the same id and timestamp is done once.
    correlation_id: Annotated[str, Field(max_length=255)] | None = None
    timestamp: Natural | None = None  # when it was sent, seconds of the Unix epoch


class Read(Command):
    """A command that changes nothing."""


class Write(Command):
    """A command that changes the registry."""

    #: Refuse the command, with `revision_conflict`, where the `state_revision` is another by now.
    expected_revision: Natural | None = None


class AddSymbol(Write):
    """Collect a symbol."""

    name = "add_symbol"
    symbol: Name  # `BTC/USDT:USDT`; or an entry that stands for many: `*/USDT:USDT`, `top:50`
    exchange: Name | None = None  # null: everywhere


class RemoveSymbol(Write):
    """Collect a symbol no more."""

    name = "remove_symbol"
    symbol: Name
    exchange: Name | None = None  # null: nowhere any more


class SetSymbols(Write):
    """Collect these symbols and no others."""

    name = "set_symbols"
    symbols: list[Name]
    exchange: Name | None = None


class GetSymbols(Read):
    """Which symbols are collected."""

    name = "get_symbols"
    exchange: Name | None = None


class GetStatistics(Read):
    """FuturesData of the whole fleet since its first start."""

    name = "get_statistics"


class AddTask(Write):
    """Collect something besides what each symbol implies."""

    name = "add_task"
    task_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None  # null: one is made
    exchange: Name
    symbol: Name
    kind: TaskKind
    interval: Annotated[float, Field(ge=0.1, le=86_400)]  # seconds
    parameters: TaskParameters | None = None
    priority: Annotated[int, Field(ge=1, le=9)] | None = None  # 1 goes first; 5 by default
    delivery: TaskDelivery | None = None  # `latest` by default
    sample_ms: Annotated[int, Field(ge=100, le=3_600_000)] | None = None  # of delivery `sampled`


class RemoveTask(Write):
    """End a task."""

    name = "remove_task"
    task_id: Name


class ListTasks(Read):
    """Tasks with their owners and states, in pages."""

    name = "list_tasks"
    exchange: Name | None = None
    symbol: Name | None = None
    kind: Name | None = None
    limit: Limit | None = None
    after: Name | None = None  # `next` of the page before


class EnableExchange(Write):
    """Collect a venue."""

    name = "enable_exchange"
    exchange: Name
    host: Name | None = None  # null: wherever it has workers; else start one there


class DisableExchange(Write):
    """Collect a venue no more."""

    name = "disable_exchange"
    exchange: Name
    host: Name | None = None


class GetWorkers(Read):
    """Who works, on what, and how far each is."""

    name = "get_workers"
    exchange: Name | None = None


class GetHistory(Read):
    """What was done to the registry, newest first."""

    name = "get_history"
    limit: Limit | None = None
    before: Natural | None = None  # only what came before this `state_revision`


class Rollback(Write):
    """Make symbols, tasks and switches what they were."""

    name = "rollback"
    to: Natural  # a `state_revision`


class RestartWorker(Command):
    """Have a worker's host restart it."""

    name = "restart_worker"
    worker: Name


class ReloadConfig(Command):
    """Have all processes look at their configuration."""

    name = "reload_config"
    host: Name | None = None  # those of this host alone


class TripBreaker(Command):
    """Have the collectors of a venue leave its REST alone."""

    name = "trip_breaker"
    exchange: Name
    endpoint: Endpoint | None = None  # null: all of it
    seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None  # null: until it is reset


class ResetBreaker(Command):
    """Have them ask it again, whatever has failed."""

    name = "reset_breaker"
    exchange: Name
    endpoint: Endpoint | None = None


COMMANDS: tuple[type[Command], ...] = (
    AddSymbol,
    RemoveSymbol,
    SetSymbols,
    GetSymbols,
    GetStatistics,
    AddTask,
    RemoveTask,
    ListTasks,
    EnableExchange,
    DisableExchange,
    GetWorkers,
    GetHistory,
    Rollback,
    RestartWorker,
    ReloadConfig,
    TripBreaker,
    ResetBreaker,
)


def fields_of(command: Command) -> dict[str, Any]:
    """What goes on the wire, as plain values."""
    return {"command": command.name} | command.model_dump(mode="json", exclude_none=True)
