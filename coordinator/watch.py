"""Hears what the fleet tells of itself on `futures_status`: heartbeats, holdings, market lists."""

import logging

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from pydantic import ValidationError

from coordinator.announcer import Announcer
from coordinator.deliveries import deliveries
from coordinator.listings import Listings
from coordinator.roster import Roster
from coordinator.tally import Tally
from shared.broker import Broker, own_queue
from shared.clock import Clock
from shared.errors import ConfigurationError, DataProcessingError
from shared.status import Heartbeat, Holdings, MarketList
from shared.topology import MAILBOX, STATUS, heartbeat_key, holdings_key, markets_key

_BINDINGS = ("heartbeat.*.#", "holdings.collector.#", "markets.collector.#")
_PREFETCH = 200
#: Between the last message heard and the next one, of whoever. More: the broker was away, or we.
_DEAFENED_S = 5.0

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
        clock: Clock,
    ) -> None:
        self.malformed = 0
        self.mailbox: str | None = None  # our own queue, while there is one
        self._broker = broker
        self._roster = roster
        self._tally = tally
        self._listings = listings
        self._announcer = announcer
        self._clock = clock
        self._on_duty_since: float | None = None
        self._heard_at = clock.monotonic()

    def on_duty_s(self) -> float:
        """How long we have heard the fleet without a break."""
        now = self._clock.monotonic()
        if self._on_duty_since is None or now - self._heard_at > _DEAFENED_S:
            return 0.0
        return now - self._on_duty_since

    async def run(self) -> None:
        await self._broker.keep("coordinator status", self._session)

    async def _session(self, connection: AbstractConnection) -> None:
        channel = await connection.channel()
        await channel.set_qos(_PREFETCH)
        await self._broker.declare(channel)
        bindings = [(STATUS, key) for key in _BINDINGS]
        queue = await own_queue(channel, "coordinator", self._broker.name, bindings)
        await queue.bind(MAILBOX, queue.name)
        self.mailbox, self._on_duty_since = queue.name, None
        try:
            async for message in deliveries(channel, queue.name):
                if message.exchange != MAILBOX:  # else it is a ping: that it arrived is all
                    self.take(message)
                await message.ack()
        finally:
            self.mailbox = self._on_duty_since = None

    def take(self, message: AbstractIncomingMessage) -> None:
        """Take a message whose routing key says the same of its sender as its body: who may write
        what is known to the broker by the key alone."""
        now, key = self._clock.monotonic(), message.routing_key or ""
        if self._on_duty_since is None or now - self._heard_at > _DEAFENED_S:
            self._on_duty_since = now
        self._heard_at = now
        try:
            self._take(key.partition(".")[0], key, message.body)
        except (ValidationError, ConfigurationError, DataProcessingError):
            self.malformed += 1
            log.debug("A status message on %r is malformed", key)

    def _take(self, what: str, key: str, body: bytes) -> None:
        match what:
            case "markets":
                markets = MarketList.model_validate_json(body)
                _check(key, markets_key(markets.exchange, markets.worker))
                self._listings.update(markets)
            case "holdings":
                holdings = Holdings.model_validate_json(body)
                _check(key, holdings_key(holdings.exchange, holdings.worker))
                self._roster.hold(holdings)
            case _:
                beat = Heartbeat.model_validate_json(body)
                _check(key, heartbeat_key(beat.role, beat.exchange, beat.worker))
                self._hear(beat)

    def _hear(self, heartbeat: Heartbeat) -> None:
        fresh = self._roster.hear(heartbeat)
        if heartbeat.role != "collector" or heartbeat.exchange is None:
            return
        self._tally.observe(heartbeat)
        if fresh:
            self._announcer.hurry(heartbeat.exchange)


def _check(key: str, expected: str) -> None:
    if key != expected:
        raise DataProcessingError(f"said on {key} what belongs on {expected}")
