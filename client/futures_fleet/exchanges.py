"""Requests to venues through the fleet: they go over RabbitMQ to the collector of a venue, which
answers out of what its streams bring where that is fresh, and asks the venue, within the fleet's
budget, where it is not.

    async with ExchangeManager("amqp://guest:guest@127.0.0.1/") as manager:
        ticker = await manager.execute_request("fetch_ticker", "BTC/USDT:USDT")
"""

import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from futures_fleet._wire import exchange_manager
from futures_fleet._wire.broker import Broker
from futures_fleet._wire.errors import (
    CircuitBreakerOpenError,
    DataProcessingError,
    ExchangeError,
    NetworkError,
    RateLimitedError,
    SymbolNotListedError,
)
from futures_fleet._wire.requests import METHODS, Priority
from futures_fleet._wire.routing import ConnectionStrategy
from futures_fleet._wire.topology import topology

__all__ = [
    "METHODS",
    "CircuitBreakerOpenError",
    "ConnectionStrategy",
    "DataProcessingError",
    "ExchangeError",
    "ExchangeManager",
    "NetworkError",
    "Priority",
    "RateLimitedError",
    "SymbolNotListedError",
]


class ExchangeManager(exchange_manager.ExchangeManager):
    """`initialize` and `close`, or a block. Raises ExchangeError and its subclasses for requests
    that can not be answered, DataProcessingError for what is no request."""

    def __init__(
        self,
        url: str,
        strategy: ConnectionStrategy | str = ConnectionStrategy.WEIGHTED_ROUND_ROBIN,
        *,
        weights: Mapping[str, float] | None = None,
        exchange: str = "futures_data",
    ) -> None:
        """`url` is the broker's, of a user who may command (`operator`). `weights` are by the
        venues' names on the wire, 100 where none is given. Raises ValueError for an unknown
        strategy or a URL of something else."""
        if urlsplit(url).scheme not in ("amqp", "amqps"):
            raise ValueError("the URL is not one of amqp:// or amqps://")
        broker = Broker(url, socket.gethostname(), topology(exchange), declares=False)
        super().__init__(broker, strategy, weights=weights)
