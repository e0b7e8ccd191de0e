# Copied from shared/messages.py by scripts/wire.py: change that one.
"""The messages on the wire: frozen models, each field with its meaning and unit.

`FuturesData`, `TickerData` and `OrderbookData` have exactly the fields that users were promised;
whatever the fleet adds stands in `extra`. Prices are in the quote currency, sizes in the base
currency (contracts × contract size), times integer milliseconds of the Unix epoch, UTC.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from futures_fleet._wire.timeframes import TIMEFRAMES_MS, Timeframe

#: Version of every body; raised when a field changes its meaning or goes.
SCHEMA = 1

Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(allow_inf_nan=False)]
Milliseconds = Annotated[int, Field(gt=0, lt=2**53)]  # JSON's integers go no further


class Message(BaseModel):
    """Frozen, and closed: an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TickerData(Message):
    """Best prices and the last trade's price."""

    bid: Price  # best buy price; bid and ask come from one and the same frame
    ask: Price  # best sell price
    last: Price  # price of the latest trade, of stream or REST, whichever is newer
    volume_24h: Size | None = None  # base currency, rolling 24 hours

    @model_validator(mode="after")
    def _not_crossed(self) -> "TickerData":
        if self.bid > self.ask:
            raise ValueError(f"bid {self.bid} is above ask {self.ask}")
        return self


class OrderbookData(Message):
    """An order book, best level first on both sides."""

    bids: list[list[float]]  # [[price, size], ...], price falling
    asks: list[list[float]]  # [[price, size], ...], price rising
    timestamp: Milliseconds  # the venue's, else our receive time (the message's `extra` says so)

    @model_validator(mode="after")
    def _sound(self) -> "OrderbookData":
        if not self.bids or not self.asks:
            raise ValueError("an order book with an empty side")
        _check_sides(self.bids, self.asks)
        return self


class FuturesData(Message):
    """All that is known of one contract at one point of the wall-clock grid."""

    exchange: str
    symbol: str  # ccxt's unified form, BTC/USDT:USDT
    timestamp: Milliseconds  # when this message was assembled
    ticker: TickerData
    orderbook: OrderbookData
    funding_rate: Ratio | None  # of the current interval, as a fraction; null: unknown or too old
    next_funding_time: Milliseconds | None  # the next settlement
    mark_price: Price | None
    extra: dict[str, Any] | None = None  # ages of the parts in ms, sources of times


class Trade(Message):
    """One trade (kind `trades`)."""

    exchange: str
    symbol: str
    id: str = Field(min_length=1, max_length=128)  # in the venue's own id space
    price: Price
    amount: Annotated[float, Field(gt=0, allow_inf_nan=False)]  # base currency
    side: Literal["buy", "sell"]  # of the taker
    timestamp: Milliseconds | None  # the venue's trade time
    received_at: Milliseconds  # our clock, when the frame was read
    source: Literal["stream", "backfill"] = "stream"  # backfill: asked for by REST after a gap
    fills: int = Field(default=1, ge=1)  # executions that it stands for: their ids end with `id`
    large: bool = False  # its notional reaches the symbol's threshold, `collection.large_trade`


class BestPrices(Message):
    """The part of a ticker that each quote renews: best bid and ask, both of one frame."""

    exchange: str
    symbol: str
    bid: Price
    ask: Price
    bid_size: Size | None  # base currency
    ask_size: Size | None
    last: Price | None  # of the latest trade, of stream or REST, whichever is newer
    timestamp: Milliseconds | None  # the venue's, of bid and ask
    received_at: Milliseconds

    @model_validator(mode="after")
    def _not_crossed(self) -> "BestPrices":
        if self.bid > self.ask:
            raise ValueError(f"bid {self.bid} is above ask {self.ask}")
        return self


class Overview(Message):
    """The part of a ticker that moves slowly; null: not known (yet), or the venue has none."""

    open: Price | None = None  # 24 hours ago, as high … quote_volume are of the last 24 hours
    high: Price | None = None
    low: Price | None = None
    change: Ratio | None = None  # last - open, quote currency
    percentage: Ratio | None = None  # change / open, in percent
    base_volume: Size | None = None  # base currency
    quote_volume: Size | None = None  # quote currency
    mark_price: Price | None = None  # null when too old, too
    index_price: Price | None = None
    stats_at: Milliseconds | None = None  # our clock: when the values of 24 hours were asked for


class Ticker(Overview, BestPrices):
    """Best bid and ask, and what is known besides (kind `ticker`)."""


class OpenInterest(Message):
    """Contracts that are open, counted once and not on both sides (kind `open_interest`)."""

    exchange: str
    symbol: str
    amount: Size  # base currency
    value: Size | None  # quote currency, where the venue states it
    timestamp: Milliseconds | None  # the venue's
    received_at: Milliseconds


class PredictedFunding(Message):
    """The rate that will be settled as it looks now (kind `funding`)."""

    exchange: str
    symbol: str
    settled: Literal[False] = False
    rate: Ratio  # a fraction of the position's value: 0.0001 is 0.01 %
    next_funding_time: Milliseconds | None
    interval_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    mark_price: Price | None  # null: unknown or too old
    index_price: Price | None
    timestamp: Milliseconds | None  # the venue's, of the rate
    received_at: Milliseconds


