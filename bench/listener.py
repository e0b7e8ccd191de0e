"""A consumer of everything on the data exchange, in this process, with the time of each arrival."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractIncomingMessage

from shared.broker import Broker, own_queue
from shared.heap import settle
from shared.topology import topology

#: Routing key, body, epoch of its worker, wall clock seconds of its arrival.
Take = Callable[[str, bytes, str, float], None]


@asynccontextmanager
async def listening(amqp_url: str, take: Take) -> AsyncIterator[None]:
    """`take` gets every message of the block, in the order of arrival."""
    broker = Broker(amqp_url, "bench", topology("futures_data"), declares=True)
    async with await broker.connect("topology") as connection:
        await broker.declare(await connection.channel())

    async def on_message(message: AbstractIncomingMessage) -> None:
        now_s = time.time()
        take(message.routing_key or "", message.body, str(message.headers.get("epoch")), now_s)

    async with await broker.connect("listener") as connection:
        channel = await connection.channel(publisher_confirms=False)
        queue = await own_queue(channel, "client", "bench", (("futures_data", "#"),))
        settle()
        await queue.consume(on_message, no_ack=True)
        yield
