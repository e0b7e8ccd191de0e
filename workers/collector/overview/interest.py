"""Open interest into messages: on change, or every half minute."""

from pydantic import ValidationError

from shared.clock import ms_at
from shared.encoding import encoded
from shared.fact import Fact
from shared.kinds import OPEN_INTEREST
from shared.messages import OpenInterest
from workers.collector.assembly import base_units
from workers.collector.events import RestUpdate
from workers.collector.overview.recency import Recency
from workers.collector.parts import Part, Parts
from workers.collector.publishing import Publishing


class OpenInterests:
    """Listens to updates that state an open interest."""

    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing
        self._recency = Recency(publishing.clock)

    def heard(self, parts: Parts, update: RestUpdate, at: float) -> None:
        if update.open_interest is None:
            return
        received_at = ms_at(self._publishing.clock, at)
        try:
            message = OpenInterest(
                exchange=self._publishing.exchange,
                symbol=parts.symbol,
                amount=base_units(update.open_interest, parts.contract_size),
                value=update.open_interest_value,
                timestamp=update.timestamp,
                received_at=received_at,
            )
        except ValidationError as error:
            self._publishing.reject(OPEN_INTEREST, parts.symbol, error, update)
            return
        parts.interest = Part(message, at, "cache")
        if self._recency.due(parts.symbol, message.amount):
            body = encoded(message.__dict__)
            self._publishing.put(Fact(OPEN_INTEREST, parts.symbol, body, received_at))
