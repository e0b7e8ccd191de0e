"""Sizes of ccxt's answers, which are contracts where the venue counts those, in base units."""

from typing import Any

from workers.collector.assembly import base_units

_SIDES = ("bids", "asks")
#: ccxt's candle: start, open, high, low, close, volume; our venue classes append to it.
_CANDLE = 6


def in_base_units(method: str, answer: Any, size: float, *, candles_in_contracts: bool) -> Any:
    """The answer to a method about one symbol, of which a contract is `size` base units."""
    match method:
        case "fetch_order_book" if size != 1:
            return {**answer, **{side: _levels(answer[side], size) for side in _SIDES}}
        case "fetch_trades" if size != 1:
            return [_trade(trade, size) for trade in answer]
        case "fetch_ohlcv":
            return [_candle(row, size if candles_in_contracts else 1.0) for row in answer]
    return answer


def _levels(side: list[list[float]], size: float) -> list[list[float]]:
    return [[price, base_units(amount, size)] for price, amount, *_ in side]


def _trade(trade: dict[str, Any], size: float) -> dict[str, Any]:
    amount = trade.get("amount")
    return trade if amount is None else {**trade, "amount": base_units(amount, size)}


def _candle(row: list[Any], size: float) -> list[Any]:
    volume = row[_CANDLE - 1]
    return [*row[: _CANDLE - 1], volume if volume is None else base_units(volume, size)]
