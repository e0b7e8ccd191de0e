"""How fast the publishers are, as ratios of a bare AMQP writer in the same run.

`python scripts/bench_publisher.py [--messages N] [--size BYTES]` on a private broker of its own.
Counts are checked: a run that lost or repeated a message has no figure.
"""

import argparse
import asyncio
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from aiormq.abc import ChannelFrame
from pamqp import commands, frame, header

from cli.broker_node import Node
from cli.private_broker import BrokerPorts, PrivateBroker, find_server
from shared.broker import Broker
from shared.frames import FramePublisher
from shared.kinds import TRADES
from shared.plain import PlainPublisher
from shared.publisher import Bounds, Outcome, Publication
from shared.topology import topology

KEY = "trades.bench.BTCUSDT"
QUEUE = "bench"


def publication(number: int, size: int) -> Publication:
    headers = {"seq": number, "epoch": "bench-0@h/1", "schema": 1, "worker": "bench-0@h"}
    return Publication(
        "futures_data", KEY, TRADES, b"x" * size, f"bench:BTCUSDT:trades:{number}", headers, 10**12
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
    body = struct.pack(">BHI", 3, 1, size) + b"x" * size + b"\xce"
    for number in range(messages):
        one = publication(number, size)
        properties = commands.Basic.Properties(
            content_type="application/json",
            delivery_mode=2,
            message_id=one.message_id,
            headers=one.headers,
        )
        content = frame.marshal(header.ContentHeader(body_size=size, properties=properties), 1)
        payload = ChannelFrame(publish + content + body, should_close=False)
        await channel.write_queue.put(payload)  # type: ignore[attr-defined]
        if number % 50 == 0:
            await asyncio.sleep(0)
    await asyncio.wait_for(done.wait(), 120)
    await connection.close()


def through(kind: type[FramePublisher] | type[PlainPublisher]) -> "Runner":
    async def run(broker: Broker, messages: int, size: int) -> None:
        confirmed = 0

        def settled(message: Publication, outcome: Outcome) -> None:
            nonlocal confirmed
            confirmed += outcome is Outcome.CONFIRMED

        publisher = kind(broker, "bench", Bounds(queued_bytes=2**31), settled)
        running = asyncio.create_task(publisher.run())
        for number in range(messages):
            publisher.offer(publication(number, size))
        assert await publisher.drain(240)
        assert confirmed == messages
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    return run


Runner = Callable[[Broker, int, int], Awaitable[None]]


async def measured(runner: Runner, url: str, messages: int, size: int) -> tuple[float, float]:
    """Messages a second, and microseconds of our CPU a message."""
    broker = Broker(url, "bench", topology("futures_data"), declares=True)
    async with await broker.connect("queue") as connection:
        channel = await connection.channel()
        await broker.declare(channel)
        queue = await channel.declare_queue(QUEUE, durable=True)
        await queue.bind("futures_data", "#")
        await queue.purge()
        wall, cpu = time.perf_counter(), time.process_time()
        await runner(broker, messages, size)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        await asyncio.sleep(0.5)
        depth = (await channel.declare_queue(QUEUE, durable=True, passive=True)).declaration_result
        assert depth.message_count == messages, f"{depth.message_count} of {messages} arrived"
        await queue.delete(if_unused=False, if_empty=False)
    return messages / wall, 1e6 * cpu / messages


async def compare(url: str, messages: int, size: int) -> None:
    runners = {
        "bare writer": bare,
        "own frames": through(FramePublisher),
        "aio-pika window": through(PlainPublisher),
    }
    rates = {name: await measured(run, url, messages, size) for name, run in runners.items()}
    base = rates["bare writer"][0]
    for name, (rate, cpu_us) in rates.items():
        sys.stdout.write(
            f"{name:16} {rate / base:5.2f} of bare  {rate:8.0f} msg/s  {cpu_us:6.1f} us CPU\n"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=30_000)
    parser.add_argument("--size", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        node = Node(PrivateBroker(Path(directory), BrokerPorts.free(), find_server()))
        node.start()
        try:
            uvloop.run(compare(node.amqp_url, arguments.messages, arguments.size))
        finally:
            node.close()


if __name__ == "__main__":
    main()
