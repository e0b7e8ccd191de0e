"""`restore`, `reset` and `accept`: what an operator does where the registry's log is lost, or not
understood by this version."""

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from coordinator.identity import Identity
from coordinator.log import RegistryLog
from coordinator.mirror import Mirror
from coordinator.outlet import Outlet
from coordinator.records import Snapshot, State
from shared.broker import Broker
from shared.clock import Clock
from shared.config import Settings
from shared.errors import ConfigurationError, DataProcessingError
from shared.service import Stop, running

log = logging.getLogger("main")


async def restore(settings: Settings, directory_of: str, clock: Clock) -> None:
    """Begin a new registry with the mirror's state. Raises ConfigurationError where there is no
    mirror to restore or a log that would be overwritten, and BrokerError."""
    state = _mirrored(Mirror(settings.state_dir(directory_of)))
    async with _leading(settings, "restore", clock) as (registry_log, outlet):
        registry = registry_log.registry
        if registry.seeded:
            symbols = len(registry.desired.symbols)
            raise ConfigurationError(f"the registry's log is not empty: {symbols} symbols")
        record = Snapshot(by=registry_log.instance, epoch=registry.epoch, state=state)
        await registry_log.append(record)
        await outlet.tick()
    log.info("Registry %s restored with %d symbols", state.registry, len(state.symbols))


async def accept(settings: Settings, clock: Clock) -> None:
    """Go on with the registry as far as this version understands its log, which a later version
    has written to: what only that one knows is lost. Raises ConfigurationError where there is
    nothing to accept, and BrokerError."""
    async with _leading(settings, "accept", clock) as (registry_log, outlet):
        registry = registry_log.registry
        if not registry.seeded:
            raise ConfigurationError("the registry's log holds nothing that this version knows")
        if not registry_log.outdated:
            raise ConfigurationError("the registry's log holds nothing of a later version")
        record = Snapshot(by=registry_log.instance, epoch=registry.epoch, state=registry.state())
        await registry_log.append(record)
        await outlet.tick()
    log.info("Registry %s is as this version knows it", record.state.registry)


@asynccontextmanager
async def _leading(
    settings: Settings, purpose: str, clock: Clock
) -> AsyncIterator[tuple[RegistryLog, Outlet]]:
    """The log, with all that was written before; whoever led does so no more."""
    identity = Identity.of(settings.environment.host_id, clock)
    broker = Broker.of(settings, f"{identity.worker} {purpose}")
    outlet = Outlet(broker)
    registry_log = RegistryLog(broker, outlet, identity.instance, clock)
    async with running(Stop(), outlet.run(), registry_log.run()):
        await registry_log.claim()
        yield registry_log, outlet


def reset(settings: Settings, directory_of: str) -> None:
    """Give the mirror up: an empty log is then seeded from the configuration."""
    mirror = Mirror(settings.state_dir(directory_of))
    removed = mirror.remove()
    log.info("Removed %s" if removed else "There is no mirror at %s", mirror.path)


def _mirrored(mirror: Mirror) -> State:
    try:
        state = mirror.load()
    except DataProcessingError as error:
        raise ConfigurationError(str(error)) from error
    if state is None:
        raise ConfigurationError(f"there is no mirror at {mirror.path}")
    # A new id: whoever knows the old registry sees that this one is not its continuation.
    return state.model_copy(update={"registry": secrets.token_hex(8), "revision_offset": None})
