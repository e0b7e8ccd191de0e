"""A consumer in this process, with the time of each arrival.

On aiormq, without aio-pika's messages around it: they would be a quarter of what it costs, on cores
that it shares with what is measured.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiormq.abc import DeliveredMessage

from shared.broker import Broker, own_queue
from shared.heap import settle
from shared.topology import topology

Headers = Mapping[str, Any]
#: Routing key, body, headers, wall clock seconds of its arrival.
Take = Callable[[str, bytes, Headers, float], None]
_EVERYTHING = (("futures_data", "#"),)


@asynccontextmanager
async def listening(
    amqp_url: str, take: Take, bindings: Sequence[tuple[str, str]] = _EVERYTHING
) -> AsyncIterator[None]:
    """`take` gets every message of the block, in the order of arrival."""
    broker = Broker(amqp_url, "bench", topology("futures_data"), declares=True)
    async with await broker.connect("topology") as connection:
        await broker.declare(await connection.channel())

    async def on_message(message: DeliveredMessage) -> None:
        now_s = time.time()
        headers = message.header.properties.headers or {}
        take(message.routing_key or "", message.body, headers, now_s)

    async with await broker.connect("listener") as connection:
        channel = await connection.channel(publisher_confirms=False)
        queue = await own_queue(channel, "client", "bench", bindings)
        settle()
        underlay = await channel.get_underlay_channel()
        await underlay.basic_consume(queue.name, on_message, no_ack=True)
        yield