class SettledFunding(Message):
    """A rate that was settled (kind `funding`). It never changes."""

    exchange: str
    symbol: str
    settled: Literal[True] = True
    rate: Ratio  # a fraction of the position's value
    funding_time: Milliseconds  # as the venue states it
    received_at: Milliseconds
    source: Literal["rest", "backfill"]  # backfill: heard of long after it was settled


class Liquidation(Message):
    """A position, or a part of it, that the venue closed by force (kind `liquidation`)."""

    exchange: str
    symbol: str
    id: str = Field(min_length=1, max_length=128)  # the venue's, else a digest of the rest
    price: Price
    amount: Annotated[float, Field(gt=0, allow_inf_nan=False)]  # base currency
    side: Literal["buy", "sell"]  # of the closing order: "sell" ended a long position
    timestamp: Milliseconds | None  # the venue's
    received_at: Milliseconds


class Orderbook(Message):
    """The top of an order book (kind `orderbook`), best level first on both sides.

    Only books that are known to be right are published. A side may be empty; bid and ask may be
    equal (a locked market), never crossed.
    """

    exchange: str
    symbol: str
    bids: list[list[float]]  # [[price, size], ...]
    asks: list[list[float]]
    spread: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None  # null: a side is empty
    mid: Price | None
    imbalance: Ratio | None  # (bids - asks) / (bids + asks), over the sizes of the levels above
    #: Size on the bid and ask side within so many basis points of mid, by "5", "10", "25", "50";
    #: null where the book is not known that far out.
    depth: dict[str, list[Size | None]] | None
    update_id: int | None  # the venue's sequence number of the last change, where it has one
    timestamp: Milliseconds | None  # the venue's
    received_at: Milliseconds
    source: Literal["stream", "rest"] = "stream"  # rest: a bridge while the stream is silent

    @model_validator(mode="after")
    def _sound(self) -> "Orderbook":
        _check_sides(self.bids, self.asks)
        return self


class Ohlcv(Message):
    """A candle (kind `ohlcv`): closed ones each once, and again where the venue corrects them; the
    one that is still open about once a second."""

    exchange: str
    symbol: str
    timeframe: Timeframe
    start: Milliseconds
    end: Milliseconds  # exclusive: the start of the next candle
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Size  # base currency
    quote_volume: Size | None  # quote currency, where the venue gives it
    closed: bool  # true: final, unless a message with a higher `rev` follows
    rev: Annotated[int, Field(ge=0)] = 0  # +1 with each correction of a closed candle
    source: Literal["stream", "backfill"] = "stream"  # backfill: asked for by REST
    timestamp: Milliseconds | None  # the venue's, of the frame; null: by REST
    received_at: Milliseconds

    @model_validator(mode="after")
    def _sound(self) -> "Ohlcv":
        if self.end - self.start != TIMEFRAMES_MS[self.timeframe]:
            raise ValueError(f"a candle of {self.timeframe} from {self.start} to {self.end}")
        if not self.low <= min(self.open, self.close):
            raise ValueError(f"low {self.low} is above open {self.open} or close {self.close}")
        if not self.high >= max(self.open, self.close):
            raise ValueError(f"high {self.high} is below open {self.open} or close {self.close}")
        if self.rev and not self.closed:
            raise ValueError("an open candle has no revisions")
        return self


class TaskResult(Message):
    """What a collection task gave at one of its points (kind `task`)."""

    exchange: str
    symbol: str
    task_id: str
    kind: Literal["ticker", "orderbook", "trades", "ohlcv", "funding", "open_interest"]
    interval: Annotated[float, Field(gt=0, allow_inf_nan=False)]  # seconds, as the task has it
    at: Milliseconds  # our clock, when it was put together; how old `data` is stands in it
    #: stream: what the venue pushed; rest: what it was asked; cache: the last that was heard of it.
    source: Literal["stream", "rest", "cache"]
    #: Older rows that came since the last result and are beyond the task's `limit`.
    skipped: Annotated[int, Field(ge=0)] = 0
    #: A message of the kind; of `trades` and `ohlcv` the rows that are new since the last result.
    data: Ticker | Orderbook | PredictedFunding | OpenInterest | list[Trade] | list[Ohlcv]


def _check_sides(bids: list[list[float]], asks: list[list[float]]) -> None:
    """Both sides ordered, finite, above zero, and not crossed."""
    _check_side(bids, sign=-1)
    _check_side(asks, sign=1)
    if bids and asks and bids[0][0] > asks[0][0]:
        raise ValueError(f"crossed order book: bid {bids[0][0]}, ask {asks[0][0]}")


def _check_side(levels: list[list[float]], sign: int) -> None:
    before = float("-inf")
    for level in levels:
        if len(level) != 2:
            raise ValueError("an order book level is not [price, size]")
        price, size = level
        # Written so that NaN fails: every comparison with it is false.
        if not (0 < price < float("inf") and 0 < size < float("inf")):
            raise ValueError(f"order book level {level} is not finite and above zero")
        if not sign * price > before:
            raise ValueError(f"order book level {level} is out of order")
        before = sign * price
