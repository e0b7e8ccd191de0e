"""What one host collects beyond its configuration, or less: `{home}/state/exchanges.json`.

Written by the host's agent alone, read by its collectors. A venue that is in neither list is
collected where the configuration names it.
"""

import logging
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.files import write_json

log = logging.getLogger("main")


class HostExchanges(BaseModel):
    """Canonical names. Frozen; a change gives another one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    added: tuple[str, ...] = ()  # collected here, whatever the configuration says
    left: tuple[str, ...] = ()  # not collected here, whatever the configuration says

    def collects(self, venue: str, named: bool) -> bool:
        """Whether this host collects a venue that its configuration names, or does not."""
        return venue in self.added or (named and venue not in self.left)

    def with_added(self, venue: str) -> "HostExchanges":
        return HostExchanges(added=_with(self.added, venue), left=_without(self.left, venue))

    def with_left(self, venue: str) -> "HostExchanges":
        return HostExchanges(added=_without(self.added, venue), left=_with(self.left, venue))


def exchanges_path(home: Path) -> Path:
    return home / "state" / "exchanges.json"


def read_host_exchanges(path: Path) -> HostExchanges:
    """Empty where the file is absent; so is a damaged one, which is an error in the log."""
    try:
        return HostExchanges.model_validate(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return HostExchanges()
    except (OSError, orjson.JSONDecodeError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        log.error("%s can not be read, so the config alone counts: %s", path, reason)
        return HostExchanges()


def write_host_exchanges(path: Path, exchanges: HostExchanges) -> None:
    """Raises OSError."""
    write_json(path, exchanges.model_dump())


def _with(venues: tuple[str, ...], venue: str) -> tuple[str, ...]:
    return venues if venue in venues else (*venues, venue)


def _without(venues: tuple[str, ...], venue: str) -> tuple[str, ...]:
    return tuple(kept for kept in venues if kept != venue)
