# Copied from shared/status.py by scripts/wire.py: change that one.
"""What processes tell of themselves on `futures_status`."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from futures_fleet._wire.completeness import Gap
from futures_fleet._wire.messages import Milliseconds
from futures_fleet._wire.symbolset import Notice, Revision

#: How often a heartbeat is sent, and its size at most.
HEARTBEAT_S = 2.0
MAX_HEARTBEAT_BYTES = 4096


Count = Annotated[int, Field(ge=0, lt=2**53)]  # JSON's integers go no further
State = Literal["starting", "waiting", "running", "stopping"]


class Statistics(Notice):
    """FuturesData of one run, in the terms of the `get_statistics` command."""

    success: Count = 0  # symbol cycles that gave a valid message
    errors: Count = 0  # symbol cycles that did not
    published: Count = 0  # confirmed by the broker
    failed: Count = 0  # not taken by the broker


class Heartbeat(Notice):
    """`heartbeat.{role}.{exchange or -}.{worker}` every 2 s; at most 4 kB."""

    role: Literal["collector", "coordinator", "agent"]
    exchange: str | None  # wire name of the venue, null for a coordinator
    worker: str  # stable id, `binance-0@host`
    epoch: str  # this run, `{worker}/{start_ms}`; compared for equality only
    state: State
    sent_at: Milliseconds
    revision: Revision | None  # the registry's, as far as it was applied
    mailbox: str | None = None  # its queue on `futures_mailbox`; null: none just now
    egress: str | None = None  # of a collector, see `Peer.egress`
    statistics: Statistics = Statistics()
    details: dict[str, Any] = {}  # counters by kind, streams, symbols: for people and dashboards


def fitting(beat: Heartbeat) -> bytes:
    """A heartbeat as it is sent: of details that are too many the largest are left out, and named
    in `left_out`."""
    body = beat.model_dump_json().encode()
    details, left_out = dict(beat.details), list[str]()
    while len(body) > MAX_HEARTBEAT_BYTES and details:
        largest = max(details, key=lambda name: len(orjson.dumps(details[name], default=str)))
        del details[largest]
        left_out.append(largest)
        told = details | {"left_out": left_out}
        body = beat.model_copy(update={"details": told}).model_dump_json().encode()
    return body


class MarketList(Notice):
    """`markets.collector.{exchange}.{worker}`: every contract that a venue lists just now."""

    exchange: str  # wire name
    worker: str
    symbols: list[str]
    volumes: dict[
        str, float
    ] = {}  # quote currency of the last 24 hours, by symbol, as far as known
    methods: list[str] = []  # that can be asked of it, see `shared.requests`


#: A symbol's last trade: its id and venue time in ms, where known.
TradeMark = tuple[Annotated[str, Field(max_length=128)] | None, Milliseconds | None]


class Holdings(Notice):
    """`holdings.collector.{exchange}.{worker}`: what one of several workers of a venue has.

    Said when it changes and every 2 s. Whoever collects a symbol that is another's by now lets go
    once that one has it `whole`; whoever takes one up goes on from the newest mark it heard.
    """

    exchange: str
    worker: str
    epoch: str
    state: State  # stopping: it waits for the others to take up what it has, a few seconds
    revision: Revision | None
    collected: list[str]  # symbols whose streams it holds, desired or not yet let go
    live: list[str]  # those of them whose best prices and trades flow
    #: Those of them of which all flows and the book is right. None: an older worker, `live` counts.
    whole: list[str] | None = None
    marks: dict[str, TradeMark] = {}  # the last trade of each that is safe, by symbol
    gaps: list[Gap] = []  # open ones
