"""A fact: what the collector hands to the outbox, encoded once."""

from dataclasses import dataclass

from shared.kinds import Kind


@dataclass(frozen=True, slots=True)
class Fact:
    """An encoded message of one kind about one symbol; `key` as in the table of kinds.

    `tail` is the last word of its routing key, for kinds that have one: a candle's timeframe. What
    is about no single symbol (`coverage`) has an empty symbol and only a tail.
    """

    kind: Kind
    symbol: str
    body: bytes  # a JSON object, not empty
    received_at: int  # milliseconds, our clock
    key: str | None = None
    tail: str = ""
