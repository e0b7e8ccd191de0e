"""The `orderbook` kind: the top of each book that changed, at most ten times a second a symbol."""

import orjson
from pydantic import ValidationError

from shared.clock import Clock
from shared.fact import Fact
from shared.kinds import ORDERBOOK
from shared.messages import Orderbook
from shared.outbox import Outbox
from workers.collector.assembly import levels
from workers.collector.intake import Intake
from workers.collector.parts import Book, Part, Parts
from workers.collector.quarantine import Quarantine

INTERVAL_S = 0.1
LEVELS = 20
_UNSOUND_ROUNDS = 10


class BookTops:
    """Publishes what changed since the last round."""

    def __init__(
        self,
        exchange: str,
        intake: Intake,
        outbox: Outbox,
        quarantine: Quarantine,
        clock: Clock,
    ) -> None:
        self._exchange = exchange
        self._intake = intake
        self._outbox = outbox
        self._quarantine = quarantine
        self._clock = clock
        self._unsound: dict[str, int] = {}  # rounds in a row in which a book did not validate

    async def publish(self) -> None:
        """One round over all symbols. A book that does not validate is counted and set aside."""
        for parts in self._intake.parts.values():
            if parts.book_changed and parts.book is not None:
                parts.book_changed = False
                self._publish(parts, parts.book)

    def _on_unsound(self, symbol: str) -> None:
        """A book can be crossed for a moment; one that stays so is fetched anew."""
        self._unsound[symbol] = self._unsound.get(symbol, 0) + 1
        if self._unsound[symbol] >= _UNSOUND_ROUNDS:
            del self._unsound[symbol]
            self._intake.on_book_lost(symbol, "it does not validate")

    def _publish(self, parts: Parts, part: Part[Book]) -> None:
        bids, asks = levels(part.value, LEVELS, parts.contract_size)
        age_ms = round(1000 * (self._clock.monotonic() - part.at))
        try:
            message = Orderbook(
                exchange=self._exchange,
                symbol=parts.symbol,
                bids=bids,
                asks=asks,
                update_id=part.value.update_id,
                timestamp=part.value.timestamp,
                received_at=self._clock.now_ms() - age_ms,
            )
        except ValidationError as error:
            counts = self._outbox.ledger[ORDERBOOK.name]
            counts.received += 1
            counts.invalid += 1
            self._quarantine.put(f"order book of {parts.symbol}", error, (bids[:2], asks[:2]))
            self._on_unsound(parts.symbol)
            return
        self._unsound.pop(parts.symbol, None)
        body = orjson.dumps(message.__dict__)
        self._outbox.put(Fact(ORDERBOOK, parts.symbol, body, message.received_at))
