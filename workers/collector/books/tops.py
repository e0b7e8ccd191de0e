"""The `orderbook` kind: the top of each book as it changes, at most ten times a second a symbol."""

import asyncio
from collections.abc import Callable

from pydantic import ValidationError

from shared.clock import ms_at
from shared.encoding import encoded
from shared.fact import Fact
from shared.kinds import ORDERBOOK
from shared.messages import Orderbook
from shared.pace import Pace
from workers.collector.assembly import base_units, levels
from workers.collector.books.orderbook import OrderBook
from workers.collector.parts import Parts
from workers.collector.publishing import Publishing

INTERVAL_S = 0.1
LEVELS = 20
#: Distances from the mid price, in basis points, for which the size up to there is published.
DEPTH_BPS = (5, 10, 25, 50)


class BookTops:
    """Publishes a change at once, or when the symbol's next turn has come."""

    def __init__(self, publishing: Publishing, depth: int = LEVELS) -> None:
        self.on_unsound: Callable[[str, str], None] = lambda _symbol, _reason: None
        self._publishing = publishing
        self._depth = depth
        self._clock = publishing.clock
        self._pace = Pace(INTERVAL_S)
        self._waiting: set[str] = set()

    def changed(self, parts: Parts) -> None:
        """The symbol's book changed."""
        symbol = parts.symbol
        if symbol in self._waiting:
            return
        wait_s = self._pace.wait_s(symbol, self._clock.monotonic())
        if not wait_s:
            self._publish(parts)
        else:
            self._waiting.add(symbol)
            asyncio.get_running_loop().call_later(wait_s, self._on_turn, parts)

    def _on_turn(self, parts: Parts) -> None:
        self._waiting.discard(parts.symbol)
        self._publish(parts)

    def _publish(self, parts: Parts) -> None:
        book = parts.book
        if book is None:
            return
        self._pace.use(parts.symbol, self._clock.monotonic())
        received_at = ms_at(self._clock, book.at)
        try:
            body = top_of(book, self._depth, parts, self._publishing.exchange, received_at)
        except ValidationError as error:
            sample = levels(book, 2, parts.contract_size)
            self._publishing.reject(ORDERBOOK, parts.symbol, error, sample)
            self.on_unsound(parts.symbol, "it does not validate")
            return
        self._publishing.put(Fact(ORDERBOOK, parts.symbol, body, received_at))


def top_of(book: OrderBook, depth: int, parts: Parts, exchange: str, received_at: int) -> bytes:
    """The best `depth` levels a side as an `Orderbook`, encoded. Raises ValidationError."""
    bids, asks = levels(book, depth, parts.contract_size)
    message = Orderbook(
        exchange=exchange,
        symbol=parts.symbol,
        bids=bids,
        asks=asks,
        **_measures(book, bids, asks, parts.contract_size),
        update_id=book.update_id,
        timestamp=book.timestamp,
        received_at=received_at,
        source=book.source,
    )
    return encoded(message.__dict__)


def _measures(
    book: OrderBook, bids: list[list[float]], asks: list[list[float]], contract_size: float
) -> dict[str, object]:
    """What the `Orderbook` model adds to the levels; all null while a side is empty."""
    if not bids or not asks:
        return {"spread": None, "mid": None, "imbalance": None, "depth": None}
    bid, ask = bids[0][0], asks[0][0]
    bid_size, ask_size = sum(level[1] for level in bids), sum(level[1] for level in asks)
    mid = (bid + ask) / 2
    depth = {}
    for bps in DEPTH_BPS:
        width = mid * bps / 10_000
        sizes = book.bids.size_to(mid - width), book.asks.size_to(mid + width)
        depth[str(bps)] = [None if s is None else base_units(s, contract_size) for s in sizes]
    return {
        "spread": float(f"{ask - bid:.12g}"),
        "mid": float(f"{mid:.14g}"),
        "imbalance": round((bid_size - ask_size) / (bid_size + ask_size), 6),
        "depth": depth,
    }
