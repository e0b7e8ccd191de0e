"""Liquidations into messages: each of them, once."""

import hashlib

from pydantic import ValidationError

from shared.encoding import encoded
from shared.fact import Fact
from shared.kinds import LIQUIDATION
from shared.messages import Liquidation
from workers.collector.assembly import base_units
from workers.collector.events import Liquidated
from workers.collector.parts import Parts
from workers.collector.publishing import Publishing
from workers.collector.trades.seen import SeenIds


class Liquidations:
    """Takes every liquidation of every symbol."""

    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing
        self._seen: dict[str, SeenIds] = {}

    def take(self, event: Liquidated, parts: Parts, received_at: int) -> None:
        try:
            message = Liquidation(
                exchange=self._publishing.exchange,
                symbol=parts.symbol,
                id=event.id or content_id(parts.symbol, event),
                price=event.price,
                amount=base_units(event.size, parts.contract_size),
                side=event.side,
                timestamp=event.timestamp,
                received_at=received_at,
            )
        except ValidationError as error:
            self._publishing.reject(LIQUIDATION, parts.symbol, error, event)
            return
        if not self._seen.setdefault(parts.symbol, SeenIds()).add(message.id):
            self._publishing.repeated(LIQUIDATION)
            return
        body = encoded(message.__dict__)
        self._publishing.put(Fact(LIQUIDATION, parts.symbol, body, received_at, message.id))


def content_id(symbol: str, event: Liquidated) -> str:
    """The id of a liquidation that the venue gives none: two that are alike in all of symbol,
    time, side, price and size are taken for one."""
    text = f"{symbol}|{event.timestamp}|{event.side}|{event.price!r}|{event.size!r}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
