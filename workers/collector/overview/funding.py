"""Funding rates as they look before they are settled: on change, or every half minute."""

from pydantic import ValidationError

from shared.clock import ms_at
from shared.config import Collection
from shared.config.live import Live
from shared.encoding import encoded
from shared.fact import Fact
from shared.kinds import PREDICTED_FUNDING
from shared.messages import PredictedFunding
from workers.collector.events import RestUpdate
from workers.collector.overview.overview import fresh
from workers.collector.overview.recency import Recency
from workers.collector.parts import Part, Parts
from workers.collector.publishing import Publishing


class PredictedFundings:
    """Listens to updates that state a funding rate."""

    def __init__(self, publishing: Publishing, collection: Live[Collection]) -> None:
        self._publishing = publishing
        self._collection = collection
        self._recency = Recency(publishing.clock)

    def heard(self, parts: Parts, update: RestUpdate, at: float) -> None:
        if update.funding_rate is None:
            return
        received_at = ms_at(self._publishing.clock, at)
        try:
            message = self._message(parts, update, received_at)
        except ValidationError as error:
            self._publishing.reject(PREDICTED_FUNDING, parts.symbol, error, update)
            return
        parts.predicted = Part(message, at, "cache")
        value = message.rate, message.next_funding_time, message.interval_hours
        if self._recency.due(parts.symbol, value):
            body = encoded(message.__dict__)
            self._publishing.put(Fact(PREDICTED_FUNDING, parts.symbol, body, received_at))

    def _message(self, parts: Parts, update: RestUpdate, received_at: int) -> PredictedFunding:
        now = self._publishing.clock.monotonic()
        limit_s = self._collection.value.max_age.mark_price_s
        next_time, interval = parts.next_funding_time, parts.funding_interval_h
        return PredictedFunding(
            exchange=self._publishing.exchange,
            symbol=parts.symbol,
            rate=update.funding_rate,
            next_funding_time=next_time.value
            if next_time and next_time.value > received_at
            else None,
            interval_hours=interval.value if interval else None,
            mark_price=fresh(parts.mark_price, now, limit_s),
            index_price=fresh(parts.index_price, now, limit_s),
            timestamp=update.timestamp,
            received_at=received_at,
        )
