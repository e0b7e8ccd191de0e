"""The fast publisher: pre-encoded AMQP frames, many to one write, confirmed per delivery tag.

aiormq keeps the connection, channel and heartbeats; we put whole frames on its write queue and
take the confirms. Measured at three to four times aio-pika's window of tasks. It touches what
aiormq keeps to itself: the contract suite fails when that changes, and `usable` says so at run time
of what can be seen without a connection.

Acks come singly and out of order as soon as persistent and transient messages, or two types of
queue, share a channel: each is settled by its own tag, never by a high-water mark.
"""

import asyncio
import logging
from collections.abc import Iterator
from functools import partial

import aiormq
from aiormq.abc import ChannelFrame, DeliveredMessage
from pamqp import commands, frame

from shared.backlog import Backlog, Queued
from shared.broker import (
    CONNECT_TIMEOUT_S,
    Broker,
    Episode,
    heed_cancellation,
    is_connection_error,
)
from shared.clock import Clock
from shared.content import Contents
from shared.publisher import ENCODE_ERRORS, Bounds, Publication, Settled
from shared.tasks import ended

#: Messages encoded in one go; the event loop gets its turn in between.
_BURST = 50
_ROUTES_CACHED = 10_000
#: A connection without traffic works when it has lived this long.
_ALIVE_S = 5.0

log = logging.getLogger("rabbitmq")


def usable() -> bool:
    """Whether this aiormq still has the parts that the fast publisher relies on."""
    channel = aiormq.Channel
    return hasattr(channel, "_on_confirm_frame") and hasattr(aiormq.Connection, "channel")


