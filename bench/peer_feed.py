"""cryptofeed's own process, in its venv: `peer_feed.py REST WS LOGIN@HOST MARKETS CONNECTIONS`.

Stands alone: nothing of the fleet is importable there.
"""

import asyncio
import sys
from typing import Any

from cryptofeed import FeedHandler, feed
from cryptofeed.backends.rabbitmq import TickerRabbit, TradeRabbit
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint, WSAsyncConn
from cryptofeed.defines import TICKER, TRADES
from cryptofeed.exchanges import BinanceFutures


class PlainConnection(WSAsyncConn):  # type: ignore[misc]
    """It insists on TLS, which would be a cost that the fleet does not have here."""

    def __init__(self, address: str, *arguments: Any, **named: Any) -> None:
        super().__init__(address.replace("ws://", "wss://", 1), *arguments, **named)
        self.address = address


def main(rest: str, ws: str, login: str, markets: int, connections: int) -> None:
    feed.WSAsyncConn = PlainConnection

    class Feed(BinanceFutures):  # type: ignore[misc]
        websocket_endpoints = [WebsocketEndpoint(ws, options={"compression": None})]
        rest_endpoints = [RestEndpoint(rest, routes=Routes("/fapi/v1/exchangeInfo"))]

    rabbit = {
        "host": login,
        "exchange_mode": True,
        "exchange_name": "futures_data",
        "exchange_type": "topic",
        "routing_key": "cryptofeed",
    }
    symbols = [f"S{number:03d}-USDT-PERP" for number in range(markets)]
    handler = FeedHandler(config={"uvloop": True, "log": {"disabled": True}})
    for number in range(connections):
        callbacks = {TRADES: TradeRabbit(**rabbit), TICKER: TickerRabbit(**rabbit)}
        some = symbols[number::connections]
        handler.add_feed(Feed(symbols=some, channels=[TRADES, TICKER], callbacks=callbacks))
    # Older releases expect the policy to make one, which uvloop's does no more.
    asyncio.set_event_loop(asyncio.new_event_loop())
    handler.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
