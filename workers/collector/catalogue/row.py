"""What a row of the catalogue says of its venue."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NamedTuple

from shared.budget import RequestClass
from shared.limits import VenueLimits


class StreamKind(Enum):
    __hash__ = object.__hash__  # on the hot path; Enum's own is Python code, members are singletons

    QUOTE = "quote"
    TRADES = "trades"
    LIQUIDATIONS = "liquidations"
    CANDLES = "candles"
    BOOK = "book"


class Subscription(NamedTuple):
    """One stream of one symbol; candles have one a timeframe."""

    kind: StreamKind
    symbol: str
    timeframe: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value} {self.timeframe}".rstrip() + f" of {self.symbol}"


class Request(NamedTuple):
    """A REST request as ccxt knows it: its path, and what it weighs."""

    path: str
    cost: float


class Chain(Enum):
    """How an update of a book names the one before it, and so shows a hole."""

    PREVIOUS = "it carries the number of the update before"
    NEXT = "its number is the last one plus one"
    RANGE = "its first change is at most one after the last change"
    CHECKSUM = "as PREVIOUS where it carries that; else a checksum of the best levels tells"


@dataclass(frozen=True, slots=True)
class BookFeed:
    """The order book of a venue: what of it there is, and how it is checked.

    `snapshot` is the REST request whose answer a book starts from, None where the stream brings its
    own. `window` says that the venue keeps its updates inside `depth`;
    where it does not, levels beyond the snapshot's worst are unknown and are not kept.
    """

    depth: int  # levels a side that we keep and publish in full
    source: str  # of the depth
    chain: Chain
    checksum: bool = False
    snapshot: Request | None = None
    window: bool = True


@dataclass(frozen=True, slots=True)
class CandleFeed:
    """The candles of a venue.

    `contracts` says that their volume counts contracts, in frames and by REST as ccxt has it, not
    base currency. A minute without a trade has the candle that the venue gives it, or none: none is
    invented, and where others follow on it is told as missing. Where they are not `streamed`, REST
    is asked for each as it ends, and nothing is told of open ones.
    """

    page: int  # candles in one REST answer
    contracts: bool = False
    streamed: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """A ccxt method for one symbol; `listed` methods take it as a list of one."""

    method: str
    listed: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TradeFeed:
    """The trades of a venue: one id space for stream and REST.

    `dense` ids have no holes, so that a missing one shows. `pages` says whether REST gives trades
    older than its newest `limit`; `fetch_older_trades` of the venue's class asks for them.
    """

    ids: str  # what they are, and where stream and REST have them
    dense: bool
    limit: int  # trades of one REST answer, at most
    pages: bool
    reach: str  # how far REST goes back


@dataclass(frozen=True, slots=True)
class Stream:
    """How a stream is subscribed, and how the venue is told to end it. Candles are asked for with
    a `timeframe` besides.

    Unwatch arguments are stated, since ccxt's defaults differ between the two and the call
    succeeds all the same; that a venue really stops was checked on its side of the wire.
    """

    watch: Call
    unwatch: Call


@dataclass(frozen=True, slots=True)
class BulkCall:
    """A REST request of the cycle that serves all symbols, or one symbol where `per_symbol`.

    `reader` names the function of `workers.collector.readers` that reads its answer; it is
    repeated every `refresh_s` seconds, or with each cycle.
    """

    name: str  # in log lines: "Failed to fetch {name}"
    method: str
    reader: str
    per_symbol: bool = False
    refresh_s: float = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    request_class: RequestClass = RequestClass.LIVE
    subject: Literal["ticker", "funding"] | None = None  # whose interval of the config it keeps
    marks: bool = False  # whether mark prices come with it, and from nowhere else


@dataclass(frozen=True, slots=True)
class ServerTime:
    """Where a REST answer says what time it is at the venue: in a `field` of its body
    (milliseconds), or a `header` of the venue's own (microseconds), else in the header `Date`."""

    field: str | None = None
    header: str | None = None


@dataclass(frozen=True, slots=True)
class FundingHistory:
    """How far an answer of `fetch_funding_rate_history` reaches, asked with a start."""

    limit: int  # settlements an answer holds at most
    all_symbols: bool = False  # answers without a symbol: all of them, in the order of time


@dataclass(frozen=True, slots=True)
class Venue:
    """A row of the catalogue."""

    name: str
    module: str  # below workers.collector.venues
    class_name: str
    options: dict[str, Any]  # ccxt options
    urls: dict[str, Any]  # ccxt urls.api where the config names base addresses {rest} and {ws}
    streams: dict[StreamKind, Stream]
    bulk: tuple[BulkCall, ...]
    book: BookFeed
    candles: CandleFeed
    funding_history: FundingHistory
    limits: VenueLimits
    limit_source: str
    trades: TradeFeed
    server_time: ServerTime
    lacks: tuple[str, ...] = ()  # methods that ccxt has for other contracts than ours alone

    def snapshots_s(self, count: int) -> float:
        """How long the budget takes to let so many snapshots of books go."""
        if self.book.snapshot is None:
            return 0.0
        charges = self.limits.charges(*self.book.snapshot)
        return max(count * one.units / one.rule.limit().per_second for one in charges)


#: ccxt's websocket option: ms between pings; its own 30-180 s find a dead peer too late.
KEEP_ALIVE = {"keepAlive": 15_000}
