# Copied from shared/completeness.py by scripts/wire.py: change that one.
"""What is said of completeness: where a stream was broken, and where it was not.

Completeness is positive evidence. Only what `Coverage` rows span is complete, the rest is unknown;
a `Gap` speaks for one stretch of one worker's run.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from futures_fleet._wire.messages import Message, Milliseconds
from futures_fleet._wire.symbolset import Revision

GapState = Literal["open", "repaired", "unrepairable"]


class Gap(Message):
    """A stretch in which continuity of a stream is not proven (kind `gap`).

    One message per change: `rev` counts them, and the highest of an `id` holds. `repaired`: all of
    it was brought back, which is proven; `unrepairable`: what the venue could still give was, and
    the rest is gone; `open`: being worked on.
    """

    id: str
    rev: int = Field(ge=1)
    exchange: str
    symbol: str
    kind: str  # whose: trades, orderbook, ticker, ...
    timeframe: str | None = None  # of candles
    state: GapState
    reason: str
    opened_at: Milliseconds  # our clock
    closed_at: Milliseconds | None = None
    last_key: str | None  # the last thing before the gap: trade id, update id, start of a candle
    last_time: Milliseconds | None  # its venue time; of the subscription, where nothing came before
    first_key: str | None = None  # the first thing after it
    first_time: Milliseconds | None = None
    missing: int | None = None  # how many are gone for good; null: unknown, or none can be counted
    recovered: int = 0  # how many were brought back
    absent: int = 0  # numbers in between that the venue never gave to anything
    worker: str
    epoch: str


class Coverage(Message):
    """What a worker had without a break (kind `coverage`): all its symbols but the exceptions.

    Said each ten seconds; `until` grows while nothing changes. A symbol that stands among the
    exceptions is complete in that time only if all of its gaps in it were repaired.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    exchange: str
    kind: str
    worker: str
    epoch: str
    begin: Milliseconds = Field(alias="from")  # our clock
    until: Milliseconds
    revision: Revision | None  # of the registry: which symbols are meant
    symbols: int  # how many
    exceptions: dict[str, str]  # symbol: why
