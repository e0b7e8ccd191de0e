"""Tickers and order books for tasks: from the live state."""

import orjson
from pydantic import ValidationError

from shared.clock import Clock, ms_at
from shared.config import Collection
from shared.config.live import Live
from shared.messages import BestPrices
from workers.collector.books.tops import LEVELS, top_of
from workers.collector.catalogue.row import StreamKind
from workers.collector.parts import Part, Parts
from workers.collector.tasks.inquiry import LEAST_S, SERVES, Inquiry, Wanting
from workers.collector.tasks.supply import GONE, Found, Lacking, Outcome, PartsOf


class TickerSupply:
    """The stream's latest ticker while it is younger than the interval, else what REST says."""

    def __init__(
        self, who: Wanting, parts: PartsOf, inquiry: Inquiry, exchange: str, clock: Clock
    ) -> None:
        self._who, self._parts, self._inquiry = who, parts, inquiry
        self._exchange, self._clock = exchange, clock
        # A quote of less than a second is one that nobody could ask for more often.
        self._fresh_s = max(who.interval_s, LEAST_S)

    def look(self, now: float) -> Outcome:
        parts = self._parts()
        if parts is None:
            return GONE
        # What REST said may be newer by a moment: a stream that lives needs no more of it.
        is_up = StreamKind.QUOTE not in parts.waiting
        if parts.ticker is not None and is_up and now - parts.ticker_at <= self._fresh_s:
            return Found(parts.ticker, "stream")
        quote = parts.quote
        if quote is None:
            return Lacking("no best prices yet", self._inquiry)
        age_s = now - quote.at
        if quote.source == "rest" and age_s <= SERVES * self._fresh_s:
            self._inquiry.renew(self._who, now)
            return self._by_rest(parts, quote)
        return Lacking(f"the best prices are {age_s:.1f} s old", self._inquiry)

    def _by_rest(self, parts: Parts, quote: Part[tuple[float, float]]) -> Outcome:
        bid, ask = quote.value
        try:
            prices = BestPrices(
                exchange=self._exchange,
                symbol=parts.symbol,
                bid=bid,
                ask=ask,
                bid_size=None,
                ask_size=None,
                last=None if parts.last is None else parts.last.value,
                timestamp=None,
                received_at=ms_at(self._clock, quote.at),
            )
        except ValidationError as error:
            return Lacking(f"the best prices by REST are not valid: {error.errors()[0]['msg']}")
        return Found(orjson.dumps(prices.__dict__)[:-1] + parts.overview, "rest")


class BookSupply:
    """The collector's own book while it is right: the venue is not asked."""

    def __init__(
        self,
        parts: PartsOf,
        depth: int | None,
        collection: Live[Collection],
        exchange: str,
        clock: Clock,
    ) -> None:
        self._parts, self._depth, self._collection = parts, depth or LEVELS, collection
        self._exchange, self._clock = exchange, clock

    def look(self, now: float) -> Outcome:
        parts = self._parts()
        if parts is None:
            return GONE
        book = parts.book
        if book is None:
            return Lacking("no valid book")
        age_s = now - book.at
        if age_s > self._collection.value.max_age.orderbook_s:
            return Lacking(f"the order book is {age_s:.1f} s old")
        received_at = ms_at(self._clock, book.at)
        try:
            body = top_of(book, self._depth, parts, self._exchange, received_at)
        except ValidationError as error:
            return Lacking(f"the order book is not valid: {error.errors()[0]['msg']}")
        return Found(body, "rest" if book.source == "rest" else "stream")
