"""Where the configuration comes from, and in which order what it says is merged.

Lowest first: the file that `FLEET_CONFIG` names (or `base.*` of the directory), the profile of the
environment beside it, variables by their own names, variables with the prefix. Variables are those
of the process, else of `.env`, else files of the secrets' directory.

The only module that reads the environment. `load_settings` is called once at the start of a
process; everything else is handed what it needs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from shared.config.app import AppConfig, Environment, Settings
from shared.config.files import SUFFIXES, read_file, read_mapping
from shared.config.keys import VenueKeys
from shared.config.names import PREFIX, Tree, canonical, variable_trees
from shared.config.values import ENVIRONMENTS, environment_name
from shared.errors import ConfigurationError
from shared.venues import canonical_venue

_DEFAULT_PATH = "config.json"
_BASE = "base"
_SECRET_BYTES = 64_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and where each of its fields was said: `rabbitmq.host` by a file or a
    variable. What nobody said is missing in it."""

    config: AppConfig
    origins: Mapping[str, str]
    files: tuple[Path, ...]


def read_variables(
    environ: Mapping[str, str] | None = None, dotenv_path: Path | None = None
) -> dict[str, str]:
    """Variables of the process; below them those of `.env` (`FLEET_ENV_FILE`) in the working
    directory, or of `dotenv_path` in its place; below them the files of `FLEET_SECRETS_DIR`, each
    named as a variable.

    Raises ConfigurationError.
    """
    own = dict(os.environ if environ is None else environ)
    path, is_named = dotenv_of(own)
    dotenv = _dotenv(dotenv_path or path, is_named and dotenv_path is None)
    named = own.get("FLEET_SECRETS_DIR") or dotenv.get("FLEET_SECRETS_DIR")
    secrets = _secrets(Path(named)) if named else {}
    return secrets | dotenv | own


def read_environment(environ: Mapping[str, str] | None = None) -> Environment:
    """Raises ConfigurationError."""
    env = read_variables() if environ is None else environ
    amqp_url = env.get("AMQP_URL") or None
    if amqp_url is not None and not _is_amqp(amqp_url):
        raise ConfigurationError(
            "AMQP_URL is not an amqp:// or amqps:// address; a password's own / @ : are written"
            " %2F %40 %3A"
        )
    host_id = env.get("FLEET_HOST_ID") or os.uname().nodename
    return Environment(
        amqp_url=amqp_url,
        config_path=Path(env.get("FLEET_CONFIG") or env.get("CONFIG_PATH") or _DEFAULT_PATH),
        home=Path(env.get("FLEET_HOME") or ".fleet"),
        host_id=host_id,
        egress=env.get("FLEET_EGRESS") or host_id,
        supervisor_url=env.get("SUPERVISOR_SERVER_URL") or None,
        rabbitmq_home=Path(env["RABBITMQ_HOME"]) if env.get("RABBITMQ_HOME") else None,
    )


def load_settings(environment: Environment | None = None) -> Settings:
    """Everything a process is configured by.

    Raises ConfigurationError with one line that names every wrong field.
    """
    environment = environment or read_environment()
    return settings_of(load(environment.config_path).config, environment)


def settings_of(config: AppConfig, environment: Environment) -> Settings:
    """The configuration with the API keys that go with it: its own, else those of the key file.

    Raises ConfigurationError.
    """
    keys = load_keys(keys_path(environment.config_path, config))
    for venue, settings in config.exchange_configs.items():
        own = VenueKeys(
            apiKey=settings.api_key, secret=settings.api_secret, password=settings.passphrase
        )
        if own.credentials():
            keys[venue] = own.over(keys.get(venue, VenueKeys()))
    return Settings(config=config, environment=environment, keys=keys)


def load_config(path: Path) -> AppConfig:
    """The configuration of a file or a directory. Raises ConfigurationError."""
    return load(path).config


def load(
    path: Path, environment: str | None = None, variables: Mapping[str, str] | None = None
) -> Loaded:
    """The same with where it comes from. `environment` names the profile, in place of what files
    and variables say. Raises ConfigurationError with one line that names every wrong field."""
    try:
        return _load(path, environment, read_variables() if variables is None else variables)
    except ConfigurationError as error:
        raise ConfigurationError(_one_line(str(error))) from None


