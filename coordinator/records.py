"""The records of the registry's log, as JSON; each carries a nonce by which its writer knows it."""

import secrets
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from shared.collection import CollectionTask
from shared.errors import DataProcessingError
from shared.messages import Message
from shared.symbolset import Peer

#: What this version of the coordinator writes and can read. Raised with every record or field that
#: an older one would misunderstand: that one then reads on, and leads no more.
FORMAT = 2

Symbols = list[str]
Venues = dict[str, str]  # wire name by canonical name


class NewerRecordError(DataProcessingError):
    """Raised for a record of a later version than ours."""


class Change(Message):
    """Symbols or entries added, removed or set, by a command."""

    op: Literal["add", "remove", "set"]
    symbols: Symbols
    exchange: str | None = None  # canonical name; null: the global list


class Switch(Message):
    """A venue switched on or off; one that the registry did not know is taken up."""

    op: Literal["switch"] = "switch"
    exchange: str
    name: str  # on the wire; without effect where the registry has fixed one
    enabled: bool


class TaskAdded(Message):
    """A collection task, which replaces none."""

    op: Literal["task"] = "task"
    task: CollectionTask


class TaskRemoved(Message):
    op: Literal["untask"] = "untask"
    task_id: str


class Members(Message):
    """Workers of a venue that begin or cease to share its symbols. Moves no `state_revision`."""

    op: Literal["members"] = "members"
    exchange: str
    joined: list[Peer] = []
    left: dict[str, str] = {}  # worker: why


class Listed(Message):
    """What the market list of a venue makes of the entries, and of symbols that it lacks."""

    op: Literal["listed"] = "listed"
    exchange: str
    expansions: dict[str, Symbols]  # by entry
    unlisted: Symbols  # desired by name, and not listed


class Rollback(Message):
    """What is desired becomes again what it was at an earlier state revision."""

    op: Literal["rollback"] = "rollback"
    to: int = Field(ge=0)


class NoChange(Message):
    """A command that was refused for the state it met; only its answer is remembered."""

    op: Literal["none"] = "none"


class Seed(Message):
    """The first state, from a configuration. Without effect on a registry that exists."""

    op: Literal["seed"] = "seed"
    registry: str
    symbols: Symbols
    exchanges: Venues


class ConfigChange(Message):
    """What a configuration adds to and removes from the one which the registry saw last."""

    op: Literal["config"] = "config"
    added: Symbols
    removed: Symbols
    exchanges: Venues  # new ones; names that are fixed stay
    seen: Symbols  # the configuration's whole list


Op = Annotated[
    Change
    | Switch
    | TaskAdded
    | TaskRemoved
    | Members
    | Listed
    | Rollback
    | NoChange
    | Seed
    | ConfigChange,
    Field(discriminator="op"),
]


class Given(Message):
    """A command's identity, and the answer to give again when it is repeated."""

    user: str | None  # the broker's `user_id` of the command, where it carried one
    id: str  # correlation id
    digest: str  # of the command's body
    answer: dict[str, Any]  # without its revision, which only the log knows


class Remembered(Message):
    """A finished answer inside a snapshot."""

    user: str | None
    id: str
    digest: str
    answer: str


class Undo(Message):
    """Each list that an operation changed, as it was before; what it left alone is null."""

    symbols: Symbols | None = None
    own: dict[str, Symbols] | None = None
    excluded: dict[str, Symbols] | None = None
    disabled: Symbols | None = None
    tasks: list[CollectionTask] | None = None


class Note(Message):
    """A line of the registry's history."""

    state_revision: int  # after it
    at: int  # seconds
    by: str | None  # the broker's user, `config`, or null where a command carried none
    coordinator: str  # which of them took it
    what: str  # the command, or what it was instead
    exchange: str | None = None  # canonical
    text: str
    undo: Undo | None = None  # null: it moved no state revision


class State(Message):
    """The whole registry, as a snapshot and the mirror carry it."""

    registry: str
    revision_offset: int | None  # null: the offset of the snapshot itself
    state_revision: int = Field(ge=0)
    exchanges: Venues
    symbols: Symbols
    own: dict[str, Symbols]
    excluded: dict[str, Symbols]
    config_symbols: Symbols
    applied: list[Remembered]
    disabled: Symbols = []  # venues
    tasks: list[CollectionTask] = []
    expansions: dict[str, dict[str, Symbols]] = {}  # by venue and entry
    unlisted: dict[str, Symbols] = {}  # by venue
    members: dict[str, list[Peer]] = {}  # by venue, in the order in which they joined
    owners: dict[str, dict[str, Symbols]] = {}  # by venue and worker
    history: list[Note] = []


def _nonce() -> str:
    return secrets.token_hex(8)


class Entry(Message):
    """What all records have."""

    nonce: str = Field(default_factory=_nonce)
    by: str  # the run of the coordinator which wrote it
    format: int = FORMAT


class Claim(Entry):
    """Whoever wrote the latest claim leads; the number of claims is the epoch."""

    type: Literal["claim"] = "claim"


class Fence(Entry):
    """Changes nothing; when its writer reads it back, it has read all that came before."""

    type: Literal["fence"] = "fence"


class Operation(Entry):
    """Takes effect only if its writer still leads, in the epoch in which it was decided."""

    type: Literal["operation"] = "operation"
    epoch: int
    op: Op
    given: Given | None = None
    at: int = 0  # seconds
    user: str | None = None  # whose command it was, as far as the broker vouches for that


class Snapshot(Entry):
    """The state at this point, for readers from whom retention took the beginning."""

    type: Literal["snapshot"] = "snapshot"
    epoch: int
    state: State


Record = Claim | Fence | Operation | Snapshot
_records: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="type")])


def decode(body: bytes) -> Record:
    """The record in a message of the log. Raises DataProcessingError, and its NewerRecordError
    where a later version of the coordinator wrote it."""
    try:
        record = _records.validate_json(body)
    except ValidationError as error:
        if _format(body) > FORMAT:
            raise NewerRecordError("a record of a later version") from None
        raise DataProcessingError(f"not a record: {error.errors()[0]['msg']}") from None
    if record.format > FORMAT:
        raise NewerRecordError("a record of a later version")
    return record


def _format(body: bytes) -> int:
    """As a record says it that we can not read otherwise."""
    try:
        said = orjson.loads(body).get("format")
    except (orjson.JSONDecodeError, AttributeError):
        return 0
    return said if isinstance(said, int) and not isinstance(said, bool) else 0


def encode(record: Record) -> bytes:
    return record.model_dump_json().encode()
