"""What a venue's frames and bodies say, before it is checked: ids are the venue's own, sizes are
in whatever unit the venue counts (base currency or contracts)."""

from dataclasses import dataclass
from typing import NamedTuple


class Quote(NamedTuple):
    """Best bid and ask of one frame."""

    market_id: str
    bid: float
    ask: float
    bid_size: float | None
    ask_size: float | None
    last: float | None
    timestamp: int | None  # milliseconds


class Print(NamedTuple):
    """One trade of a frame."""

    market_id: str
    id: str
    price: float
    size: float
    side: str  # of the taker
    timestamp: int | None  # milliseconds


Event = Quote | Print


@dataclass(frozen=True, slots=True)
class RestUpdate:
    """What a REST body says about one symbol; None where it says nothing."""

    symbol: str
    bid: float | None = None
    ask: float | None = None
    last: float | None = None
    volume_24h: float | None = None
    funding_rate: float | None = None
    next_funding_time: int | None = None
    mark_price: float | None = None
