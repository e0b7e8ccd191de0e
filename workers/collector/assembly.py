"""FuturesData from the parts of a symbol: which part may be used, which skips the symbol."""

from typing import Any

from pydantic import ValidationError

from shared.config import Collection
from shared.config.live import Live
from shared.errors import DataProcessingError
from shared.messages import FuturesData, OrderbookData, TickerData
from workers.collector.books.orderbook import OrderBook
from workers.collector.parts import Part, Parts

#: Optional parts, and what a log line calls them.
OPTIONAL_PARTS = {
    "funding_rate": "Funding rate",
    "next_funding_time": "Next funding time",
    "mark_price": "Mark price",
}


class Assembler:
    """Makes FuturesData of one venue."""

    def __init__(self, exchange: str, depth: int, collection: Live[Collection]) -> None:
        self._exchange = exchange
        self._depth = depth
        self._collection = collection

    def assemble(self, parts: Parts, now: float, now_ms: int) -> FuturesData:
        """One message at `now` (monotonic seconds, and wall clock milliseconds).

        Raises DataProcessingError where a required part is missing, too old or not valid.
        """
        limits = self._collection.value.max_age
        quote = _required(parts.quote, now, limits.ticker_s, "best bid and ask")
        book = _required(parts.book, now, limits.orderbook_s, "order book")
        last = _required(parts.last, now, float("inf"), "last price")
        volume = _fresh(parts.volume_24h, now, limits.volume_s)
        funding_rate = _fresh(parts.funding_rate, now, limits.funding_s)
        next_funding = _fresh(parts.next_funding_time, now, limits.funding_s)
        mark_price = _fresh(parts.mark_price, now, limits.mark_price_s)
        used = {
            "ticker": quote,
            "orderbook": book,
            "last": last,
            "volume_24h": volume,
            "funding_rate": funding_rate,
            "mark_price": mark_price,
        }
        bids, asks = levels(book, self._depth, parts.contract_size)
        received_ms = now_ms - round(1000 * (now - book.at))
        try:
            return FuturesData(
                exchange=self._exchange,
                symbol=parts.symbol,
                timestamp=now_ms,
                ticker=TickerData(
                    bid=quote.value[0],
                    ask=quote.value[1],
                    last=last.value,
                    volume_24h=volume.value if volume else None,
                ),
                orderbook=OrderbookData(
                    bids=bids, asks=asks, timestamp=book.timestamp or received_ms
                ),
                funding_rate=funding_rate.value if funding_rate else None,
                next_funding_time=_ahead(next_funding, now_ms),
                mark_price=mark_price.value if mark_price else None,
                extra=_extra(used, book, now),
            )
        except ValidationError as error:
            raise DataProcessingError(str(error.errors()[0]["msg"])) from error


def levels(
    book: OrderBook, depth: int, contract_size: float
) -> tuple[list[list[float]], list[list[float]]]:
    """The top of a book, copied, sizes in base units."""
    bids, asks = book.bids.top(depth), book.asks.top(depth)
    if contract_size != 1:
        for level in (*bids, *asks):
            level[1] = base_units(level[1], contract_size)
    return bids, asks


def base_units(size: float, contract_size: float) -> float:
    """A size in base units, without the noise that the product of two binary fractions has."""
    return size if contract_size == 1 else float(f"{size * contract_size:.14g}")


def _required(part: "Part[Any] | OrderBook | None", now: float, max_age_s: float, name: str) -> Any:
    if part is None:
        raise DataProcessingError(f"no {name} yet")
    if now - part.at > max_age_s:
        raise DataProcessingError(f"the {name} is {now - part.at:.1f} s old")
    return part


def _fresh(part: "Part[Any] | None", now: float, max_age_s: float) -> Any:
    return part if part is not None and now - part.at <= max_age_s else None


def _ahead(part: "Part[int] | None", now_ms: int) -> int | None:
    """A settlement that has passed is not the next one."""
    return part.value if part is not None and part.value > now_ms else None


def _extra(
    used: dict[str, "Part[Any] | OrderBook | None"], book: OrderBook, now: float
) -> dict[str, Any]:
    return {
        "ages_ms": {name: round(1000 * (now - part.at)) for name, part in used.items() if part},
        "ticker_source": used["ticker"].source if used["ticker"] else None,
        "last_source": used["last"].source if used["last"] else None,
        "orderbook_timestamp_source": "venue" if book.timestamp else "received",
    }
