"""What of a configuration can be shown, what changed between two, and what takes effect at once."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, SecretStr

from shared.config.app import AppConfig

#: Fields that a running process takes up; all others need its restart.
LIVE = (
    "debug",
    "logging.level",
    "symbols",
    "collection.retry_attempts",
    "collection.retry_delays",
    "collection.retry_strategy",
    "collection.max_age.*",
    "collection.large_trade.*",
    "control.*",
    "cache.*",
    "rate_limiting.priority_multiplier.*",
    "health.quality_threshold",
)

MASK = "**********"
_SECRET_NAME = re.compile(r"secret|passw|passphrase|token|credential|(^|_|api)key", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*(?=@)")


@dataclass(frozen=True, slots=True)
class Change:
    """A field that is another; values are as they may be shown."""

    field: str
    old: Any
    new: Any

    @property
    def live(self) -> bool:
        """Whether it takes effect without a restart."""
        return is_live(self.field)

    def __str__(self) -> str:
        return f"{self.field}: {self.old!r} -> {self.new!r}"


def is_live(field: str) -> bool:
    return any(fnmatchcase(field, pattern) for pattern in LIVE)


def shown(config: AppConfig) -> dict[str, Any]:
    """The configuration as it may be shown and logged: JSON's types, secrets masked."""
    masked = _masked(config, "")
    assert isinstance(masked, dict)
    return masked


def changes(old: AppConfig, new: AppConfig) -> list[Change]:
    """What is another in `new`, by field; a secret that changed shows as masked on both sides."""
    before, after = dict(_fields(old)), dict(_fields(new))
    return [
        Change(field, _masked(before.get(field), field), _masked(after.get(field), field))
        for field in sorted(before.keys() | after.keys())
        if before.get(field) != after.get(field)
    ]


def _fields(value: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, dict) and (value or not above):
        for name, below in value.items():
            yield from _fields(below, f"{above}.{name}" if above else str(name))
    else:
        yield above, value


def _masked(value: Any, name: str) -> Any:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {field: _masked(getattr(value, field), field) for field in fields}
    if isinstance(value, dict):
        return {str(key): _masked(below, str(key)) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(below, name) for below in value]
    if isinstance(value, SecretStr) or (isinstance(value, str) and _is_secret(name)):
        return MASK
    if isinstance(value, str):
        return _USER_INFO.sub(MASK, value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _is_secret(path: str) -> bool:
    """By its name: ccxt's options are users' own, and may hold anything."""
    name = path.rpartition(".")[2]
    return name != "api_keys_file" and _SECRET_NAME.search(name) is not None
