"""Configuration files: JSON, YAML and TOML, with `${VARIABLE}` and `${VARIABLE:default}`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from shared.errors import ConfigurationError

#: Larger ones are none of ours.
MAX_BYTES = 4_000_000
_MAX_DEPTH = 20
_MAX_VALUES = 100_000
SUFFIXES = (".json", ".yaml", ".yml", ".toml")
#: `$${` stands for `${`.
_PLACE = re.compile(r"\$?\$\{(?P<inside>[^{}]*)\}")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<default>.*))?", re.DOTALL)


def read_file(path: Path, variables: Mapping[str, str], hint: str = "") -> dict[str, Any]:
    """What a file says, its variables replaced. Raises ConfigurationError."""
    body = read_mapping(path, hint)
    count = [0]
    try:
        return {name: _filled(value, variables, (name,), count) for name, value in body.items()}
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def read_mapping(path: Path, hint: str = "") -> dict[Any, Any]:
    """What a file says, as it is written. Raises ConfigurationError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"{path} does not exist" + (f"; {hint}" if hint else "")) from None
    except OSError as error:
        raise ConfigurationError(f"{path} can not be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigurationError(f"{path} is longer than {MAX_BYTES} bytes")
    try:
        body = _parsed(raw, path.suffix.lower())
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigurationError(f"{path} is not {_language(path)}: {reason}") from None
    if not isinstance(body, dict):
        raise ConfigurationError(f"{path} holds no {_language(path)} object")
    return body


def _parsed(raw: bytes, suffix: str) -> Any:
    """Raises ValueError."""
    if suffix == ".toml":
        import tomllib

        return tomllib.loads(raw.decode())
    if suffix in (".yaml", ".yml"):
        # Imported here: a process whose configuration is JSON need not have it.
        import yaml

        try:
            body = yaml.safe_load(raw)
        except yaml.MarkedYAMLError as error:
            # Its own text quotes the line, which may hold a password.
            line = error.problem_mark.line + 1 if error.problem_mark else "?"
            raise ValueError(f"{error.problem} (line {line})") from None
        except (yaml.YAMLError, TypeError, OverflowError) as error:
            raise ValueError(type(error).__name__) from None
        return {} if body is None else body
    return orjson.loads(raw)


def _language(path: Path) -> str:
    return {".toml": "TOML", ".yaml": "YAML", ".yml": "YAML"}.get(path.suffix.lower(), "JSON")


def _filled(value: Any, variables: Mapping[str, str], at: tuple[str, ...], count: list[int]) -> Any:
    """The same with plain names and variables replaced. YAML's anchors can make a file of a few
    lines endless, or of billions of values: neither is followed."""
    count[0] += 1
    if len(at) > _MAX_DEPTH or count[0] > _MAX_VALUES:
        where = ".".join(map(str, at[:4]))
        raise ConfigurationError(f"{where}…: is nested too deeply, or too much")
    if not isinstance(at[-1], str):
        raise ConfigurationError(f"{'.'.join(map(str, at))}: is not a name")
    if isinstance(value, str):
        return _PLACE.sub(lambda found: _said(found, variables, at), value)
    if isinstance(value, dict):
        return {name: _filled(v, variables, (*at, name), count) for name, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, variables, (*at, str(i)), count) for i, v in enumerate(value)]
    return value


def _said(found: re.Match[str], variables: Mapping[str, str], at: tuple[str, ...]) -> str:
    if found[0].startswith("$$"):
        return found[0][1:]
    inside = _INSIDE.fullmatch(found["inside"])
    if inside is None:
        raise ConfigurationError(f"{'.'.join(at)}: a ${{…}} in it names no variable")
    value = variables.get(inside["name"]) or inside["default"]
    if value is None:
        raise ConfigurationError(f"{'.'.join(at)}: the variable {inside['name']} is not set")
    return value
