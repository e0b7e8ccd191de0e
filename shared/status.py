"""What processes tell of themselves on `futures_status`."""

from typing import Any, Literal

from pydantic import Field

from shared.messages import Message, Milliseconds
from shared.symbolset import Revision

#: How often a heartbeat is sent, and its size at most.
HEARTBEAT_S = 2.0
MAX_HEARTBEAT_BYTES = 4096


State = Literal["starting", "waiting", "running", "stopping"]


class Statistics(Message):
    """FuturesData of one run, in the terms of the `get_statistics` command."""

    success: int = Field(default=0, ge=0)  # symbol cycles that gave a valid message
    errors: int = Field(default=0, ge=0)  # symbol cycles that did not
    published: int = Field(default=0, ge=0)  # confirmed by the broker
    failed: int = Field(default=0, ge=0)  # not taken by the broker


class Heartbeat(Message):
    """`heartbeat.{role}.{exchange or -}.{worker}` every 2 s; at most 4 kB."""

    role: Literal["collector", "coordinator"]
    exchange: str | None  # wire name of the venue, null for a coordinator
    worker: str  # stable id, `binance-0@host`
    epoch: str  # this run, `{worker}/{start_ms}`; compared for equality only
    state: State
    sent_at: Milliseconds
    revision: Revision | None  # the registry's, as far as it was applied
    statistics: Statistics = Statistics()
    details: dict[str, Any] = {}  # counters by kind, streams, symbols: for people and dashboards


class MarketList(Message):
    """`markets.collector.{exchange}.{worker}`: every contract that a venue lists just now."""

    exchange: str  # wire name
    worker: str
    symbols: list[str]
