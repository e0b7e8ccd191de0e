"""ccxt's unified forms, as events and markets of ours."""

import re
from dataclasses import dataclass
from typing import Any

from workers.collector.events import Candle, Print


@dataclass(frozen=True, slots=True)
class Market:
    """A contract that the venue lists; sizes in its frames times `contract_size` are base units."""

    symbol: str
    id: str
    contract_size: float


def candle_of(market_id: str, timeframe: str, row: list[Any]) -> Candle:
    """ccxt's row, to which our venue classes append the quote volume where there is one."""
    start, open_, high, low, close, volume = row[:6]
    quote_volume = row[6] if len(row) > 6 else None
    return Candle(
        market_id,
        timeframe,
        start,
        open_,
        high,
        low,
        close,
        volume,
        closed=None,
        timestamp=None,
        quote_volume=quote_volume,
    )


def print_of(market_id: str, row: dict[str, Any]) -> Print:
    """ccxt's trade; its amount is in what the venue counts, as in the stream."""
    return Print(
        market_id, str(row["id"]), row["price"], row["amount"], row["side"], row["timestamp"]
    )


def levels_of(side: list[list[Any]]) -> list[tuple[float, float]]:
    return [(float(level[0]), float(level[1])) for level in side]


def is_collected(market: dict[str, Any]) -> bool:
    return bool(market["contract"] and market["active"] is not False and market["contractSize"])


def is_about(subscription: str, market: Market) -> bool:
    """Whether what ccxt calls a subscription is about this market, and not one of a longer name."""
    words = f"{re.escape(market.id)}|{re.escape(market.symbol)}"
    found = re.search(rf"(?<![\w/-])({words})(?![\w/-])", subscription, re.IGNORECASE)
    return found is not None
