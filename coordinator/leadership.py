"""Leading the registry: taking it up, settling commands one at a time, keeping the log short."""

import asyncio
import logging
from dataclasses import dataclass

from coordinator.answers import Answer, finished
from coordinator.commands import Command
from coordinator.decisions import Desk
from coordinator.listings import Listings
from coordinator.log import OutdatedError, RegistryLog
from coordinator.mirror import Mirror
from coordinator.opening import Bereft, opening, renamed
from coordinator.records import (
    ConfigChange,
    Fence,
    Given,
    NoChange,
    Op,
    Operation,
    Record,
    Seed,
    Snapshot,
    State,
    encode,
)
from coordinator.registry import Registry, Verdict
from coordinator.reports import Reports
from coordinator.roster import Roster
from shared.clock import Clock
from shared.config import AppConfig
from shared.config.live import Live
from shared.errors import BrokerError, CommandError, ConfigurationError, DataProcessingError
from shared.status import Heartbeat
from shared.symbolset import Revision
from shared.venues import canonical_venue

#: How old the knowledge of the log may be when something is answered from it. Far less than the
#: two heartbeats after which the broker gives the control queue of a silent peer to another.
FENCE_S = 1.0
#: Retention takes the log's beginning; a snapshot is never further back than this.
SNAPSHOT_RECORDS = 200
SNAPSHOT_BYTES = 8 * 1024 * 1024
SNAPSHOT_S = 300.0
_CHECK_S = 2.0
_COMPLAIN_S = 60.0

log = logging.getLogger("main")


@dataclass(frozen=True, slots=True)
class Sender:
    """By what a repeated command is known, besides its correlation id."""

    user: str | None
    digest: str  # of the body


@dataclass(frozen=True, slots=True)
class Known:
    """What answers are made from besides the registry."""

    listings: Listings
    roster: Roster


