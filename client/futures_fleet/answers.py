"""What the fleet answers: `data` of each command, as plain dictionaries with named fields.

Answers of a newer fleet may have more fields than stand here.
"""

from dataclasses import dataclass
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

TaskState = Literal["pending", "running", "failing"]
WorkerState = Literal["starting", "waiting", "running", "stopping", "suspect", "gone"]


@dataclass(frozen=True, slots=True)
class State:
    """What is desired, and the revision to expect when it is changed."""

    symbols: tuple[str, ...]
    state_revision: int


class RevisionData(TypedDict):
    """A point in the registry's log."""

    registry: str  # id of the registry
    epoch: int
    offset: int


class Revised(TypedDict):
    """What answers of the registry have."""

    revision: NotRequired[RevisionData | None]
    state_revision: NotRequired[int]  # +1 with each change of symbols, tasks and venues


class SymbolAdded(Revised):
    symbol: str
    current_symbols: list[str]  # in the order in which they were added
    listed_on: NotRequired[list[str]]  # exchanges
    not_listed_on: NotRequired[list[str]]
    means: NotRequired[dict[str, int]]  # of an entry: how many symbols it is, by exchange
    warning: NotRequired[str]


class SymbolRemoved(Revised):
    symbol: str
    current_symbols: list[str]


class SymbolsSet(Revised):
    current_symbols: list[str]
    count: int


class Symbols(Revised):
    symbols: list[str]
    count: int


class Statistics(TypedDict):
    """FuturesData of the whole fleet; no number ever falls."""

    exchange_success: dict[str, int]
    exchange_errors: dict[str, int]
    rabbitmq_published: int
    rabbitmq_failed: int
    workers: NotRequired[int]


class Task(TypedDict):
    """A collection task, with `owner` and `state` where it was listed."""

    task_id: str
    exchange: str
    symbol: str
    kind: str
    interval: float  # seconds
    priority: int
    delivery: str
    parameters: NotRequired[dict[str, Any]]
    sample_ms: NotRequired[int | None]
    owner: NotRequired[str | None]  # the worker that does it
    state: NotRequired[TaskState]
    reason: NotRequired[str]  # why it fails


class TaskAdded(Revised):
    task_id: str
    task: Task
    tasks: int  # how many there are now
    warning: NotRequired[str]


class TaskRemoved(Revised):
    task_id: str
    tasks: int


class Tasks(Revised):
    tasks: list[Task]
    count: int
    next: str | None  # what the next page begins `after`


class ExchangeSwitched(Revised):
    exchange: str
    enabled: bool
    exchanges: NotRequired[dict[str, bool]]  # whether each is on
    host: NotRequired[str]
    errand: NotRequired[str]


class Worker(TypedDict):
    """A collector; what is null is not known."""

    worker: str
    role: str
    exchange: str
    host: str
    egress: str | None
    epoch: str | None  # its run
    state: WorkerState
    member: bool  # whether it shares its venue's symbols
    revision: RevisionData | None  # what it has applied
    assigned: int  # how many symbols it shall collect
    collected: int | None  # whose streams it holds
    live: int | None  # of those, how many flow
    lag: float | None  # for how long it lives by an older revision, seconds
    age_s: float | None  # since its last heartbeat


class VenueSymbols(TypedDict):
    enabled: bool
    desired: int
    assigned: int
    live: int
    unlisted: list[str]  # asked for by name, and not listed
    methods: NotRequired[list[str]]  # that `execute_request` can ask of it
    each: NotRequired[dict[str, Any]]  # owner of each symbol and who has it live


class Workers(Revised):
    workers: list[Worker]
    agents: list[dict[str, Any]]
    coordinators: list[dict[str, Any]]
    symbols: dict[str, VenueSymbols]  # by exchange


class Event(TypedDict):
    """A line of the registry's history."""

    state_revision: int  # after it
    at: int  # seconds of the Unix epoch
    by: str | None  # the broker's user
    coordinator: str  # which of them did it
    command: str  # or what it was instead
    exchange: str | None
    text: str


class History(Revised):
    history: list[Event]  # the latest first
    count: int
    earliest: int  # the first state revision that can be gone back to


class RolledBack(Revised):
    restored: int  # the state revision that was gone back to
    current_symbols: list[str]


class WorkerRestarted(Revised):
    worker: str
    host: str
    errand: str


class ConfigReloaded(Revised):
    hosts: list[str]
    errand: str  # of each host's agent: what became of it stands in `get_workers`


class BreakerOrdered(TypedDict):
    exchange: str
    endpoint: str | None  # null: all of its REST
    workers: list[str]  # that were told


#: The `data` of each command's answer.
DATA: dict[str, Any] = {
    "add_symbol": SymbolAdded,
    "remove_symbol": SymbolRemoved,
    "set_symbols": SymbolsSet,
    "get_symbols": Symbols,
    "get_statistics": Statistics,
    "add_task": TaskAdded,
    "remove_task": TaskRemoved,
    "list_tasks": Tasks,
    "enable_exchange": ExchangeSwitched,
    "disable_exchange": ExchangeSwitched,
    "get_workers": Workers,
    "get_history": History,
    "rollback": RolledBack,
    "restart_worker": WorkerRestarted,
    "reload_config": ConfigReloaded,
    "trip_breaker": BreakerOrdered,
    "reset_breaker": BreakerOrdered,
}
