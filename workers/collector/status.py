"""What the collector tells of itself: a heartbeat every two seconds, what its venue lists, and what
it holds of the venue's symbols."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel, AbstractConnection

from shared.broker import Broker, publish
from shared.status import HEARTBEAT_S, Heartbeat, Holdings, MarketList, fitting
from shared.topology import STATUS, heartbeat_key, holdings_key, markets_key

#: The list of markets (about 10 kB) is repeated this often, for a coordinator that came later.
_MARKETS_S = 5.0
#: Holdings are looked at this often, and told at once where what flows has changed.
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Tidings:
    """What is told, made when it is due."""

    heartbeat: Callable[[], Heartbeat]
    markets: Callable[[], MarketList]
    holdings: Callable[[], Holdings]


class StatusTeller:
    """Tells on a connection of its own; what is not told while the broker is away is not owed."""

    def __init__(self, broker: Broker, tidings: Tidings) -> None:
        self._broker = broker
        self._tidings = tidings
        self._markets_due = asyncio.Event()
        self._hurried = asyncio.Event()

    def markets_changed(self) -> None:
        self._markets_due.set()

    def hurry(self) -> None:
        """Tell of a change of state at once."""
        self._hurried.set()

    async def run(self) -> None:
        """Tell, for ever."""
        await self._broker.keep("status", self._session)

    async def _session(self, connection: AbstractConnection) -> None:
        channel = await connection.channel()
        await self._broker.declare(channel, queues=False)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_heartbeats(channel))
            tasks.create_task(self._tell_markets(await connection.channel()))
            tasks.create_task(self._tell_holdings(await connection.channel()))

    async def _tell_heartbeats(self, channel: AbstractChannel) -> None:
        while True:
            self._hurried.clear()
            beat = self._tidings.heartbeat()
            key = heartbeat_key(beat.role, beat.exchange, beat.worker)
            await publish(channel, STATUS, key, fitting(beat))
            await _either(self._hurried, HEARTBEAT_S)

    async def _tell_markets(self, channel: AbstractChannel) -> None:
        while True:
            self._markets_due.clear()
            markets = self._tidings.markets()
            if markets.symbols:
                key = markets_key(markets.exchange, markets.worker)
                await publish(channel, STATUS, key, markets.model_dump_json().encode())
            await _either(self._markets_due, _MARKETS_S)

    async def _tell_holdings(self, channel: AbstractChannel) -> None:
        loop = asyncio.get_running_loop()
        told, due = None, 0.0
        while True:
            holdings = self._tidings.holdings()
            news = (holdings.live, holdings.collected, holdings.revision, holdings.state)
            if news != told or loop.time() >= due:
                told, due = news, loop.time() + HEARTBEAT_S
                key = holdings_key(holdings.exchange, holdings.worker)
                body = holdings.model_dump_json(exclude_defaults=True).encode()
                await publish(channel, STATUS, key, body)
            await asyncio.sleep(_LOOK_S)


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, or so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
