# Copied from shared/timeframes.py by scripts/wire.py: change that one.
"""The lengths of candles."""

from typing import Literal

Timeframe = Literal["1m", "5m", "15m", "30m", "1h", "4h", "1d"]

_MINUTE_MS = 60_000

#: Milliseconds by timeframe.
TIMEFRAMES_MS: dict[str, int] = {
    "1m": _MINUTE_MS,
    "5m": 5 * _MINUTE_MS,
    "15m": 15 * _MINUTE_MS,
    "30m": 30 * _MINUTE_MS,
    "1h": 60 * _MINUTE_MS,
    "4h": 240 * _MINUTE_MS,
    "1d": 1440 * _MINUTE_MS,
}
