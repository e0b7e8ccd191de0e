"""The freshest parts known of one symbol, each with the moment it was received."""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from workers.collector.events import RestUpdate

T = TypeVar("T")

_FROM_REST = ("last", "volume_24h", "funding_rate", "next_funding_time", "mark_price")


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """A value, when it was received (monotonic seconds), and by what."""

    value: T
    at: float
    source: str  # "stream" or "rest"


@dataclass(frozen=True, slots=True)
class Book:
    """ccxt's order book as it is kept: changed in place, read at once or not at all."""

    bids: list[list[float]]
    asks: list[list[float]]
    timestamp: int | None  # the venue's, milliseconds
    update_id: int | None


@dataclass(slots=True)
class Parts:
    """What is known of one symbol. A part of None was never received, or is not valid any more."""

    symbol: str
    contract_size: float = 1.0  # base units a contract; the venue's sizes times it are base units
    quote: Part[tuple[float, float]] | None = None  # bid and ask
    last: Part[float] | None = None
    volume_24h: Part[float] | None = None
    funding_rate: Part[float] | None = None
    next_funding_time: Part[int] | None = None
    mark_price: Part[float] | None = None
    book: Part[Book] | None = None
    book_changed: bool = False  # since the `orderbook` message was last published
    unavailable: set[str] = field(default_factory=set)  # parts that were missing last cycle

    def apply(self, update: RestUpdate, at: float) -> None:
        """Take what a REST body says that was asked for at `at`; what a stream brought since then
        is newer."""
        quote = (update.bid, update.ask) if update.bid and update.ask else None
        said = {name: getattr(update, name) for name in _FROM_REST} | {"quote": quote}
        for name, value in said.items():
            known: Part[Any] | None = getattr(self, name)
            if value is not None and (known is None or known.at <= at):
                setattr(self, name, Part(value, at, "rest"))
