"""The messages on the wire: frozen models, each field with its meaning and unit.

`FuturesData`, `TickerData` and `OrderbookData` have exactly the fields that users were promised;
whatever the fleet adds stands in `extra`. Prices are in the quote currency, sizes in the base
currency (contracts × contract size), times integer milliseconds of the Unix epoch, UTC.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Version of every body; raised when a field changes its meaning or goes.
SCHEMA = 1

Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(allow_inf_nan=False)]
Milliseconds = Annotated[int, Field(gt=0)]


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
    source: Literal["stream", "backfill"] = "stream"


class Ticker(Message):
    """Best bid and ask (kind `ticker`), both of one frame."""

    exchange: str
    symbol: str
    bid: Price
    ask: Price
    bid_size: Size | None  # base currency
    ask_size: Size | None
    last: Price | None  # where the venue's frame carries it
    timestamp: Milliseconds | None  # the venue's
    received_at: Milliseconds

    @model_validator(mode="after")
    def _not_crossed(self) -> "Ticker":
        if self.bid > self.ask:
            raise ValueError(f"bid {self.bid} is above ask {self.ask}")
        return self


class Orderbook(Message):
    """The top of an order book (kind `orderbook`), best level first on both sides."""

    exchange: str
    symbol: str
    bids: list[list[float]]  # [[price, size], ...]
    asks: list[list[float]]
    update_id: int | None  # the venue's sequence number of the last change, where it has one
    timestamp: Milliseconds | None  # the venue's
    received_at: Milliseconds

    @model_validator(mode="after")
    def _sound(self) -> "Orderbook":
        _check_sides(self.bids, self.asks)
        return self


def _check_sides(bids: list[list[float]], asks: list[list[float]]) -> None:
    """Both sides filled, ordered, finite, above zero, and not crossed."""
    if not bids or not asks:
        raise ValueError("an order book with an empty side")
    _check_side(bids, sign=-1)
    _check_side(asks, sign=1)
    if bids[0][0] >= asks[0][0]:
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
