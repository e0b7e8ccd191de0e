"""The coordinator process, from its start to its ordered end."""

import asyncio
import contextlib
import logging

from coordinator.announcer import Announcer
from coordinator.control import Control, Desks
from coordinator.errands import Errands
from coordinator.expander import Expander
from coordinator.identity import Identity
from coordinator.leadership import Known, Leadership
from coordinator.listings import Listings
from coordinator.log import RegistryLog
from coordinator.membership import Membership
from coordinator.mirror import Mirror
from coordinator.outlet import Outlet
from coordinator.pulse import Heard, Pulse
from coordinator.ranking import RankingTimes
from coordinator.records import Record, State
from coordinator.registry import Verdict
from coordinator.roster import Roster
from coordinator.tally import BLOCK_S, SAVE_S, Tally
from coordinator.watch import Watch
from shared.broker import Broker
from shared.clock import Clock
from shared.config import Settings
from shared.config.live import Live
from shared.errors import BrokerError
from shared.service import Stop, every, running

PROGRAM = "coordinator"
#: How long the command at hand may take once a stop was asked for.
_FINISH_S = 4.0

log = logging.getLogger("main")


class Coordinator:
    """Wires the parts together; `run` is the story."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        state_dir = settings.state_dir(PROGRAM)
        identity = Identity.of(settings.environment.host_id, clock)
        self.clock = clock
        self.config = Live(settings.config)
        self.broker = Broker.of(settings, identity.worker)
        self.outlet = Outlet(self.broker)
        self.log = RegistryLog(self.broker, self.outlet, identity.instance, clock)
        self.mirror = Mirror(state_dir)
        self.roster = Roster(clock)
        self.listings = Listings(clock)
        self.tally = Tally(state_dir, self.roster, clock)
        self.announcer = Announcer(self.log, self.outlet, clock)
        known = Known(self.listings, self.roster)
        self.leadership = Leadership(self.log, self.mirror, known, self.config, clock)
        errands = Errands(self.leadership, self.roster, self.outlet, clock)
        self.control = Control(
            self.broker,
            self.outlet,
            Desks(self.leadership, self.tally, errands),
            clock,
            self.config,
        )
        self.watch = Watch(
            self.broker, self.roster, self.tally, self.listings, self.announcer, clock
        )
        self.membership = Membership(
            self.log, self.leadership, self.roster, self.watch, self.outlet, clock
        )
        self.expander = Expander(
            self.log,
            self.leadership,
            self.listings,
            RankingTimes(self.config, clock),
            clock,
        )
        heard = Heard(self.roster, self.watch, self.control)
        self.pulse = Pulse(identity, self.log, self.outlet, heard, clock)
        self.log.watch(self._mirror)

    def reconfigure(self, settings: Settings) -> None:
        """Take up what needs no restart, see `shared.config.changes.LIVE`."""
        self.config.value = settings.config
        self.leadership.reopen()

    async def run(self, stop: Stop) -> None:
        """Coordinate until `stop`; then the command at hand is finished, and the rest kept."""
        async with running(stop, self.outlet.run(), self.log.run()):
            async with running(
                stop,
                self.control.run(),
                self.leadership.run(),
                self.announcer.run(),
                self.watch.run(),
                self.membership.run(),
                self.expander.run(),
                self.pulse.run(),
                self.mirror.run(self._state),
                every(SAVE_S, self.tally.save, self.clock),
                every(BLOCK_S, self._report, self.clock),
            ):
                await stop.wait()
                await self._finish_command()
            await self._say_goodbye()
        await self.mirror.flush(self._state())
        await self.tally.save()
        self.tally.report(self.log.registry)

    async def _finish_command(self) -> None:
        """Let the command at hand be answered; the lock is kept, so that no other follows."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_S):
                await self.control.busy.acquire()

    async def _say_goodbye(self) -> None:
        with contextlib.suppress(BrokerError):
            if self.outlet.connected:
                await self.pulse.send("stopping")

    async def _report(self) -> None:
        if self.clock.monotonic() - self.tally.told_at >= BLOCK_S / 2:
            self.tally.report(self.log.registry)

    def _state(self) -> State | None:
        return self.log.registry.state() if self.log.registry.seeded else None

    def _mirror(self, _: Record, verdict: Verdict) -> None:
        if verdict is Verdict.APPLIED:
            self.mirror.mark()
