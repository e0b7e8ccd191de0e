"""One collector in the test's own process, and a consumer of all that it publishes; the same on
every venue at once."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue

from shared.broker import Broker, publish
from shared.clock import SystemClock
from shared.collection import CollectionTask
from shared.config import load_settings, read_environment
from shared.service import Stop
from shared.symbolset import Revision, SymbolSet
from shared.topology import SYMBOLS
from tests.venues import Simulator, simulated_venues
from workers.collector.collector import Collector


class Consumer:
    """What was bound of the data exchange, by routing key, in the order of arrival."""

    def __init__(self, queue: AbstractQueue) -> None:
        self.messages: list[AbstractIncomingMessage] = []
        self._queue = queue
        self._of: dict[str, list[AbstractIncomingMessage]] = defaultdict(list)
        self._parsed: dict[str, list[Any]] = defaultdict(list)

    async def start(self) -> None:
        await self._queue.consume(self._take, no_ack=True, consumer_tag="reading")

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Leave messages at the broker: a collector in this process has the processor to itself."""
        await self._queue.cancel("reading")
        yield
        await self.start()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        self.messages.append(message)
        self._of[message.routing_key or ""].append(message)

    def count(self, key: str) -> int:
        return len(self._of.get(key, ()))

    def bodies(self, key: str) -> list[Any]:
        """Each is parsed once: whoever waits for something asks again and again."""
        parsed = self._parsed[key]
        parsed += (orjson.loads(m.body) for m in self._of.get(key, [])[len(parsed) :])
        return list(parsed)

    def sequences(self, key: str) -> list[int]:
        return [m.headers["seq"] for m in self._of.get(key, ())]  # type: ignore[misc]

    def routing_keys(self) -> set[str]:
        return set(self._of)


class Fleet:
    """One collector in this process, and what a test needs around it."""

    def __init__(self, collector: Collector, broker: Broker, consumer: Consumer) -> None:
        self.running: asyncio.Future[None]
        self.collector = collector
        self.consumer = consumer
        self._broker = broker
        self._offset = 0

    async def keep(self, key: str) -> Callable[[], Awaitable[list[str]]]:
        """A queue that survives its reader; the ids of the trades that it got, when asked."""
        async with await self._broker.connect("keep") as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("kept", durable=True)
            await queue.bind("futures_data", key)

        async def read() -> list[str]:
            ids = []
            async with await self._broker.connect("keep") as connection:
                queue = await (await connection.channel()).get_queue("kept")
                while (message := await queue.get(no_ack=True, fail=False)) is not None:
                    ids.append(orjson.loads(message.body)["id"])
            return ids

        return read

    async def announce(
        self,
        venue: str,
        symbols: list[str],
        exchange: str = "",
        tasks: Sequence[CollectionTask] = (),
    ) -> None:
        """What a coordinator would say."""
        self._offset += 1
        revision = Revision(registry="r", epoch=1, offset=self._offset)
        body = SymbolSet(
            exchange=exchange or venue,
            venue=venue,
            revision=revision,
            symbols=symbols,
            tasks=list(tasks),
        )
        async with await self._broker.connect("announce") as connection:
            channel = await connection.channel()
            await publish(channel, SYMBOLS, "", body.model_dump_json().encode())


@asynccontextmanager
async def reading(broker: Broker, binding: str = "#") -> AsyncIterator[Consumer]:
    """Everything on the data exchange from now on, or what a binding key lets through."""
    async with await broker.connect("read") as connection:
        channel = await connection.channel()
        await broker.declare(channel)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("futures_data", binding)
        consumer = Consumer(queue)
        await consumer.start()
        yield consumer


@asynccontextmanager
async def collecting(
    venue: str, config: dict[str, Any], broker_url: str, directory: Path
) -> AsyncIterator[Fleet]:
    path = directory / "config.json"
    path.write_text(json.dumps(config))
    environment = {"AMQP_URL": broker_url, "FLEET_CONFIG": str(path), "FLEET_HOST_ID": "host.a"}
    settings = load_settings(read_environment(environment | {"FLEET_HOME": str(directory)}))
    broker = Broker.of(settings, "test")
    stop = Stop()
    collector = Collector(settings, venue, venue, SystemClock())
    # Six consumers in one process that each read all venues are most of what that process does.
    async with reading(broker, f"*.{venue}.#") as consumer:
        fleet = Fleet(collector, broker, consumer)
        fleet.running = asyncio.create_task(collector.run(stop))
        try:
            yield fleet
        finally:
            stop.request()
            await asyncio.wait_for(fleet.running, 15)
        await asyncio.sleep(0.2)  # what was confirmed last is on its way to the consumer


class Played:
    """On which venues `each_venue` plays: in the short suite on one of each sort of book check,
    since eight collectors in one process need most of a processor. `make verify` has them all."""

    venues: Sequence[str] = ("binance", "bitget", "okx")


async def each_venue(
    play: Callable[[str, Simulator, str, Path], Coroutine[Any, Any, Any]],
    broker_url: str,
    directory: Path,
    *arguments: str,
) -> dict[str, Any]:
    """Play on venues at once, which a simulator with these arguments serves; what each gave."""
    async with simulated_venues(directory, *arguments) as simulator, asyncio.TaskGroup() as tasks:
        played = {}
        for venue in Played.venues:
            (directory / venue).mkdir()
            playing = play(venue, simulator, broker_url, directory / venue)
            played[venue] = tasks.create_task(playing)
    return {venue: task.result() for venue, task in played.items()}