def _load(path: Path, environment: str | None, variables: Mapping[str, str]) -> Loaded:
    _reject_other_prefix(variables)
    base = base_file(path)
    layers = [(str(base), _tree(base, variables))]
    said = variable_trees(variables)
    if environment is not None:
        said.append(("the caller", {"environment": environment}))
    profile = profile_file(base, _environment_of([*layers, *said]))
    if profile is not None:
        layers.append((str(profile), _tree(profile, variables)))
    layers += said
    tree: Tree = {}
    origins: dict[str, str] = {}
    for name, layer in layers:
        _merge(tree, layer, name, origins)
    files = (base, profile) if profile is not None else (base,)
    return Loaded(_checked(tree, base, origins), origins, files)


def load_keys(path: Path) -> dict[str, VenueKeys]:
    """API keys by canonical venue; a missing file is no keys. Raises ConfigurationError."""
    if not path.exists():
        return {}
    keys: dict[str, VenueKeys] = {}
    for name, fields in read_mapping(path).items():
        try:
            keys[canonical_venue(name)] = VenueKeys.model_validate(fields)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from None
        except ValidationError as error:
            raise ConfigurationError(f"{path}: {name}: {_wrong_fields(error, {}, '')}") from None
    return keys


def keys_path(config_path: Path, config: AppConfig) -> Path:
    """Of the key file, which lies beside the configuration and may be absent."""
    return _directory(config_path) / config.api_keys_file


def base_file(path: Path) -> Path:
    """The file that `path` names, or the `base.*` of the directory. Raises ConfigurationError."""
    if not path.is_dir():
        return path
    found = [path / f"{_BASE}{suffix}" for suffix in SUFFIXES]
    return _only([file for file in found if file.exists()], f"{path} has no {_BASE}.* of ours")


def profile_file(base: Path, environment: str) -> Path | None:
    """`production.*` beside `base.*` (`base_config.*`), `name.production.*` beside another one;
    None where there is none. Raises ConfigurationError where there are two."""
    found = [file for file in _profiles(base, environment) if file.exists()]
    return _only(found, "") if found else None


def _profiles(base: Path, environment: str) -> list[Path]:
    stem = environment if base.stem in (_BASE, f"{_BASE}_config") else f"{base.stem}.{environment}"
    return [base.with_name(f"{stem}{suffix}") for suffix in SUFFIXES]


def _only(found: list[Path], otherwise: str) -> Path:
    if not found:
        raise ConfigurationError(otherwise)
    if len(found) > 1:
        raise ConfigurationError(f"{found[0]} and {found[1]} are both there: one has to go")
    return found[0]


