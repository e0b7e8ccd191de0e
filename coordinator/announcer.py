"""Tells every venue's workers its whole desired state, for as long as this coordinator leads."""

import asyncio
import contextlib
import logging

from coordinator.log import RegistryLog
from coordinator.outlet import Outlet
from coordinator.records import Record
from coordinator.registry import Registry, Verdict
from shared.clock import Clock
from shared.errors import BrokerError
from shared.symbolset import Revision, SymbolSet

#: A venue hears no more often than this, however fast commands come ...
GAP_S = 0.25
#: ... and no more seldom: what one message lost, the next one heals.
REPEAT_S = 30.0
_IDLE_S = 1.0

log = logging.getLogger("main")


class Announcer:
    """Publishes symbol sets to the fanout `futures_symbols`."""

    def __init__(self, registry_log: RegistryLog, outlet: Outlet, clock: Clock) -> None:
        self._log = registry_log
        self._outlet = outlet
        self._clock = clock
        self._due: dict[str, float] = {}  # by venue: when it is told next, monotonic
        self._told_at: dict[str, float] = {}
        self._told: Revision | None = None
        self._wake = asyncio.Event()
        registry_log.watch(self._on_record)

    def hurry(self, exchange: str) -> None:
        """Tell a venue, by its wire name, again: one of its workers has just started."""
        for venue, name in self._log.registry.exchanges.items():
            if name == exchange:
                self._hasten(venue)

    async def run(self) -> None:
        while True:
            self._wake.clear()
            now = self._clock.monotonic()
            wait_s = _IDLE_S
            if self._log.leading and self._outlet.connected:
                await self._tell_due(now)
                wait_s = self._wait_s()
            # Not `wait_for`: before Python 3.12 it can swallow a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _tell_due(self, now: float) -> None:
        for venue in list(self._log.registry.exchanges):
            if not self._log.leading or venue not in self._log.registry.exchanges:
                return  # deposed meanwhile, or the log was replaced
            if self._due.get(venue, now) > now:
                continue
            # Before the message is made: what changes while it is sent is due again.
            self._told_at[venue], self._due[venue] = now, now + REPEAT_S
            message = symbol_set(self._log.registry, venue)
            try:
                await self._outlet.announce(message.model_dump_json().encode())
            except BrokerError as error:
                log.warning("Symbols of %s were not announced: %s", message.exchange, error)
                self._due[venue] = now + _IDLE_S

    def _wait_s(self) -> float:
        due = min((self._due.get(venue, 0.0) for venue in self._log.registry.exchanges), default=0)
        return max(0.0, due - self._clock.monotonic()) if due else _IDLE_S

    def _on_record(self, _: Record, verdict: Verdict) -> None:
        revision = self._log.registry.revision
        if verdict is Verdict.APPLIED and revision != self._told:
            self._told = revision
            for venue in self._log.registry.exchanges:
                self._hasten(venue)

    def _hasten(self, venue: str) -> None:
        earliest = self._told_at.get(venue, float("-inf")) + GAP_S
        self._due[venue] = max(self._clock.monotonic(), earliest)
        self._wake.set()


def symbol_set(registry: Registry, venue: str) -> SymbolSet:
    """The message for one venue of a registry that was seeded."""
    revision = registry.revision
    assert revision is not None
    symbols = list(registry.collected(venue))
    peers = list(registry.members.get(venue, {}).values())
    places = {peer.worker: place for place, peer in enumerate(peers)}
    owners = registry.owners.get(venue, {})
    return SymbolSet(
        exchange=registry.exchanges[venue],
        venue=venue,
        revision=revision,
        enabled=venue not in registry.disabled,
        symbols=symbols,
        workers=peers,
        owners=[places[owners[symbol]] for symbol in symbols] if peers else [],
        tasks=[task for task in registry.tasks.values() if task.exchange == venue],
    )
