"""Reads trades with the client library: python examples/library.py amqp://… 'trades.binance.*'"""

import asyncio
import sys

from futures_fleet import FleetClient, Missed, Trade


async def main(url: str, *patterns: str) -> None:
    async with FleetClient(url) as fleet:
        async for message in fleet.stream(*(patterns or ("trades.#",)), missed=True):
            if isinstance(message, Missed):
                print(
                    f"missed {message.count or 'perhaps some'} of {message.routing_key}", flush=True
                )
            elif isinstance(trade := message.body, Trade):
                print(
                    message.exchange,
                    trade.symbol,
                    trade.side,
                    trade.amount,
                    trade.price,
                    flush=True,
                )


asyncio.run(main(*sys.argv[1:]))
