# Copied from shared/kinds.py by scripts/wire.py: change that one.
"""The table of kinds: what a message is, and how it may be delivered.

Everything that differs by kind (permissions, persistence, batching, storage) derives from it.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Delivery(StrEnum):
    """`latest`: a newer value replaces an older one. `lossless`: every single message counts."""

    LATEST = "latest"
    LOSSLESS = "lossless"


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table.

    `keyed` kinds carry a `message_id` which names one immutable fact and by which readers may
    deduplicate; the id of the others is only unique. Two rows share a name where what is final and
    what is not travel under one routing key; `variant` tells them apart.
    """

    name: str
    delivery: Delivery
    keyed: bool
    variant: str = ""
    min_interval_s: float | None = None  # at most one message a routing key in this time
    repeated: bool = False  # the last value goes out again on futures_batches while none is newer
    batched: bool = True  # it travels as a row on futures_batches as well
    # Made of the others, and read many times a message.
    lossless: bool = field(init=False, compare=False)
    label: str = field(init=False, compare=False)  # the row's own name: what counts are kept by

    def __post_init__(self) -> None:
        object.__setattr__(self, "lossless", self.delivery is Delivery.LOSSLESS)
        label = f"{self.name}.{self.variant}" if self.variant else self.name
        object.__setattr__(self, "label", label)


FUTURES = Kind("futures", Delivery.LATEST, keyed=True)
TICKER = Kind("ticker", Delivery.LATEST, keyed=False)
ORDERBOOK = Kind("orderbook", Delivery.LATEST, keyed=False)
TRADES = Kind("trades", Delivery.LOSSLESS, keyed=True)
LIQUIDATION = Kind("liquidation", Delivery.LOSSLESS, keyed=True)
CANDLE = Kind("ohlcv", Delivery.LOSSLESS, keyed=True)  # closed
OPEN_CANDLE = Kind("ohlcv", Delivery.LATEST, keyed=False, variant="open", min_interval_s=1.0)
FUNDING = Kind("funding", Delivery.LOSSLESS, keyed=True)  # settled
PREDICTED_FUNDING = Kind(
    "funding", Delivery.LATEST, keyed=False, variant="predicted", repeated=True
)
OPEN_INTEREST = Kind("open_interest", Delivery.LATEST, keyed=False, repeated=True)
GAP = Kind("gap", Delivery.LOSSLESS, keyed=True)
COVERAGE = Kind("coverage", Delivery.LOSSLESS, keyed=True)
# Results of collection tasks: for who asked for them. Stores have the facts that they are made of.
TASK = Kind("task", Delivery.LOSSLESS, keyed=False, batched=False)
LATEST_TASK = Kind("task", Delivery.LATEST, keyed=False, variant="latest", batched=False)

#: By label.
KINDS = {
    kind.label: kind
    for kind in (
        FUTURES,
        TICKER,
        ORDERBOOK,
        TRADES,
        LIQUIDATION,
        CANDLE,
        OPEN_CANDLE,
        FUNDING,
        PREDICTED_FUNDING,
        OPEN_INTEREST,
        GAP,
        COVERAGE,
        TASK,
        LATEST_TASK,
    )
}
