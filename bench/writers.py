"""Three ways to publish the same messages: the least that AMQP allows, aio-pika's, ours."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import aio_pika
from aiormq.abc import ChannelFrame
from pamqp import commands, frame

from bench.waiting import until
from shared.broker import Broker
from shared.clock import SystemClock
from shared.content import Contents
from shared.frames import FramePublisher
from shared.kinds import TRADES
from shared.publisher import Bounds, Outcome, Publication

KEY = "trades.bench.BTCUSDT"
_CONFIRM_S = 240.0
#: Messages of aio-pika on their way at a time; 16 and 1024 are no faster.
_WINDOW = 256


class Spent(NamedTuple):
    """From the first message to the last confirm."""

    wall_s: float
    cpu_s: float  # of this process


#: Publishes so many messages of so many bytes until all are confirmed.
Writer = Callable[[Broker, int, int], Awaitable[Spent]]


class Stopwatch:
    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def spent(self) -> Spent:
        return Spent(time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s)


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


async def bare(broker: Broker, messages: int, size: int) -> Spent:
    """The publisher's own bytes, made before the clock runs; one frame set a message on the socket,
    no bookkeeping but a count of confirms."""
    connection = await broker.connect_raw("bare")
    channel = await connection.channel(publisher_confirms=True)
    confirmed, done = 0, asyncio.Event()

    async def on_confirm(confirm: commands.Basic.Ack) -> None:
        nonlocal confirmed
        confirmed = confirm.delivery_tag if confirm.multiple else confirmed + 1
        if confirmed >= messages:
            done.set()

    channel._on_confirm_frame = on_confirm  # type: ignore[attr-defined]
    number = channel.number
    publish = frame.marshal(
        commands.Basic.Publish(exchange="futures_data", routing_key=KEY), number
    )
    contents = Contents(number)
    payloads = [
        ChannelFrame(b"".join((publish, *contents.encode(publication(n, size)))), False)
        for n in range(messages)
    ]
    watch = Stopwatch()
    for n, payload in enumerate(payloads):
        await channel.write_queue.put(payload)  # type: ignore[attr-defined]
        if n % 50 == 0:
            await asyncio.sleep(0)
    async with asyncio.timeout(_CONFIRM_S):
        await done.wait()
    spent = watch.spent()
    await connection.close()
    return spent


async def window(broker: Broker, messages: int, size: int) -> Spent:
    """aio-pika's public interface, a task a message and so many at a time."""
    async with await broker.connect("window") as connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = await channel.get_exchange("futures_data", ensure=False)
        free = asyncio.Semaphore(_WINDOW)

        async def publish(one: Publication) -> None:
            try:
                message = aio_pika.Message(
                    one.body,
                    content_type="application/json",
                    content_encoding="utf-8",
                    type=one.kind.name,
                    app_id="futures-fleet",
                    timestamp=one.timestamp_ms / 1000,
                    message_id=one.message_id,
                    headers=one.headers,
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                )
                await exchange.publish(message, one.routing_key, mandatory=False)
            finally:
                free.release()

        watch = Stopwatch()
        async with asyncio.timeout(_CONFIRM_S), asyncio.TaskGroup() as tasks:
            for n in range(messages):
                await free.acquire()
                tasks.create_task(publish(publication(n, size)))
        return watch.spent()


async def ours(broker: Broker, messages: int, size: int) -> Spent:
    """The fleet's publisher. Raises AssertionError where it did not confirm each message."""
    confirmed = 0

    def settled(message: Publication, outcome: Outcome) -> None:
        nonlocal confirmed
        confirmed += outcome is Outcome.CONFIRMED

    publisher = FramePublisher(broker, "bench", Bounds(queued_bytes=2**31), settled, SystemClock())
    running = asyncio.create_task(publisher.run())
    if not await until(lambda: publisher.connected, 10, poll_s=0.001):
        raise TimeoutError("the publisher did not connect")
    watch = Stopwatch()
    for n in range(messages):
        publisher.offer(publication(n, size))
    drained = await publisher.drain(_CONFIRM_S)
    spent = watch.spent()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert drained and confirmed == messages, f"{confirmed} of {messages} confirmed"
    return spent


WRITERS: dict[str, Writer] = {
    "bare AMQP writer": bare,
    "aio-pika's window": window,
    "publisher": ours,
}
