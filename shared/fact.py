"""A fact: what the collector hands to the outbox, encoded once."""

from dataclasses import dataclass

from shared.kinds import Kind


@dataclass(frozen=True, slots=True)
class Fact:
    """An encoded message of one kind about one symbol; `key` as in the table of kinds."""

    kind: Kind
    symbol: str
    body: bytes  # a JSON object, not empty
    received_at: int  # milliseconds, our clock
    key: str | None = None
