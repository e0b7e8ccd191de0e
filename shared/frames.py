"""The fast publisher: pre-encoded AMQP frames, many to one write, confirmed per delivery tag.

aiormq keeps the connection, channel and heartbeats; we put whole frames on its write queue and
take the confirms. Measured at three to four times aio-pika's window of tasks. It touches what
aiormq keeps to itself (`write_queue`, `delivery_tag`, `_on_confirm_frame`): the contract suite
fails when these change, and `usable` says so at run time.

Acks come singly and out of order as soon as persistent and transient messages, or two types of
queue, share a channel: each is settled by its own tag, never by a high-water mark.
"""

import asyncio
import logging
import struct
from datetime import UTC, datetime
from functools import partial

import aiormq
from aiormq.abc import ChannelFrame
from pamqp import commands, frame, header

from shared.broker import (
    CONNECT_TIMEOUT_S,
    Broker,
    Episode,
    heed_cancellation,
    is_connection_error,
)
from shared.publisher import ENCODE_ERRORS, Backlog, Bounds, Publication, Settled
from shared.tasks import ended

#: Messages encoded in one go; the event loop gets its turn in between.
_BURST = 50
#: Bytes of a body frame at most: RabbitMQ's default frame_max of 131072 less the frame's own 8.
_FRAME_BODY = 131_072 - 8
_ROUTES_CACHED = 10_000
#: A connection without traffic works when it has lived this long.
_ALIVE_S = 5.0

log = logging.getLogger("rabbitmq")


def usable() -> bool:
    """Whether this aiormq still has the parts that the fast publisher relies on."""
    channel = aiormq.Channel
    return hasattr(channel, "_on_confirm_frame") and hasattr(aiormq.Connection, "channel")


class FramePublisher:
    """See `shared.publisher.Publisher`."""

    def __init__(self, broker: Broker, purpose: str, bounds: Bounds, settled: Settled) -> None:
        self.connected = False
        self._broker = broker
        self._purpose = purpose
        self._backlog = Backlog(bounds, settled)
        self._episode = Episode(f"{broker.address} ({purpose})")
        self._unconfirmed: dict[int, Publication] = {}  # by delivery tag, in order of tags
        self._unconfirmed_bytes = 0
        self._routes: dict[tuple[str, str], bytes] = {}
        self._channel: aiormq.Channel | None = None

    def offer(self, message: Publication) -> bool:
        return self._backlog.offer(message)

    @property
    def pending(self) -> int:
        return self._backlog.unsettled

    @property
    def room(self) -> bool:
        return self.connected and not self._backlog and self._window_open()

    async def run(self) -> None:
        while True:
            try:
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

    async def drain(self, deadline_s: float) -> bool:
        return await self._backlog.settled(deadline_s)

    async def _serve(self, connection: aiormq.abc.AbstractConnection) -> None:
        """Send on this connection until it or its channel ends; what is unsettled is requeued."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                channel = await connection.channel(publisher_confirms=True)
            assert isinstance(channel, aiormq.Channel)
            self._channel = channel
            on_confirm = partial(self._on_confirm, channel)
            channel._on_confirm_frame = on_confirm  # type: ignore[method-assign]
            self._routes.clear()
            self.connected = True
            self._backlog.work.set()
            writing = asyncio.ensure_future(self._write(channel))
            try:
                with self._episode.over_after(_ALIVE_S):
                    ends = {writing, connection.closing, channel.closing}
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await ended(writing)
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

    def _next_burst(self, channel: aiormq.Channel) -> list[bytes]:
        parts: list[bytes] = []
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
            self._unconfirmed[channel.delivery_tag] = message
            self._unconfirmed_bytes += message.size
        return parts

    def _encode(self, message: Publication, channel_number: int) -> list[bytes]:
        properties = commands.Basic.Properties(
            content_type="application/json",
            content_encoding=message.content_encoding or "utf-8",
            delivery_mode=2 if message.kind.lossless else 1,
            message_id=message.message_id,
            message_type=message.kind.name,
            app_id="futures-fleet",
            timestamp=datetime.fromtimestamp(message.timestamp_ms // 1000, UTC),
            headers=message.headers,
        )
        body = message.body
        content = header.ContentHeader(body_size=len(body), properties=properties)
        parts = [self._route(message, channel_number), frame.marshal(content, channel_number)]
        for start in range(0, len(body), _FRAME_BODY):
            chunk = body[start : start + _FRAME_BODY]
            parts += (struct.pack(">BHI", 3, channel_number, len(chunk)), chunk, b"\xce")
        return parts

    def _route(self, message: Publication, channel_number: int) -> bytes:
        """The Basic.Publish frame, constant for a routing key on one channel."""
        route = (message.exchange, message.routing_key)
        encoded = self._routes.get(route)
        if encoded is None:
            if len(self._routes) >= _ROUTES_CACHED:
                self._routes.clear()
            publish = commands.Basic.Publish(exchange=route[0], routing_key=route[1])
            encoded = self._routes[route] = frame.marshal(publish, channel_number)
        return encoded

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

    def _window_open(self) -> bool:
        return (
            len(self._unconfirmed) < self._backlog.bounds.unconfirmed
            and self._unconfirmed_bytes < self._backlog.bounds.unconfirmed_bytes
        )


async def _closed(connection: aiormq.abc.AbstractConnection) -> None:
    try:
        async with asyncio.timeout(2):
            await connection.close()
    except Exception as error:
        if not is_connection_error(error):
            raise
