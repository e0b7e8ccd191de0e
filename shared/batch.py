"""Batches: many rows of one kind in one message on `futures_batches`.

A row is the single message's body with `key` and `seq` in front, cut from the very bytes that were
published: nothing is encoded twice.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.fact import Fact
from shared.kinds import FUTURES, Kind
from shared.messages import SCHEMA

#: A batch is sent at this size, or when its oldest row is this old.
MAX_BYTES = 256 * 1024
MAX_AGE_S = 0.1


@dataclass(slots=True)
class Batch:
    """Rows of one kind that wait to be sent together."""

    kind: Kind
    rows: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, row: bytes) -> None:
        self.rows.append(row)
        self.size += len(row) + 1

    @property
    def full(self) -> bool:
        return self.size >= MAX_BYTES

    def encode(self, exchange: str, worker: str, epoch: str) -> bytes:
        """The envelope around the rows, as JSON."""
        head = {
            "schema": SCHEMA,
            "kind": self.kind.name,
            "exchange": exchange,
            "worker": worker,
            "epoch": epoch,
        }
        return orjson.dumps(head)[:-1] + b',"rows":[' + b",".join(self.rows) + b"]}"


def encode_row(fact: Fact, headers: dict[str, Any]) -> bytes:
    """A row: key, `seq` and `received_at`, then all fields of the single message's body."""
    head = {"key": fact.key, "seq": headers["seq"]}
    if fact.kind is FUTURES:  # the one body without a field of that name
        head["received_at"] = fact.received_at
    return orjson.dumps(head)[:-1] + b"," + fact.body[1:]
