"""A process that puts numbered trades into an outbox, to be killed by tests.

`python -m tests.custodian AMQP_URL HOME WORKER FROM COUNT RATE`: says again and again how many of
them are confirmed or on disk, and goes on until it is killed.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from shared.broker import Broker
from shared.clock import SystemClock
from shared.custody import SpoolPlace
from shared.fact import Fact
from shared.kinds import TRADES
from shared.outbox import Origin, Outbox
from shared.sequence import Sequences
from shared.topology import topology


def outbox_of(broker: Broker, home: Path, worker: str, limit_mb: int = 100) -> Outbox:
    clock = SystemClock()
    origin = Origin("x", worker, f"{worker}/{clock.now_ms()}")
    sequences = Sequences(home / f"{worker}.json", origin.epoch)
    place = SpoolPlace(home / "spool" / "x" / f"{worker}.db", limit_mb)
    return Outbox(broker, origin, sequences, clock, batches=False, spool=place)


def trade(number: int) -> Fact:
    body = b'{"symbol":"BTC/USDT:USDT","id":"%d","pad":"%b"}' % (number, b"x" * 250)
    return Fact(TRADES, "BTC/USDT:USDT", body, 1_800_000_000_000, str(number))


async def put_all(outbox: Outbox, first: int, count: int, rate: float) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(first, first + count):
        outbox.put(trade(number))
        ahead = started + (number - first) / rate - loop.time()
        if ahead > 0:
            await asyncio.sleep(ahead)


async def put_until(outbox: Outbox, enough: asyncio.Event, rate: float) -> int:
    """Trades from number 0 on; how many."""
    count, portion = 0, int(rate / 10)
    while not enough.is_set():
        await put_all(outbox, count, portion, rate)
        count += portion
    return count


async def tell(outbox: Outbox) -> None:
    """`safe N`: N facts and all before them are confirmed or on disk."""
    mark = outbox.mark()
    while True:
        await asyncio.sleep(0.01)
        if outbox.settled_up_to(mark):
            sys.stdout.write(f"safe {mark}\n")
            sys.stdout.flush()
            mark = outbox.mark()


async def main(url: str, home: str, worker: str, first: str, count: str, rate: str) -> None:
    broker = Broker(url, worker, topology("futures_data"), declares=True)
    broker.declared.set()
    outbox = outbox_of(broker, Path(home), worker)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outbox.run())
        tasks.create_task(tell(outbox))
        await put_all(outbox, int(first), int(count), float(rate))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
