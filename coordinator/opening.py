"""What the first claim of a coordinator finds, and what it does about it. Pure."""

import secrets
from dataclasses import dataclass

from coordinator.records import ConfigChange, Seed, State
from coordinator.registry import Registry
from shared.config import AppConfig
from shared.venues import canonical_venue


@dataclass(frozen=True, slots=True)
class Bereft:
    """The log is empty and a mirror says that it once was not: nothing is done unasked."""

    symbols: int | None  # in the mirror; None where that is damaged
    whole: bool = True  # false: retention took its beginning, and there is no mirror either

    def __str__(self) -> str:
        if not self.whole:
            return (
                "the beginning of the registry's log is gone, and there is no mirror: run "
                "`fleet registry restore` on a host that has one, or delete the stream"
            )
        held = "is damaged" if self.symbols is None else f"has {self.symbols} symbols"
        return (
            f"the registry's log is empty and the mirror {held}: "
            "run `fleet registry restore` or `fleet registry reset`"
        )


def opening(
    registry: Registry, mirror: State | Bereft | None, config: AppConfig
) -> Seed | ConfigChange | Bereft | None:
    """The operation by which the registry takes up the configuration, if any."""
    if registry.seeded:
        return _difference(registry, config)
    if isinstance(mirror, State):
        return Bereft(len(mirror.symbols))
    if isinstance(mirror, Bereft):
        return mirror
    if registry.cut:
        return Bereft(None, whole=False)
    return Seed(
        registry=secrets.token_hex(8),
        symbols=list(dict.fromkeys(config.symbols)),
        exchanges=_venues(config),
    )


def renamed(registry: Registry, config: AppConfig) -> dict[str, str]:
    """The venues which the configuration calls otherwise than the registry, with its name."""
    return {
        name: fixed
        for venue, name in _venues(config).items()
        if (fixed := registry.exchanges.get(venue, name)) != name
    }


def _difference(registry: Registry, config: AppConfig) -> ConfigChange | None:
    """What the configuration changed since the registry saw it; what commands did, stays."""
    seen, wanted = registry.config_symbols, list(dict.fromkeys(config.symbols))
    change = ConfigChange(
        added=[symbol for symbol in wanted if symbol not in seen],
        removed=[symbol for symbol in seen if symbol not in wanted],
        exchanges={v: n for v, n in _venues(config).items() if v not in registry.exchanges},
        seen=wanted,
    )
    return change if change.added or change.removed or change.exchanges else None


def _venues(config: AppConfig) -> dict[str, str]:
    return {canonical_venue(name): name for name in config.exchanges}