class FramePublisher(Queued):
    """See `shared.publisher.Publisher`."""

    def __init__(
        self, broker: Broker, purpose: str, bounds: Bounds, settled: Settled, clock: Clock
    ) -> None:
        super().__init__(Backlog(bounds, settled, clock))
        self._broker = broker
        self._purpose = purpose
        self._episode = Episode(f"{broker.address} ({purpose})")
        self._unconfirmed: dict[int, Publication] = {}  # by delivery tag, in order of tags
        self._unconfirmed_bytes = 0
        self._routes: dict[tuple[str, str, bool], bytes] = {}
        self._contents = Contents(1)
        self._channel: aiormq.Channel | None = None

    def messages(self) -> Iterator[Publication]:
        yield from self._backlog.messages()
        yield from self._unconfirmed.values()

    @property
    def room(self) -> bool:
        return self.connected and self._window_open(self._backlog.waiting)

    async def run(self) -> None:
        while True:
            try:
                await self._declare_again(self._broker)
                connection = await self._broker.connect_raw(self._purpose)
                await self._serve(connection)
                self._episode.failed("the connection or its channel was closed")
            except asyncio.CancelledError:
                heed_cancellation()
                # Not ours: aiormq cancels what waits on a connection whose heartbeat failed.
                self._episode.failed("the connection was lost")
            except Exception as error:
                if not is_connection_error(error):
                    raise
                self._episode.failed(str(error) or type(error).__name__)
            await asyncio.sleep(self._episode.pause_s())

    async def _serve(self, connection: aiormq.abc.AbstractConnection) -> None:
        """Send on this connection until it or its channel ends; what is unsettled is requeued."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                channel = await connection.channel(publisher_confirms=True, on_return_raises=False)
            assert isinstance(channel, aiormq.Channel)
            self._channel = channel
            on_confirm = partial(self._on_confirm, channel)
            channel._on_confirm_frame = on_confirm  # type: ignore[method-assign]
            channel.on_return_callbacks.add(self._on_return)
            self._routes.clear()
            self._contents = Contents(channel.number)
            self.connected = True
            self._backlog.work.set()
            writing = asyncio.ensure_future(self._write(channel))
            watching = asyncio.ensure_future(self._backlog.watch(connection, self._oldest))
            try:
                with self._episode.over_after(_ALIVE_S):
                    ends = {writing, watching, connection.closing, channel.closing}
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await ended(writing, watching)
        finally:
            self.connected = False
            self._channel = None
            self._requeue()
            await _closed(connection)

    async def _write(self, channel: aiormq.Channel) -> None:
        while True:
            await self._backlog.work.wait()
            self._backlog.work.clear()
            while self._backlog and self._window_open() and not channel.is_closed:
                payload = b"".join(self._next_burst(channel))
                await channel.write_queue.put(
                    ChannelFrame(payload=payload, should_close=False, drain_future=None)
                )
                await asyncio.sleep(0)

    def _oldest(self) -> Publication | None:
        return next(iter(self._unconfirmed.values()), None)

    def _next_burst(self, channel: aiormq.Channel) -> list[bytes]:
        parts: list[bytes] = []
        now = self._backlog.clock.monotonic()
        for _ in range(_BURST):
            if not self._backlog or not self._window_open():
                break
            message = self._backlog.take()
            try:
                parts += self._encode(message, channel.number)
            except ENCODE_ERRORS as error:
                log.error("Can not publish to %.80s: %s", message.routing_key, error)
                self._backlog.unencodable(message)
                continue
            channel.delivery_tag += 1
            message.sent_at = now
            self._unconfirmed[channel.delivery_tag] = message
            if message.mandatory:
                self._expect_return(channel, message)
            self._unconfirmed_bytes += message.size
        return parts

    def _encode(self, message: Publication, channel_number: int) -> tuple[bytes, ...]:
        return self._route(message, channel_number), *self._contents.encode(message)

    def _route(self, message: Publication, channel_number: int) -> bytes:
        """The Basic.Publish frame, constant for a routing key on one channel."""
        route = (message.exchange, message.routing_key, message.mandatory)
        encoded = self._routes.get(route)
        if encoded is None:
            if len(self._routes) >= _ROUTES_CACHED:
                self._routes.clear()
            publish = commands.Basic.Publish(
                exchange=route[0], routing_key=route[1], mandatory=route[2]
            )
            encoded = self._routes[route] = frame.marshal(publish, channel_number)
        return encoded

    def _expect_return(self, channel: aiormq.Channel, message: Publication) -> None:
        """Have aiormq tell us if the broker sends this one back, which it does before its ack."""
        tag = channel.delivery_tag
        channel.message_id_delivery_tag[message.message_id] = tag
        channel.confirmations[tag] = asyncio.get_running_loop().create_future()

    def _on_return(self, message: DeliveredMessage) -> None:
        if self._channel is None:
            return
        message_id = message.header.properties.message_id or ""
        tag = self._channel.message_id_delivery_tag.get(message_id, 0)
        if returned := self._unconfirmed.get(tag):
            returned.returned = True

    async def _on_confirm(
        self, channel: aiormq.Channel, confirm: commands.Basic.Ack | commands.Basic.Nack
    ) -> None:
        if channel is not self._channel:
            return  # a late one, of a channel whose messages were requeued
        tag = confirm.delivery_tag or 0
        tags = [tag]
        if confirm.multiple:
            tags = []
            for unconfirmed in self._unconfirmed:
                if unconfirmed > tag:
                    break
                tags.append(unconfirmed)
        acked = isinstance(confirm, commands.Basic.Ack)
        for settled in tags:
            self._settle(settled, acked)
        self._backlog.work.set()

    def _settle(self, tag: int, acked: bool) -> None:
        message = self._unconfirmed.pop(tag, None)
        if message is None:
            return
        self._unconfirmed_bytes -= message.size
        if message.mandatory and self._channel is not None:
            self._channel.confirmations.pop(tag, None)
            self._channel.message_id_delivery_tag.pop(message.message_id, None)
        if acked:
            self._episode.over()
            self._backlog.confirmed(message)
        else:
            self._backlog.nacked(message)

    def _requeue(self) -> None:
        """What was on its way goes back in front and out again, with the same ids."""
        self._backlog.put_back(list(self._unconfirmed.values()))
        self._unconfirmed.clear()
        self._unconfirmed_bytes = 0

    def _window_open(self, before: int = 0) -> bool:
        """Whether the broker may be sent one more message, after `before` that wait."""
        backlog, bounds = self._backlog, self._backlog.bounds
        unconfirmed_bytes = self._unconfirmed_bytes + (backlog.waiting_bytes if before else 0)
        return (
            len(self._unconfirmed) + before < bounds.unconfirmed
            and unconfirmed_bytes < bounds.unconfirmed_bytes
            and not backlog.stalled
        )


async def _closed(connection: aiormq.abc.AbstractConnection) -> None:
    try:
        async with asyncio.timeout(2):
            await connection.close()
    except Exception as error:
        if not is_connection_error(error):
            raise
