"""What the collector tells of itself: a heartbeat every two seconds, and what its venue lists."""

import asyncio
from collections.abc import Callable

from aio_pika.abc import AbstractChannel, AbstractConnection

from shared.broker import Broker, publish
from shared.status import HEARTBEAT_S, MAX_HEARTBEAT_BYTES, Heartbeat, MarketList
from shared.topology import STATUS, heartbeat_key, markets_key

#: The list of markets (about 10 kB) is repeated this often, for a coordinator that came later.
_MARKETS_S = 5.0


class StatusTeller:
    """Tells on a connection of its own; what is not told while the broker is away is not owed."""

    def __init__(
        self,
        broker: Broker,
        heartbeat: Callable[[], Heartbeat],
        markets: Callable[[], MarketList],
    ) -> None:
        self._broker = broker
        self._heartbeat = heartbeat
        self._markets = markets
        self._markets_due = asyncio.Event()

    def markets_changed(self) -> None:
        self._markets_due.set()

    async def run(self) -> None:
        """Tell, for ever."""
        await self._broker.keep("status", self._session)

    async def _session(self, connection: AbstractConnection) -> None:
        channel = await connection.channel()
        await self._broker.declare(channel, queues=False)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_heartbeats(channel))
            tasks.create_task(self._tell_markets(await connection.channel()))

    async def _tell_heartbeats(self, channel: AbstractChannel) -> None:
        while True:
            beat = self._heartbeat()
            body = beat.model_dump_json().encode()
            if len(body) > MAX_HEARTBEAT_BYTES:
                body = beat.model_copy(update={"details": {}}).model_dump_json().encode()
            key = heartbeat_key(beat.role, beat.exchange, beat.worker)
            await publish(channel, STATUS, key, body)
            await asyncio.sleep(HEARTBEAT_S)

    async def _tell_markets(self, channel: AbstractChannel) -> None:
        while True:
            self._markets_due.clear()
            markets = self._markets()
            if markets.symbols:
                key = markets_key(markets.exchange, markets.worker)
                await publish(channel, STATUS, key, markets.model_dump_json().encode())
            try:
                async with asyncio.timeout(_MARKETS_S):
                    await self._markets_due.wait()
            except TimeoutError:
                continue
