"""The coordinator's own heartbeat, and its eye on whether anyone leads."""

import asyncio
import logging
from dataclasses import dataclass
from itertools import islice

from coordinator.control import Control
from coordinator.identity import Identity
from coordinator.log import RegistryLog
from coordinator.outlet import Outlet
from coordinator.roster import GONE_S, Roster
from coordinator.watch import Watch
from shared.clock import Clock
from shared.errors import BrokerError
from shared.service import every
from shared.status import HEARTBEAT_S, Heartbeat, State, fitting
from shared.topology import heartbeat_key
from shared.vitals import Vitals

log = logging.getLogger("main")


_SUSPECTS_TOLD = 10
#: How often a standby tries the leader's mailbox.
_PING_S = 0.5


@dataclass(frozen=True, slots=True)
class Heard:
    """What a heartbeat tells of besides the registry."""

    roster: Roster
    watch: Watch
    control: Control


class Pulse:
    """Sends a heartbeat each HEARTBEAT_S.

    The broker does not tell a standby that the leader's host is gone, and without a command none
    would notice. So standbys try the leader's mailbox: where it is gone, or after GONE_S without a
    leader, they send a tick, which makes the active one claim.
    """

    def __init__(
        self,
        identity: Identity,
        registry_log: RegistryLog,
        outlet: Outlet,
        heard: Heard,
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._log = registry_log
        self._outlet = outlet
        self._roster, self._watch, self._control = heard.roster, heard.watch, heard.control
        self._clock = clock
        self._led_at = clock.monotonic()
        self._vitals = Vitals(clock)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._vitals.run())
            tasks.create_task(every(HEARTBEAT_S, self._beat, self._clock))
            tasks.create_task(every(_PING_S, self._try_the_leader, self._clock))

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
        await self._outlet.status(heartbeat_key(beat.role, None, beat.worker), fitting(beat))

    async def _mind_the_leader(self) -> None:
        now = self._clock.monotonic()
        coordinators = self._roster.alive("coordinator")
        if self._log.in_charge or any(beat.details.get("leader") is True for beat in coordinators):
            self._led_at = now
        elif now - self._led_at >= GONE_S:
            self._led_at = now
            await self._outlet.tick()

    async def _try_the_leader(self) -> None:
        if self._log.leading or not self._outlet.connected:
            return
        for member in list(self._roster.members("coordinator")):
            beat = member.heartbeat
            if beat.details.get("leader") is not True or beat.mailbox is None:
                continue
            try:
                found = await self._outlet.ping(beat.mailbox)
                if not found and not member.unreachable:
                    await self._outlet.tick()
            except BrokerError as error:
                log.debug("The leader can not be tried: %s", error)
                return
            self._roster.reached(beat.worker, beat.mailbox, found)

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
            mailbox=self._watch.mailbox,
            details={
                "leader": self._log.in_charge,
                "state_revision": registry.state_revision,
                "symbols": len(registry.desired.symbols),
                "exchanges": len(registry.exchanges),
                "collectors": len(self._roster.alive("collector")),
                "coordinators": len(self._roster.alive("coordinator")),
                "rejected_records": registry.rejected,
                "malformed_records": self._log.malformed,
                "malformed_status": self._watch.malformed,
                "remembered_commands": len(registry.applied),
                "answered": self._control.answered,
                "refused": dict(self._control.refused),
                "outdated": self._log.outdated,
                "suspect": self._suspects(),
                "tasks": len(registry.tasks),
                "process": self._vitals.read().as_dict(),
            },
        )

    def _suspects(self) -> list[str]:
        """Collectors that seem to be gone; a few, by name."""
        members = {w for enrolled in self._log.registry.members.values() for w in enrolled}
        found = (
            member.heartbeat.worker
            for member in self._roster.members("collector")
            if member.heartbeat.worker in members and self._roster.is_suspect(member)
        )
        return list(islice(found, _SUSPECTS_TOLD))
