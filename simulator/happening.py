"""What happens in a market, and how often."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Trigger(Enum):
    """What happens in a market, and so what makes a stream push."""

    TOUCH = "touch"  # the best bid or ask changed, or its size
    BOOK = "book"  # levels changed and the price may have moved: time to push depth
    TRADE = "trade"
    LIQUIDATION = "liquidation"  # after the trade that it made
    SECOND = "second"


class Trade(NamedTuple):
    """`fills` are the sizes of the single executions that make up this aggregated trade."""

    id: int
    t_ms: int
    price: int
    size: int
    taker_buys: bool
    first_fill: int
    fills: tuple[int, ...]


class Event(NamedTuple):
    trigger: Trigger
    t_ms: int
    trade: Trade | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """Events a symbol and second, the same for every stream of a kind; liquidations a minute.

    `candle_corrections` is the share of candles whose volume the venue corrects after their close;
    `funding_minutes` replaces the hours between two settlements.
    """

    ticker: float = 5.0
    book: float = 5.0
    trade: float = 2.0
    liquidation: float = 1.0
    candle_corrections: float = 0.0
    funding_minutes: int | None = None
