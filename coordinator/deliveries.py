"""What a queue delivers, in order, as an async iterator that ends with an error."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.message import IncomingMessage
from aiormq.abc import DeliveredMessage

from shared.errors import BrokerError

CONSUME_TIMEOUT_S = 30.0


async def deliveries(
    channel: AbstractChannel, queue: str, arguments: dict[str, Any] | None = None
) -> AsyncIterator[AbstractIncomingMessage]:
    """Messages to be acknowledged by the reader; as many wait here as the prefetch count allows.

    Raises BrokerError when the channel closes or the broker cancels the subscription, which
    aio-pika's own iterator does not notice.
    """
    inbox: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
    underlay = await channel.get_underlay_channel()

    async def take(delivered: DeliveredMessage) -> None:
        inbox.put_nowait(IncomingMessage(delivered))

    async def end(*_: object) -> None:
        inbox.put_nowait(None)

    channel.close_callbacks.add(end)
    underlay.on_consumer_cancel_callbacks.add(end)
    await underlay.basic_consume(queue, take, arguments=arguments, timeout=CONSUME_TIMEOUT_S)
    while (message := await inbox.get()) is not None:
        yield message
    raise BrokerError(f"the subscription to {queue} ended")
