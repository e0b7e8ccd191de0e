"""What a venue's frames and bodies say, before it is checked: ids are the venue's own, sizes are
in whatever unit the venue counts (base currency or contracts)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from workers.collector.catalogue.row import StreamKind

#: What reading raises where a frame is not what the reader was written for.
MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

Level = Sequence[Any]
"""Price and size, as text or number; what a venue appends to them is ignored."""


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
    """One trade of a frame; or an order's `fills` at one price, whose numbers end with `id`."""

    market_id: str
    id: str
    price: float
    size: float
    side: str  # of the taker
    timestamp: int | None  # milliseconds
    fills: int = 1


class BookUpdate(NamedTuple):
    """A whole order book (`snapshot`), or the levels that changed; size 0 removes a level.

    `first` and `last` are the venue's numbers of the changes in it, `previous` the number of the
    update before: each where the venue gives it.
    """

    market_id: str
    snapshot: bool
    bids: Sequence[Level]
    asks: Sequence[Level]
    timestamp: int | None  # milliseconds
    last: int | None
    first: int | None = None
    previous: int | None = None
    checksum: int | None = None  # signed crc32 of the best 25 levels


class Unread(NamedTuple):
    """An update of an order book that could not be read."""

    market_id: str


class Candle(NamedTuple):
    """A candle as a frame has it. `closed` where the venue says whether it is final."""

    market_id: str
    timeframe: str
    start: int  # milliseconds
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool | None
    timestamp: int | None  # of the frame, milliseconds
    quote_volume: float | None = None  # quote currency, where the venue gives it


class Liquidated(NamedTuple):
    """A position that the venue closed by force."""

    market_id: str
    id: str | None
    price: float
    size: float
    side: str  # of the order that closed it: "sell" ended a long position
    timestamp: int | None  # milliseconds


class Summary(NamedTuple):
    """What a frame says of a symbol beyond its best prices: fields of `RestUpdate`."""

    market_id: str
    said: Mapping[str, Any]


class Settled(NamedTuple):
    """A funding rate that was settled."""

    symbol: str
    time: int  # milliseconds
    rate: float


class Acknowledged(NamedTuple):
    """The venue took a subscription."""

    market_id: str
    kind: StreamKind
    timeframe: str = ""


Event = Quote | Print | BookUpdate | Unread | Candle | Liquidated | Summary | Acknowledged


class Day(NamedTuple):
    """The last 24 hours; volumes in base and quote currency, percentage in percent."""

    open: float | None
    high: float | None
    low: float | None
    change: float | None
    percentage: float | None
    base_volume: float | None
    quote_volume: float | None


@dataclass(frozen=True, slots=True)
class RestUpdate:
    """What a REST body, or a frame, says about one symbol; None where it says nothing."""

    symbol: str
    bid: float | None = None
    ask: float | None = None
    last: float | None = None
    volume_24h: float | None = None
    funding_rate: float | None = None
    next_funding_time: int | None = None
    mark_price: float | None = None
    index_price: float | None = None
    day: Day | None = None
    funding_interval_h: float | None = None
    open_interest: float | None = None  # in the venue's unit of sizes
    open_interest_value: float | None = None  # quote currency
    timestamp: int | None = None  # the venue's, of funding rate or open interest
