"""The coordinator's own heartbeat, and its eye on whether anyone leads."""

import asyncio
import logging

from coordinator.identity import Identity
from coordinator.log import RegistryLog
from coordinator.outlet import Outlet
from coordinator.roster import GONE_S, Roster
from coordinator.watch import Watch
from shared.clock import Clock
from shared.errors import BrokerError
from shared.service import every
from shared.status import HEARTBEAT_S, MAX_HEARTBEAT_BYTES, Heartbeat, State
from shared.topology import heartbeat_key
from shared.vitals import Vitals

log = logging.getLogger("main")


class Pulse:
    """Sends a heartbeat each HEARTBEAT_S.

    The broker does not tell a standby that the leader's host is gone, and without a command none
    would notice: after GONE_S without a leader it sends a tick, which makes the active one claim.
    """

    def __init__(
        self,
        identity: Identity,
        registry_log: RegistryLog,
        outlet: Outlet,
        roster: Roster,
        watch: Watch,
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._log = registry_log
        self._outlet = outlet
        self._roster = roster
        self._watch = watch
        self._clock = clock
        self._led_at = clock.monotonic()
        self._vitals = Vitals(clock)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._vitals.run())
            tasks.create_task(every(HEARTBEAT_S, self._beat, self._clock))

    async def _beat(self) -> None:
        if not self._outlet.connected:
            return
        try:
            await self.send("running" if self._log.registry.seeded else "starting")
            await self._mind_the_leader()
        except BrokerError as error:
            log.debug("No heartbeat: %s", error)

    async def send(self, state: State) -> None:
        """Raises BrokerError."""
        beat = self._heartbeat(state)
        body = beat.model_dump_json().encode()
        assert len(body) <= MAX_HEARTBEAT_BYTES
        await self._outlet.status(heartbeat_key(beat.role, None, beat.worker), body)

    async def _mind_the_leader(self) -> None:
        now = self._clock.monotonic()
        coordinators = self._roster.alive("coordinator")
        if self._log.leading or any(beat.details.get("leader") is True for beat in coordinators):
            self._led_at = now
        elif now - self._led_at >= GONE_S:
            self._led_at = now
            await self._outlet.tick()

    def _heartbeat(self, state: State) -> Heartbeat:
        registry = self._log.registry
        return Heartbeat(
            role="coordinator",
            exchange=None,
            worker=self._identity.worker,
            epoch=self._identity.epoch,
            state=state,
            sent_at=self._clock.now_ms(),
            revision=registry.revision,
            details={
                "leader": self._log.leading,
                "state_revision": registry.state_revision,
                "symbols": len(registry.desired.symbols),
                "exchanges": len(registry.exchanges),
                "collectors": len(self._roster.alive("collector")),
                "coordinators": len(self._roster.alive("coordinator")),
                "rejected_records": registry.rejected,
                "malformed_records": self._log.malformed,
                "malformed_status": self._watch.malformed,
                "remembered_commands": len(registry.applied),
                "process": self._vitals.read().as_dict(),
            },
        )
