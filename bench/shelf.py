"""A durable queue that keeps what is published until it is counted."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aiormq
from aiormq.abc import DeliveredMessage, FieldTable

from bench.node import QUEUE_BYTES
from shared.broker import Broker
from shared.topology import topology

_TAKE_S = 5.0  # for the first messages; a thousand a second of them is slow
_ARGUMENTS: FieldTable = {
    "x-max-length-bytes": QUEUE_BYTES,
    "x-overflow": "reject-publish",
    "x-queue-mode": "lazy",
}


class Shelf:
    """`depth` while messages come in, `take_all` when they have come."""

    def __init__(self, name: str, channel: aiormq.abc.AbstractChannel) -> None:
        self.name = name
        self._channel = channel

    async def depth(self) -> int:
        declared = await self._channel.queue_declare(self.name, passive=True)
        return declared.message_count or 0

    async def empty(self) -> None:
        await self._channel.queue_purge(self.name)

    async def settled(self, quiet_s: float = 0.6) -> int:
        """The depth when it has stopped growing."""
        before = -1
        while (now := await self.depth()) != before:
            before = now
            await asyncio.sleep(quiet_s)
        return now

    async def take_all(self, take: Callable[[str, bytes, str | None], None], expected: int) -> int:
        """Hand every message to `take` as routing key, body and content encoding; how many."""
        got, done = 0, asyncio.Event()
        if not expected:
            return 0

        async def on_message(message: DeliveredMessage) -> None:
            nonlocal got
            got += 1
            take(
                message.routing_key or "", message.body, message.header.properties.content_encoding
            )
            if got >= expected:
                done.set()

        consuming = await self._channel.basic_consume(self.name, on_message, no_ack=True)
        async with asyncio.timeout(_TAKE_S + expected / 1000):
            await done.wait()
        await self._channel.basic_cancel(consuming.consumer_tag)  # type: ignore[arg-type]
        return got


@asynccontextmanager
async def shelf(url: str, name: str, bindings: Sequence[tuple[str, str]]) -> AsyncIterator[Shelf]:
    """A queue on the fleet's exchanges; its name starts with `bench`, and it goes with the block.

    It is a lazy one, as all classic queues are from RabbitMQ 3.12 on: others page out in bursts as
    they fill, and the broker's confirms wait for that.
    """
    broker = Broker(url, "bench", topology("futures_data"), declares=True)
    async with await broker.connect("topology") as connection:
        await broker.declare(await connection.channel())
    raw = await broker.connect_raw("shelf")
    try:
        channel = await raw.channel(publisher_confirms=False)
        await channel.queue_declare(name, durable=True, arguments=_ARGUMENTS)
        for exchange, key in bindings:
            await channel.queue_bind(name, exchange, key)
        yield Shelf(name, channel)
        await channel.queue_delete(name)
    finally:
        await raw.close()
