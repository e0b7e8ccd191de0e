"""The library for programs that read a futures-fleet's data or control it.

async with FleetClient("amqp://guest:guest@127.0.0.1/") as fleet:
    async for message in fleet.stream("trades.binance.*"):
        print(message.symbol, message.body)
"""

from futures_fleet._wire.completeness import Coverage, Gap
from futures_fleet._wire.messages import (
    FuturesData,
    Liquidation,
    Ohlcv,
    OpenInterest,
    Orderbook,
    OrderbookData,
    PredictedFunding,
    SettledFunding,
    TaskResult,
    Ticker,
    TickerData,
    Trade,
)
from futures_fleet._wire.symbols import symbol_key
from futures_fleet.answers import State
from futures_fleet.bodies import Body
from futures_fleet.client import FleetClient
from futures_fleet.errors import (
    BodyError,
    CommandError,
    CredentialsError,
    FleetError,
    NoAnswerError,
)
from futures_fleet.exchanges import ConnectionStrategy, ExchangeManager, Priority
from futures_fleet.message import Message, Missed
from futures_fleet.stream import Stream

__all__ = [
    "Body",
    "BodyError",
    "CommandError",
    "ConnectionStrategy",
    "Coverage",
    "CredentialsError",
    "ExchangeManager",
    "FleetClient",
    "FleetError",
    "FuturesData",
    "Gap",
    "Liquidation",
    "Message",
    "Missed",
    "NoAnswerError",
    "Ohlcv",
    "OpenInterest",
    "Orderbook",
    "OrderbookData",
    "PredictedFunding",
    "Priority",
    "SettledFunding",
    "State",
    "Stream",
    "TaskResult",
    "Ticker",
    "TickerData",
    "Trade",
    "symbol_key",
]
