"""Keeps the members of each venue in the log, for as long as this coordinator leads.

A worker whose mailbox is gone is known to the broker to be gone: a ping to it comes back. It is
suspect from then on, and out when its heartbeats fail to come as well.
"""

import asyncio
import logging
from collections.abc import Iterator

from coordinator.leadership import Leadership
from coordinator.log import RegistryLog
from coordinator.outlet import Outlet
from coordinator.roster import Roster
from coordinator.verdicts import OUT_S, Sighting, verdicts
from coordinator.watch import Watch
from shared.broker import is_connection_error
from shared.clock import Clock
from shared.errors import CommandError, ConfigurationError
from shared.status import Heartbeat
from shared.venues import canonical_venue

#: How often mailboxes are tried and members are judged.
LOOK_S = 0.5
_PINGS_AT_ONCE = 16

log = logging.getLogger("main")


class Membership:
    """Pings, judges, and writes what changed."""

    def __init__(
        self,
        registry_log: RegistryLog,
        leadership: Leadership,
        roster: Roster,
        watch: Watch,
        outlet: Outlet,
        clock: Clock,
    ) -> None:
        self._log = registry_log
        self._leadership = leadership
        self._roster = roster
        self._watch = watch
        self._outlet = outlet
        self._clock = clock

    async def run(self) -> None:
        """Look after the members, for ever."""
        while True:
            started = self._clock.monotonic()
            if self._log.leading and self._outlet.connected:
                await self.look()
            left_s = started + LOOK_S - self._clock.monotonic()
            await self._clock.sleep(max(0.05, left_s))

    async def look(self) -> None:
        """One round; a broker that goes away ends it, and nothing else."""
        try:
            await self._ping_all()
            await self._judge()
        except CommandError as error:
            log.debug("The members can not be looked after: %s", error)
        except Exception as error:
            if not is_connection_error(error):  # many pings fail together, as a group
                raise
            log.debug("The members can not be looked after: %s", error)

    async def _ping_all(self) -> None:
        gate = asyncio.Semaphore(_PINGS_AT_ONCE)

        async def ping(beat: Heartbeat, mailbox: str) -> None:
            async with gate:
                found = await self._outlet.ping(mailbox)
            self._roster.reached(beat.worker, mailbox, found)

        async with asyncio.TaskGroup() as tasks:
            for member in self._roster.members("collector"):
                beat = member.heartbeat
                if beat.mailbox is not None and beat.state != "stopping":
                    tasks.create_task(ping(beat, beat.mailbox))

    async def _judge(self) -> None:
        registry = self._log.registry
        if not registry.seeded:
            return
        on_duty_s = self._watch.on_duty_s()
        venues = [venue for venue in registry.exchanges if venue not in registry.disabled]
        found = verdicts(registry.members, list(self._sightings()), venues, on_duty_s)
        for op in found:
            if await self._leadership.operate(op):
                joined = [peer.worker for peer in op.joined]
                log.info("Workers of %s: joined %s, out %s", op.exchange, joined, op.left)

    def _sightings(self) -> Iterator[Sighting]:
        now = self._clock.monotonic()
        for member in self._roster.members("collector"):
            silent_s = now - member.heard_at
            if silent_s > 10 * OUT_S:
                continue  # long gone, or about to be forgotten
            deaf_s = 0.0 if member.deaf_since is None else now - member.deaf_since
            try:
                venue = canonical_venue(member.heartbeat.exchange or "")
            except ConfigurationError:
                continue
            yield Sighting(member.heartbeat, venue, silent_s, deaf_s)
