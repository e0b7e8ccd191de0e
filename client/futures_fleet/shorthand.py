"""Short symbols: `BTC`, `btcusdt`, `btc-usdt` and `BTC/USDT` mean the linear perpetual."""

import re

from futures_fleet._wire.errors import DataProcessingError
from futures_fleet._wire.symbols import expand_short

_SEPARATOR = re.compile(r"[-_/]")


def unified(text: str) -> str:
    """The symbol that `text` means. What is a full symbol or an entry for many (`top:50`,
    `*/USDT:USDT`) stays, and what is none goes out as it is, for the fleet to refuse."""
    if ":" in text:
        return text
    parts = _SEPARATOR.split(text.strip().upper())
    if len(parts) > 2:
        return text
    try:
        return expand_short("/".join(parts))
    except DataProcessingError:
        return text
