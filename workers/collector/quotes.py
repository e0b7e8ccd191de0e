"""Quotes into `ticker` messages.

The hottest path of all: a quote pays for bid and ask alone. What changes slowly stands ready as
the bytes that end each body (`Parts.overview`).
"""

import orjson
from pydantic import ValidationError

from shared.fact import Fact
from shared.kinds import TICKER
from shared.messages import BestPrices
from workers.collector.assembly import base_units
from workers.collector.events import Quote
from workers.collector.parts import Part, Parts
from workers.collector.publishing import Publishing


class Quotes:
    """Takes every quote of every symbol."""

    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing
        self._exchange = publishing.exchange
        self._clock = publishing.clock

    def take(self, event: Quote, parts: Parts, received_at: int) -> None:
        size, last = parts.contract_size, event.last
        if last is None and parts.last is not None:
            last = parts.last.value
        try:
            prices = BestPrices(
                exchange=self._exchange,
                symbol=parts.symbol,
                bid=event.bid,
                ask=event.ask,
                bid_size=None if event.bid_size is None else base_units(event.bid_size, size),
                ask_size=None if event.ask_size is None else base_units(event.ask_size, size),
                last=last,
                timestamp=event.timestamp,
                received_at=received_at,
            )
        except ValidationError as error:
            self._publishing.reject(TICKER, parts.symbol, error, event)
            return
        now = self._clock.monotonic()
        parts.stream_quote = (prices.bid, prices.ask)
        parts.quote = Part(parts.stream_quote, now, "stream")
        if event.last is not None:
            parts.last = Part(event.last, now, "stream")
        body = orjson.dumps(prices.__dict__)[:-1] + parts.overview
        parts.ticker, parts.ticker_at = body, now
        self._publishing.put(Fact(TICKER, parts.symbol, body, received_at))
