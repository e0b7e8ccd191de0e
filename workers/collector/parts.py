"""The freshest parts known of one symbol, each with the moment it was received."""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson

from shared.messages import OpenInterest, Overview, PredictedFunding
from workers.collector.books.orderbook import OrderBook
from workers.collector.catalogue.row import StreamKind
from workers.collector.continuity.pulse import Pulse
from workers.collector.events import Day, RestUpdate

T = TypeVar("T")

_TAKEN = (
    "last",
    "volume_24h",
    "funding_rate",
    "next_funding_time",
    "funding_interval_h",
    "mark_price",
    "index_price",
    "day",
)


def encoded_overview(overview: Overview) -> bytes:
    """The end of a JSON object which these fields close."""
    return b"," + orjson.dumps(overview.__dict__)[1:]


NO_OVERVIEW = encoded_overview(Overview())


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """A value, when it was received (monotonic seconds), and by what."""

    value: T
    at: float
    source: str  # "stream" or "rest"


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
    funding_interval_h: Part[float] | None = None
    mark_price: Part[float] | None = None
    index_price: Part[float] | None = None
    day: Part[Day] | None = None
    overview: bytes = NO_OVERVIEW  # the end of each ticker's body
    ticker: bytes | None = None  # the whole body of the last one, of the stream's newest quote,
    ticker_at: float = 0.0  # and when that was received
    predicted: Part[PredictedFunding] | None = None  # as it was heard last, published or not
    interest: Part[OpenInterest] | None = None
    book: OrderBook | None = None  # while it is right
    unavailable: set[str] = field(default_factory=set)  # parts that were missing last cycle
    #: For the watchdog: what the streams said last, what REST said last, how each stream beats,
    #: and which streams are awaited: not acknowledged yet, or lost.
    stream_quote: tuple[float, float] | None = None
    stream_last: float | None = None
    rest_quote: Part[tuple[float, float]] | None = None
    rest_last: Part[float] | None = None
    rest_moved_since: float = 0.0  # REST's best prices changed, after it was asked at that time
    rest_traded_since: float = 0.0  # and so did its last price
    pulses: dict[StreamKind, Pulse] = field(default_factory=dict)
    waiting: set[StreamKind] = field(default_factory=lambda: set(StreamKind))

    def apply(self, update: RestUpdate, at: float, source: str = "rest") -> None:
        """Take what a REST body says that was asked for at `at`; what a stream brought since then
        is newer."""
        quote = (update.bid, update.ask) if update.bid and update.ask else None
        said = {name: getattr(update, name) for name in _TAKEN} | {"quote": quote}
        for name, value in said.items():
            known: Part[Any] | None = getattr(self, name)
            if value is not None and (known is None or known.at <= at):
                setattr(self, name, Part(value, at, source))
        if source == "rest":
            self._note_rest(update, quote, at)
        self._confirm_book(update, at)

    def _note_rest(self, update: RestUpdate, quote: tuple[float, float] | None, at: float) -> None:
        if quote is not None:
            before, self.rest_quote = self.rest_quote, Part(quote, at, "rest")
            if before is not None and before.value != quote:
                self.rest_moved_since = before.at
        if update.last is not None:
            last, self.rest_last = self.rest_last, Part(update.last, at, "rest")
            if last is not None and last.value != update.last:
                self.rest_traded_since = last.at

    def _confirm_book(self, update: RestUpdate, at: float) -> None:
        """A book in which nothing happened is as good as new while its best prices are the
        market's."""
        book = self.book
        if book is not None and (update.bid, update.ask) == (book.bids.best, book.asks.best):
            book.at = max(book.at, at)
