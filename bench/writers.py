"""Three ways to publish the same messages: the least that AMQP allows, aio-pika's, ours."""

import asyncio
import struct
from collections.abc import Awaitable, Callable

from aiormq.abc import ChannelFrame
from pamqp import commands, frame, header

from shared.broker import Broker
from shared.clock import SystemClock
from shared.frames import FramePublisher
from shared.kinds import TRADES
from shared.plain import PlainPublisher
from shared.publisher import Bounds, Outcome, Publication

KEY = "trades.bench.BTCUSDT"
_CONFIRM_S = 240.0

#: Publishes so many messages of so many bytes and returns when all are confirmed.
Writer = Callable[[Broker, int, int], Awaitable[None]]


def publication(number: int, size: int) -> Publication:
    """A message as the outbox makes them; its body is its number, zero-padded."""
    headers = {"seq": number, "epoch": "bench-0@h/1", "schema": 1, "worker": "bench-0@h"}
    return Publication(
        exchange="futures_data",
        routing_key=KEY,
        kind=TRADES,
        body=b"%0*d" % (size, number),
        message_id=f"bench:BTCUSDT:trades:{number}",
        headers=headers,
        timestamp_ms=10**12,
    )


async def bare(broker: Broker, messages: int, size: int) -> None:
    """One frame set a message on the socket, no bookkeeping but a count of confirms."""
    connection = await broker.connect_raw("bare")
    channel = await connection.channel(publisher_confirms=True)
    confirmed, done = 0, asyncio.Event()

    async def on_confirm(confirm: commands.Basic.Ack) -> None:
        nonlocal confirmed
        confirmed = confirm.delivery_tag if confirm.multiple else confirmed + 1
        if confirmed >= messages:
            done.set()

    channel._on_confirm_frame = on_confirm  # type: ignore[attr-defined]
    publish = frame.marshal(commands.Basic.Publish(exchange="futures_data", routing_key=KEY), 1)
    for number in range(messages):
        payload = ChannelFrame(publish + _content(publication(number, size)), should_close=False)
        await channel.write_queue.put(payload)  # type: ignore[attr-defined]
        if number % 50 == 0:
            await asyncio.sleep(0)
    async with asyncio.timeout(_CONFIRM_S):
        await done.wait()
    await connection.close()


def _content(one: Publication) -> bytes:
    properties = commands.Basic.Properties(
        content_type="application/json",
        delivery_mode=2,
        message_id=one.message_id,
        headers=one.headers,
    )
    head = frame.marshal(header.ContentHeader(body_size=len(one.body), properties=properties), 1)
    return head + struct.pack(">BHI", 3, 1, len(one.body)) + one.body + b"\xce"


def through(kind: type[FramePublisher] | type[PlainPublisher]) -> Writer:
    """A publisher of the fleet. Raises AssertionError where it did not confirm each message."""

    async def run(broker: Broker, messages: int, size: int) -> None:
        confirmed = 0

        def settled(message: Publication, outcome: Outcome) -> None:
            nonlocal confirmed
            confirmed += outcome is Outcome.CONFIRMED

        publisher = kind(broker, "bench", Bounds(queued_bytes=2**31), settled, SystemClock())
        running = asyncio.create_task(publisher.run())
        for number in range(messages):
            publisher.offer(publication(number, size))
        drained = await publisher.drain(_CONFIRM_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert drained and confirmed == messages, f"{confirmed} of {messages} confirmed"

    return run


WRITERS: dict[str, Writer] = {
    "bare AMQP writer": bare,
    "aio-pika's window": through(PlainPublisher),
    "publisher": through(FramePublisher),
}