class Leadership:
    """Writes to the log for this coordinator, one record at a time."""

    def __init__(
        self,
        registry_log: RegistryLog,
        mirror: Mirror,
        known: Known,
        config: Live[AppConfig],
        clock: Clock,
    ) -> None:
        self._log = registry_log
        self._mirror = mirror
        self._listings, self._roster = known.listings, known.roster
        self._config = config
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._opened: str | None = None  # id of the registry that has seen our configuration
        self._complained_at: float | None = None
        self._since_snapshot = _SinceSnapshot()
        self._revised: Revision | None = None
        self._revised_at = clock.monotonic()
        registry_log.watch(self._on_record)

    @property
    def registry(self) -> Registry:
        return self._log.registry

    @property
    def outdated(self) -> bool:
        """Whether the log is beyond this coordinator: others have to lead."""
        return self._log.outdated

    async def claim(self) -> None:
        """Lead, and take up the configuration. Raises BrokerError, and CommandError where the
        registry is not available."""
        async with self._one_at_a_time:
            await self._ready()

    async def write(self, command: Command, sender: Sender) -> bytes:
        """The answer to a command that writes, after it took effect in the log.

        Raises CommandError where it is refused, and BrokerError where nobody knows whether it was
        done: then it has to stay in the queue.
        """
        async with self._one_at_a_time:
            await self._ready()
            repeated = self._remembered(command, sender)
            return repeated or await self._settle(command, sender)

    async def read(self, command: Command) -> bytes:
        """The answer to a command that reads the registry. Raises as `write`."""
        async with self._one_at_a_time:
            await self._ready()
            reports = Reports(
                self.registry, self._roster, self._desk(), self.revised_s(), self._clock
            )
            return self._finished(reports.answer(command))

    def reopen(self) -> None:
        """The configuration is another: if this coordinator leads, its difference follows."""
        self._opened = None

    def revised_s(self) -> float:
        """How long ago what workers are told has changed."""
        return self._clock.monotonic() - self._revised_at

    async def switched(self, command: Command) -> bytes:
        """The answer to a switch that is one host's own affair. Raises as `write`."""
        async with self._one_at_a_time:
            await self._ready()
            return self._finished(self._desk().of_one_host(command))

    async def operate(self, op: Op) -> bool:
        """Have an operation that nobody commanded take effect, where this coordinator leads; False
        where it does not, and nothing is done. Raises as `write`."""
        async with self._one_at_a_time:
            if not self._log.in_charge or not self.registry.seeded:
                return False
            await self._ready()
            await self._operate(op, None)
        return True

    async def run(self) -> None:
        """Look after the log for ever: snapshots, and a registry that waits to be restored."""
        while True:
            await asyncio.sleep(_CHECK_S)
            async with self._one_at_a_time:
                try:
                    await self._look_after()
                except (BrokerError, CommandError) as error:
                    log.warning("The registry can not be looked after: %s", error)

    async def _look_after(self) -> None:
        if not self._log.in_charge:
            return
        if not self.registry.seeded or self._opened is None:
            await self._ready()
        elif self._since_snapshot.due(self._clock.monotonic()):
            await self.snapshot()

    async def snapshot(self) -> None:
        registry = self.registry
        record = Snapshot(by=self._log.instance, epoch=registry.epoch, state=registry.state())
        await self._log.append(record)

    async def _ready(self) -> None:
        """Lead a registry that is complete, seeded and has seen the configuration."""
        try:
            await self._log.ensure_leading()
        except OutdatedError as error:
            self._complain(str(error))
            raise
        await self._log.ensure_complete(FENCE_S)
        if self._opened is None or self._opened != self.registry.id:
            await self._open()

    async def _open(self) -> None:
        mirrored = None if self.registry.seeded else await asyncio.to_thread(self._mirrored)
        found = opening(self.registry, mirrored, self._config.value)
        if isinstance(found, Bereft):
            self._complain(str(found))
            raise CommandError("unavailable", f"The registry is not available: {found}")
        if found is not None:
            await self._operate(found, None)
            self._tell(found)
        self._opened = self.registry.id
        for name, fixed in renamed(self.registry, self._config.value).items():
            log.warning(
                "The registry calls %s %s; the configuration's name is ignored", name, fixed
            )

    def _mirrored(self) -> State | Bereft | None:
        try:
            return self._mirror.load()
        except DataProcessingError:
            return Bereft(None)

    async def _settle(self, command: Command, sender: Sender) -> bytes:
        decision = self._desk().decide(command)
        given = None
        if command.correlation_id is not None:
            given = Given(
                user=sender.user,
                id=command.correlation_id,
                digest=sender.digest,
                answer=decision.answer,
            )
        if given is None and isinstance(decision.op, NoChange):
            return self._finished(decision.answer)
        await self._operate(decision.op, given, sender.user)
        return self._remembered(command, sender) or self._finished(decision.answer)

    async def _operate(self, op: Op, given: Given | None, user: str | None = None) -> None:
        record = Operation(
            by=self._log.instance,
            epoch=self.registry.epoch,
            op=op,
            given=given,
            at=self._clock.now_ms() // 1000,
            user=user,
        )
        await self._log.append(record)

    def _remembered(self, command: Command, sender: Sender) -> bytes | None:
        if command.correlation_id is None:
            return None
        applied = self.registry.applied.get((sender.user, command.correlation_id))
        if applied is None:
            return None
        if applied.digest != sender.digest:
            text = "The correlation id was used before, for another command"
            raise CommandError("invalid_command", text)
        return applied.answer

    def _desk(self) -> Desk:
        now_s = self._clock.now_ms() // 1000
        attended = {venue for beat in self._roster.alive("collector") if (venue := _venue(beat))}
        return Desk(self.registry, self._listings, now_s, attended)

    def _finished(self, answer: Answer) -> bytes:
        return finished(answer, self.registry.revision, self.registry.state_revision)

    def _on_record(self, record: Record, verdict: Verdict) -> None:
        now = self._clock.monotonic()
        if verdict is Verdict.APPLIED:
            self._since_snapshot.count(record, now)
        if self.registry.revision != self._revised:
            self._revised, self._revised_at = self.registry.revision, now

    def _complain(self, reason: str) -> None:
        now = self._clock.monotonic()
        if self._complained_at is None or now - self._complained_at >= _COMPLAIN_S:
            self._complained_at = now
            log.error("No registry: %s", reason)

    def _tell(self, op: Seed | ConfigChange) -> None:
        match op:
            case Seed():
                log.info("Seeded registry %s with %d symbols", op.registry, len(op.symbols))
            case ConfigChange():
                counts = len(op.added), len(op.removed), len(op.exchanges)
                log.info("The configuration added %d symbols, removed %d, added %d venues", *counts)


def _venue(heartbeat: Heartbeat) -> str | None:
    try:
        return canonical_venue(heartbeat.exchange or "")
    except ConfigurationError:
        return None


class _SinceSnapshot:
    """What the log has grown by since the last snapshot in it."""

    def __init__(self) -> None:
        self._records = self._bytes = 0
        self._changed_at: float | None = None

    def count(self, record: Record, now: float) -> None:
        if isinstance(record, Snapshot):
            self._records, self._bytes, self._changed_at = 0, 0, None
            return
        self._records += 1
        self._bytes += len(encode(record))
        if self._changed_at is None and not isinstance(record, Fence):
            self._changed_at = now

    def due(self, now: float) -> bool:
        aged = self._changed_at is not None and now - self._changed_at >= SNAPSHOT_S
        return aged or self._records >= SNAPSHOT_RECORDS or self._bytes >= SNAPSHOT_BYTES
