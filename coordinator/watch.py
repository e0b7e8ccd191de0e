"""Hears what the fleet tells of itself: heartbeats and market lists on `futures_status`."""

import logging

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from pydantic import ValidationError

from coordinator.announcer import Announcer
from coordinator.deliveries import deliveries
from coordinator.listings import Listings
from coordinator.roster import Roster
from coordinator.tally import Tally
from shared.broker import Broker, own_queue
from shared.errors import ConfigurationError
from shared.status import Heartbeat, MarketList
from shared.topology import STATUS

_BINDINGS = ("heartbeat.collector.#", "heartbeat.coordinator.#", "markets.#")
_PREFETCH = 200

log = logging.getLogger("main")


class Watch:
    """Feeds roster, tally and listings; sound messages only."""

    def __init__(
        self,
        broker: Broker,
        roster: Roster,
        tally: Tally,
        listings: Listings,
        announcer: Announcer,
    ) -> None:
        self.malformed = 0
        self._broker = broker
        self._roster = roster
        self._tally = tally
        self._listings = listings
        self._announcer = announcer

    async def run(self) -> None:
        await self._broker.keep("coordinator status", self._session)

    async def _session(self, connection: AbstractConnection) -> None:
        channel = await connection.channel()
        await channel.set_qos(_PREFETCH)
        await self._broker.declare(channel)
        bindings = [(STATUS, key) for key in _BINDINGS]
        queue = await own_queue(channel, "coordinator", self._broker.name, bindings)
        async for message in deliveries(channel, queue.name):
            self.take(message)
            await message.ack()

    def take(self, message: AbstractIncomingMessage) -> None:
        try:
            if (message.routing_key or "").startswith("markets."):
                self._listings.update(MarketList.model_validate_json(message.body))
            else:
                self._hear(Heartbeat.model_validate_json(message.body))
        except (ValidationError, ConfigurationError):
            self.malformed += 1
            log.debug("A status message on %r is malformed", message.routing_key)

    def _hear(self, heartbeat: Heartbeat) -> None:
        fresh = self._roster.hear(heartbeat)
        if heartbeat.role != "collector" or heartbeat.exchange is None:
            return
        self._tally.observe(heartbeat)
        if fresh:
            self._announcer.hurry(heartbeat.exchange)
