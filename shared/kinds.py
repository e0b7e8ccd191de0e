"""The table of kinds: what a message is, and how it may be delivered.

Everything that differs by kind (permissions, persistence, batching, storage) derives from it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Delivery(StrEnum):
    """`latest`: a newer value replaces an older one. `lossless`: every single message counts."""

    LATEST = "latest"
    LOSSLESS = "lossless"


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table.

    `keyed` kinds carry a `message_id` which names one immutable fact and by which readers may
    deduplicate; the id of the others is only unique.
    """

    name: str
    delivery: Delivery
    keyed: bool

    @property
    def lossless(self) -> bool:
        return self.delivery is Delivery.LOSSLESS


FUTURES = Kind("futures", Delivery.LATEST, keyed=True)
TICKER = Kind("ticker", Delivery.LATEST, keyed=False)
ORDERBOOK = Kind("orderbook", Delivery.LATEST, keyed=False)
TRADES = Kind("trades", Delivery.LOSSLESS, keyed=True)

KINDS = {kind.name: kind for kind in (FUTURES, TICKER, ORDERBOOK, TRADES)}
