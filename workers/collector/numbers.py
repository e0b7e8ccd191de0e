"""Numbers as venues write them: text, often empty."""

from decimal import Decimal
from math import isfinite


def number(text: str | float | None) -> float | None:
    """None for "NaN" and "Infinity" too. Raises ValueError for what is no number at all."""
    value = None if text is None or text == "" else float(text)
    return value if value is not None and isfinite(value) else None


def price(text: str | float | None) -> float | None:
    """None where there is none: venues write 0 for the price of what was never traded."""
    value = None if text is None or text == "" else float(text)
    return value if value is not None and 0 < value < float("inf") else None


def difference(minuend: str | None, subtrahend: str | None) -> float | None:
    """Of two texts, as exact as they are."""
    return float(Decimal(minuend) - Decimal(subtrahend)) if minuend and subtrahend else None


def percent(fraction: str | None) -> float | None:
    """Percent of a fraction."""
    return float(Decimal(fraction) * 100) if fraction else None
