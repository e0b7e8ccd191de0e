"""Reads every trade, and says when it missed one: python examples/trades.py amqp://…"""

import asyncio
import secrets
import sys
from typing import Any

import aio_pika


async def main(url: str) -> None:
    last: dict[tuple[Any, Any], int] = {}
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        # The name by which the broker's policy bounds it, and which a reader's login may declare.
        name = f"futures_reader.trades.{secrets.token_hex(4)}"
        queue = await channel.declare_queue(name, exclusive=True)
        await queue.bind("futures_data", "trades.#")
        async for message in queue.iterator(no_ack=True):
            seq: Any = message.headers["seq"]  # +1 with each message of an epoch on a routing key
            key = (message.routing_key, message.headers["epoch"])
            if seq > last.get(key, seq) + 1:
                print(f"missed {seq - last[key] - 1} of {message.routing_key}", flush=True)
            last[key] = max(seq, last.get(key, seq))
            print(message.body.decode(), flush=True)


if len(sys.argv) != 2:
    sys.exit(__doc__)
asyncio.run(main(sys.argv[1]))
