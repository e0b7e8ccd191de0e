"""Which coordinator leads, as they say it in their heartbeats."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractIncomingMessage

from shared.broker import own_queue
from shared.status import Heartbeat
from shared.topology import STATUS
from tests.coordinators import Client


class Leaders:
    """The last heartbeat of each."""

    def __init__(self) -> None:
        self._heard: dict[str, Heartbeat] = {}

    def take(self, message: AbstractIncomingMessage) -> None:
        beat = Heartbeat.model_validate_json(message.body)
        self._heard[beat.worker] = beat

    def forget(self) -> None:
        """What was said so far: who has just been hit may have said it."""
        self._heard.clear()

    def of(self, epoch: int) -> str | None:
        """Who leads in this epoch or a later one, once it has said so."""
        for worker, beat in self._heard.items():
            late = beat.revision is not None and beat.revision.epoch >= epoch
            if late and beat.details.get("leader") is True:
                return worker
        return None


@asynccontextmanager
async def leaders(user: Client) -> AsyncIterator[Leaders]:
    heard = Leaders()
    binding = [(STATUS, "heartbeat.coordinator.#")]
    queue = await own_queue(user.channel, "client", "leaders", binding)

    async def take(message: AbstractIncomingMessage) -> None:
        heard.take(message)

    tag = await queue.consume(take, no_ack=True)
    yield heard
    await queue.cancel(tag)