def _directory(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _tree(path: Path, variables: Mapping[str, str]) -> Tree:
    body = read_file(path, variables, f"copy config.example.json to {path}")
    try:
        return canonical(body)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _environment_of(layers: list[tuple[str, Tree]]) -> str:
    said = [environment_name(t["environment"]) for _, t in layers if "environment" in t]
    default: str = AppConfig.model_fields["environment"].default
    return said[-1] if said and isinstance(said[-1], str) and said[-1].isalnum() else default


def _merge(tree: Tree, layer: Tree, name: str, origins: dict[str, str], above: str = "") -> None:
    """Lay `layer` over `tree`. A list replaces; venues of a map are added to those there are."""
    for key, value in layer.items():
        path = f"{above}{key}"
        old = tree.get(key)
        if path == "exchanges" and isinstance(value, dict):
            value = _with_added(old, value)
        if isinstance(value, dict) and value and isinstance(old, dict):
            _merge(old, value, name, origins, f"{path}.")
            continue
        tree[key] = _copied(value)
        for leaf in _leaf_paths(value, path):
            origins[leaf] = name


def _with_added(old: Any, names: dict[str, Any]) -> Any:
    """A list of names, or what is wrong as it is."""
    if any(value != {} for value in names.values()):
        return names
    known = list(old) if isinstance(old, list | tuple) else []
    venues = {canonical for name in known if (canonical := _venue(name)) is not None}
    return known + [name for name in names if _venue(name) not in venues]


def _venue(name: Any) -> str | None:
    try:
        return canonical_venue(name)
    except (ConfigurationError, TypeError):
        return None


def _copied(value: Any) -> Any:
    return {key: _copied(below) for key, below in value.items()} if type(value) is dict else value


def _leaf_paths(value: Any, path: str) -> list[str]:
    if isinstance(value, dict) and value:
        return [leaf for key, v in value.items() for leaf in _leaf_paths(v, f"{path}.{key}")]
    return [path]


def _checked(tree: Tree, base: Path, origins: Mapping[str, str]) -> AppConfig:
    for name in tree:
        if name.startswith("_"):  # those are options of the library's constructor
            raise ConfigurationError(f"{base}: {name}: unknown field")
    try:
        return AppConfig(**tree)
    except ValidationError as error:
        wrong = _wrong_fields(error, origins, str(base))
        by_others = all(_origin(_path(i), origins, str(base)) for i in error.errors())
        raise ConfigurationError(wrong if by_others else f"{base}: {wrong}") from None


def _wrong_fields(error: ValidationError, origins: Mapping[str, str], file: str) -> str:
    """Every wrong field in one line, and what else than `file` said it; values are left out, one
    might be a password."""
    return "; ".join(_wrong(item, origins, file) for item in error.errors(include_input=False))


def _one_line(text: str) -> str:
    """Names in it are users', and may hold anything."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _wrong(item: Any, origins: Mapping[str, str], file: str) -> str:
    path = _path(item)
    origin = _origin(path, origins, file)
    source = f" (by {origin})" if origin else ""
    return f"{path}: {_reason(item)}{source}" if path else _reason(item)


def _path(item: Any) -> str:
    return ".".join(map(str, item["loc"]))


def _origin(path: str, origins: Mapping[str, str], file: str) -> str | None:
    """Of a field, of what it is a part of (an entry of a list), or of all that is below it; None
    where that is `file`."""
    whole = [said for field, said in origins.items() if f"{path}.".startswith(f"{field}.")]
    below = {said for field, said in origins.items() if field.startswith(f"{path}.")}
    found = whole[:1] or list(below)
    return found[0] if len(found) == 1 and found[0] != file else None


def _reason(item: Any) -> str:
    reasons = {"extra_forbidden": "unknown field", "missing": "is missing"}
    return reasons.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")


def _reject_other_prefix(variables: Mapping[str, str]) -> None:
    """Who writes the prefix of the process's own variables means this one."""
    for name in sorted(variables):
        if name.startswith("FLEET_") and "__" in name:
            right = PREFIX + name.removeprefix("FLEET_")
            raise ConfigurationError(f"{name}: fields are set by {right}")


def dotenv_of(environ: Mapping[str, str] | None = None) -> tuple[Path, bool]:
    """The `.env` that is read, and whether a variable (by default of the process) names it."""
    named = dict(os.environ if environ is None else environ).get("FLEET_ENV_FILE")
    return Path(named or ".env"), bool(named)


def _dotenv(path: Path, named: bool) -> dict[str, str]:
    if not path.is_file():
        if named:
            raise ConfigurationError(f"FLEET_ENV_FILE: {path} does not exist")
        return {}
    from dotenv import dotenv_values

    try:
        said = dotenv_values(path, interpolate=False, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} can not be read: {error}") from None
    return {name: value for name, value in said.items() if value is not None}


def _secrets(directory: Path) -> dict[str, str]:
    """A file's name is the variable's, in any case; its text without the line's end the value."""
    try:
        files = [file for file in sorted(directory.iterdir()) if file.is_file()]
        said = {}
        for file in files:
            with file.open("rb") as opened:
                said[file.name.upper()] = opened.read(_SECRET_BYTES).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = f"{directory} can not be read: {type(error).__name__}"
        raise ConfigurationError(f"FLEET_SECRETS_DIR: {reason}") from None
    return said


def _is_amqp(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("amqp", "amqps") and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def watched_places(
    path: Path, files: tuple[Path, ...], config: AppConfig, variables: Mapping[str, str]
) -> set[Path]:
    """The files that a configuration is made of, those that could join it, and the directory of
    secrets, whether they exist or not."""
    base = files[0] if files else path
    beside = {file for name in ENVIRONMENTS for file in _profiles(base, name)}
    places = {*files, *beside, keys_path(path, config)}
    places.add(Path(variables.get("FLEET_ENV_FILE") or ".env"))
    if secrets := variables.get("FLEET_SECRETS_DIR"):
        places.add(Path(secrets))
    return places
