"""The records of the registry's log, as JSON; each carries a nonce by which its writer knows it."""

import secrets
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from shared.errors import DataProcessingError
from shared.messages import Message

Symbols = list[str]
Venues = dict[str, str]  # wire name by canonical name


class Change(Message):
    """Symbols added, removed or set, by a command."""

    op: Literal["add", "remove", "set"]
    symbols: Symbols
    exchange: str | None = None  # canonical name; null: the global list


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


Op = Annotated[Change | NoChange | Seed | ConfigChange, Field(discriminator="op")]


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


def _nonce() -> str:
    return secrets.token_hex(8)


class Entry(Message):
    """What all records have."""

    nonce: str = Field(default_factory=_nonce)
    by: str  # the run of the coordinator which wrote it


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


class Snapshot(Entry):
    """The state at this point, for readers from whom retention took the beginning."""

    type: Literal["snapshot"] = "snapshot"
    epoch: int
    state: State


Record = Claim | Fence | Operation | Snapshot
_records: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="type")])


def decode(body: bytes) -> Record:
    """The record in a message of the log. Raises DataProcessingError."""
    try:
        return _records.validate_json(body)
    except ValidationError as error:
        raise DataProcessingError(f"not a record: {error.errors()[0]['msg']}") from None


def encode(record: Record) -> bytes:
    return record.model_dump_json().encode()
