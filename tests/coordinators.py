"""Coordinators to test: a whole process, or one in this process; and a client that talks to them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from coordinator.coordinator import Coordinator
from shared.broker import Broker, own_queue
from shared.clock import SystemClock
from shared.config import AppConfig, Environment, Settings
from shared.service import Stop
from shared.status import Heartbeat, MarketList
from shared.symbolset import SymbolSet
from shared.topology import (
    COMMANDS,
    CONTROL_QUEUE,
    RESPONSES,
    STATUS,
    SYMBOLS,
    heartbeat_key,
    markets_key,
    topology,
)
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent
BTC, ETH, SOL = "BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"
EXCHANGES = ("binance", "gateio", "htx")


def settings(url: str, home: Path, symbols: Sequence[str] = (BTC, ETH)) -> Settings:
    return Settings(
        config=AppConfig(exchanges=EXCHANGES, symbols=tuple(symbols)),
        environment=Environment(
            amqp_url=url,
            config_path=home / "config.json",
            home=home,
            host_id=home.name,
            egress=home.name,
        ),
        keys={},
    )


@asynccontextmanager
async def coordinator(
    url: str, home: Path, symbols: Sequence[str] = (BTC, ETH)
) -> AsyncIterator[Coordinator]:
    """One in this process, stopped in order at the end."""
    stop = Stop()
    subject = Coordinator(settings(url, home, symbols), SystemClock())
    work = asyncio.create_task(subject.run(stop))
    try:
        yield subject
    finally:
        stop.request()
        await asyncio.wait_for(work, 15)


class Process:
    """`python -m coordinator`, as supervisord starts it."""

    def __init__(
        self, url: str, home: Path, symbols: Sequence[str] = (BTC, ETH), **config: Any
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.log = home / "coordinator.log"
        config = {"exchanges": EXCHANGES, "symbols": symbols} | config
        (home / "config.json").write_bytes(orjson.dumps(config))
        self._env = os.environ | {
            "AMQP_URL": url,
            "FLEET_CONFIG": str(home / "config.json"),
            "FLEET_HOME": str(home),
            "FLEET_HOST_ID": home.name,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *arguments: str) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "coordinator", *arguments),
                cwd=ROOT,
                env=self._env,
                stdout=log,
                stderr=log,
            )

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code. One that still starts gets to its handler first:
        until then a signal ends it as it would end any program, with no code of its own."""
        assert self._process is not None
        if number == signal.SIGTERM:
            await eventually(self._heeds_sigterm, 20, "a handler for SIGTERM")
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self.wait()

    def _heeds_sigterm(self) -> bool:
        assert self._process is not None
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except FileNotFoundError:
            return True  # ended by itself
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def wait(self) -> int:
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), 20)

    async def run(self, *arguments: str) -> int:
        await self.start(*arguments)
        return await self.wait()


class Client:
    """Sends commands, hears every answer and announcement, and plays collectors."""

    def __init__(self, channel: AbstractChannel, replies: AbstractQueue) -> None:
        self.channel = channel
        self.replies = replies
        self.answers: list[tuple[str, bytes, AbstractIncomingMessage]] = []  # key, body, message
        self.announced: list[SymbolSet] = []
        self.replied: list[AbstractIncomingMessage] = []

    def on_answer(self, message: AbstractIncomingMessage) -> None:
        self.answers.append((message.routing_key or "", message.body, message))

    def on_announcement(self, message: AbstractIncomingMessage) -> None:
        self.announced.append(SymbolSet.model_validate_json(message.body))

    async def send(self, body: bytes | dict[str, Any], **properties: Any) -> None:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        exchange = await self.channel.get_exchange(COMMANDS, ensure=False)
        await exchange.publish(aio_pika.Message(raw, **properties), CONTROL_QUEUE)

    async def ask(self, body: bytes | dict[str, Any], **properties: Any) -> dict[str, Any]:
        """Send, and the next answer."""
        before = len(self.answers)
        await self.send(body, **properties)
        await eventually(lambda: len(self.answers) > before, 20)
        answer: dict[str, Any] = orjson.loads(self.answers[before][1])
        return answer

    async def request(self, command: dict[str, Any], **properties: Any) -> dict[str, Any]:
        """Send, and the answer to this very command, whoever else asks meanwhile."""
        id_ = command["correlation_id"]
        before = len(self.answers)
        await self.send(command, **properties)

        def answer() -> dict[str, Any] | None:
            found = map(orjson.loads, (body for _, body, _ in self.answers[before:]))
            return next((one for one in found if one["correlation_id"] == id_), None)

        return await eventually(answer, 20, f"an answer to {command}")

    async def heartbeat(self, beat: Heartbeat) -> None:
        key = heartbeat_key(beat.role, beat.exchange, beat.worker)
        await self.status(key, beat.model_dump_json().encode())

    async def markets(self, exchange: str, symbols: list[str]) -> None:
        body = MarketList(exchange=exchange, worker="w", symbols=symbols).model_dump_json()
        await self.status(markets_key(exchange, "w"), body.encode())

    async def status(self, key: str, body: bytes) -> None:
        exchange = await self.channel.get_exchange(STATUS, ensure=False)
        await exchange.publish(aio_pika.Message(body), key, mandatory=False)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    broker = Broker(url, "test client", topology("futures_data"), declares=True)
    connection = await broker.connect("test")
    async with connection:
        channel = await connection.channel()
        await broker.declare(channel)
        replies = await own_queue(channel, "client", "replies", [])
        subject = Client(channel, replies)
        answers = await own_queue(channel, "client", "answers", [(RESPONSES, "#")])
        symbols = await own_queue(channel, "client", "symbols", [(SYMBOLS, "")])
        await answers.consume(_plain(subject.on_answer), no_ack=True)
        await symbols.consume(_plain(subject.on_announcement), no_ack=True)
        await replies.consume(_plain(subject.replied.append), no_ack=True)
        yield subject


def _plain(take: Any) -> Any:
    async def callback(message: AbstractIncomingMessage) -> None:
        take(message)

    return callback
