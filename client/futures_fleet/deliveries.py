"""Deliveries as aiormq puts them together, without a task around each.

aiormq runs a consumer's callback in a task of its own. Where this aiormq has the parts that we
know, deliveries are taken where it has read them; else in its public way.
"""

from collections.abc import Callable
from typing import Any

import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage

Take = Callable[[DeliveredMessage], None]

_PARTS = ("_on_deliver_frame", "_get_frame", "_read_content")


def usable() -> bool:
    """Whether this aiormq still has the parts that are relied on."""
    return all(hasattr(aiormq.Channel, part) for part in _PARTS)


async def consume(channel: AbstractChannel, queue: str, take: Take, *, direct: bool) -> None:
    """Hand every delivery of the queue to `take`, in order, without acknowledging any.

    `take` may neither wait nor raise. `direct`: the channel serves this consumer alone.
    """

    async def on_message(delivered: DeliveredMessage) -> None:
        take(delivered)

    if direct:
        _take_directly(channel, take)
    await channel.basic_consume(queue, on_message, no_ack=True)


def _take_directly(channel: Any, take: Take) -> None:
    async def on_deliver(frame: Any) -> None:
        header = await channel._get_frame()
        if not hasattr(header, "body_size"):
            raise ValueError(f"unexpected frame {header!r} instead of a header")
        take(await channel._read_content(frame, header))

    channel._on_deliver_frame = on_deliver
