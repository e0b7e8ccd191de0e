# Copied from shared/endpoints.py by scripts/wire.py: change that one.
"""The sorts of a venue's REST endpoints, each of which may fail by itself."""

from enum import Enum


class Endpoint(Enum):
    PRICES = "prices"  # tickers, marks, open interest, funding as it is now
    BOOKS = "books"
    HISTORY = "history"  # trades, candles, settled funding
    MARKETS = "markets"  # what is listed, and the time
