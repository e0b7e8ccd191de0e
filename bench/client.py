"""The client library: how many messages a second one process takes, on one core."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from statistics import median
from typing import Any

import orjson

from bench.lab import Lab
from bench.processes import ended_in_time
from bench.report import Bar, Figure, Row
from bench.waiting import until
from cli.place import ROOT
from shared.broker import Broker
from shared.clock import SystemClock
from shared.frames import FramePublisher
from shared.kinds import TRADES
from shared.publisher import Bounds, Outcome, Publication
from shared.topology import topology

_KEYS = 100
_WAIT_S = 240.0
#: What a program does with a message, and on which event loop: name and options of the reader.
_PROGRAMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("asyncio, bodies not looked at", ()),
    ("asyncio, bodies parsed", ("--bodies",)),
    ("uvloop, bodies parsed", ("--bodies", "--uvloop")),
)
_BAR = Bar(10_000)


async def measure(lab: Lab) -> list[Row]:
    """Rounds in turn, so that what else the machine does meets all of them; medians."""
    messages, rounds = lab.pick(2_000, 60_000), lab.pick(1, 3)
    broker = Broker(lab.node.amqp_url, "bench", topology("futures_data"), declares=True)
    async with await broker.connect("topology") as connection:
        await broker.declare(await connection.channel())
    found: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in _PROGRAMS}
    for name, options in _PROGRAMS * rounds:
        got = await _round(broker, lab.node.amqp_url, messages, options)
        if complaint := _complaint(got, messages):
            return [Row("client library", why=f"{name}: {complaint}")]
        found[name].append(got)
        lab.say(f"  {name}: {_rate(got):,.0f}/s")
    return [_row(name, each) for name, each in found.items()]


async def _round(
    broker: Broker, url: str, messages: int, options: tuple[str, ...]
) -> dict[str, Any]:
    """What the reader says, which stands still until all of it waits for it: two cores are too few
    for a publisher beside a broker and a reader."""
    patient = f"{url}?heartbeat=240"  # else the broker cuts off who stands still
    command = (sys.executable, "-m", "bench.reader", patient, str(messages), *options)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE)
    try:
        await _line(process)
        process.send_signal(signal.SIGSTOP)
        try:
            await _publish(broker, messages)
        finally:
            process.send_signal(signal.SIGCONT)
        said: dict[str, Any] = orjson.loads(await _line(process))
        return said
    finally:
        await ended_in_time(process)


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(_WAIT_S):
        line = await process.stdout.readline()
    if not line:
        raise ChildProcessError("the reader ended")
    return line


async def _publish(broker: Broker, messages: int) -> None:
    """Raises AssertionError where the broker did not confirm each message."""
    confirmed = 0

    def settled(_message: Publication, outcome: Outcome) -> None:
        nonlocal confirmed
        confirmed += outcome is Outcome.CONFIRMED

    publisher = FramePublisher(broker, "bench", Bounds(queued_bytes=2**31), settled, SystemClock())
    running = asyncio.create_task(publisher.run())
    try:
        if not await until(lambda: publisher.connected, 10, poll_s=0.001):
            raise TimeoutError("the publisher did not connect")
        seqs: Counter[str] = Counter()
        for number in range(messages):
            symbol = f"S{number % _KEYS:03d}"
            seqs[symbol] += 1
            publisher.offer(_publication(number, symbol, seqs[symbol]))
        drained = await publisher.drain(_WAIT_S)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert drained and confirmed == messages, f"{confirmed} of {messages} confirmed"


def _publication(number: int, base: str, seq: int) -> Publication:
    """A trade as a collector publishes it."""
    now_ms = 1_800_000_000_000 + number
    symbol = f"{base}/USDT:USDT"
    body = {
        "exchange": "bench",
        "symbol": symbol,
        "id": str(number),
        "price": 50_000.5,
        "amount": 0.125,
        "side": "buy",
        "timestamp": now_ms,
        "received_at": now_ms + 3,
        "source": "stream",
        "fills": 1,
        "large": False,
    }
    headers = {"seq": seq, "schema": 1, "worker": "bench-0@h", "epoch": "bench-0@h/1"}
    return Publication(
        exchange="futures_data",
        routing_key=f"trades.bench.{base}USDT",
        kind=TRADES,
        body=orjson.dumps(body),
        message_id=f"bench:{symbol}:trades:{number}",
        headers={**headers, "received_at": now_ms + 3},
        timestamp_ms=now_ms,
    )


def _complaint(got: dict[str, Any], messages: int) -> str:
    wrong = {name: got[name] for name in ("missed", "duplicates", "dropped", "refused")}
    if got["messages"] == messages and not any(wrong.values()):
        return ""
    return f"{got['messages']} of {messages} were handed out, {wrong}"


def _rate(got: dict[str, Any]) -> float:
    return float(got["messages"] / got["wall_s"])


def _row(name: str, rounds: list[dict[str, Any]]) -> Row:
    cpu_s = median(got["cpu_s"] / got["messages"] for got in rounds)
    figures = [
        Figure(median(map(_rate, rounds)), "msg/s", _BAR),
        Figure(1e6 * cpu_s, "µs CPU a message"),
    ]
    return Row(
        f"client library, {name}, trades of 100 symbols", figures, details={"rounds": rounds}
    )
