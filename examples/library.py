"""Reads trades with the client library: python examples/library.py amqp://… 'trades.binance.*'"""

import asyncio
import sys

from futures_fleet import BodyError, FleetClient, Message, Missed, Trade


def line(message: Message | Missed) -> str:
    if isinstance(message, Missed):
        return f"missed {message.count or 'perhaps some'} of {message.routing_key}"
    try:
        trade = message.body
    except BodyError as error:
        return f"not readable: {error}"
    assert isinstance(trade, Trade)
    return f"{message.exchange} {trade.symbol} {trade.side} {trade.amount} {trade.price}"


async def main(url: str, *patterns: str) -> None:
    async with FleetClient(url) as fleet:
        async for message in fleet.stream(*(patterns or ("trades.#",)), missed=True):
            print(line(message), flush=True)


if len(sys.argv) < 2:
    sys.exit(__doc__)
asyncio.run(main(*sys.argv[1:]))
