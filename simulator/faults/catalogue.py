"""All faults by their names."""

from simulator.faults.connection import Close, Cut, HalfOpen, Refuse
from simulator.faults.content import (
    CrossedBook,
    Garbage,
    PartialJson,
    UnknownSymbol,
    WrongChecksum,
)
from simulator.faults.fault import Fault
from simulator.faults.order import SwapDeltas
from simulator.faults.request import (
    Banned,
    InvalidBody,
    Maintenance,
    RateLimited,
    ServerErrors,
    SlowBody,
)
from simulator.faults.stream import (
    DropDelta,
    DropTrades,
    DuplicateDelta,
    DuplicateTrades,
    Silent,
    Stuck,
)
from simulator.faults.trading import Burst, ClockSkew, Delist, List

CONNECTIONS = (Cut, Close, HalfOpen, Refuse)
STREAMS = (Silent, Stuck, DropTrades, DuplicateTrades, Garbage, PartialJson, UnknownSymbol)
BOOKS = (DropDelta, DuplicateDelta, SwapDeltas, WrongChecksum, CrossedBook)
REQUESTS = (RateLimited, Banned, ServerErrors, Maintenance, SlowBody, InvalidBody)
MARKETS = (Burst, Delist, List, ClockSkew)

FAULTS: dict[str, type[Fault]] = {
    fault.name: fault for fault in (*CONNECTIONS, *STREAMS, *BOOKS, *REQUESTS, *MARKETS)
}
