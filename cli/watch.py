"""Reading a running fleet: an exclusive queue of our own, gone with us."""

import os
import time
from collections.abc import Callable, Sequence

from aio_pika.abc import AbstractConnection

from shared.broker import Broker, own_queue
from shared.topology import STATUS

#: What a demo's board is made of.
DEMO_BINDINGS = (
    ("futures_data", "futures.#"),
    ("futures_data", "trades.#"),
    (STATUS, "heartbeat.#"),
    (STATUS, "markets.#"),
)
Take = Callable[[str, bytes, float], None]


async def watch(
    broker: Broker, take: Take, bindings: Sequence[tuple[str, str]] = DEMO_BINDINGS
) -> None:
    """Hand every message to `take` (routing key, body, monotonic time), for ever, over every
    loss of the connection."""

    async def session(connection: AbstractConnection) -> None:
        channel = await connection.channel()
        await broker.declare(channel, queues=False)
        queue = await own_queue(channel, "client", f"{broker.name}-{os.getpid()}", bindings)
        async with queue.iterator(no_ack=True) as messages:
            async for message in messages:
                take(message.routing_key or "", message.body, time.monotonic())

    await broker.keep("watch", session)
