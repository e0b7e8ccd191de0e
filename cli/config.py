"""`fleet config`: what the configuration says, from where, and what of it is another now."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cli.exits import CommandFailed, Exit
from cli.output import print_json, print_table, say
from cli.place import Place
from shared.config.app import AppConfig
from shared.config.changes import changes, shown
from shared.config.loading import Loaded, load
from shared.config.manager import ConfigManager
from shared.errors import ConfigurationError


def run_show(place: Place, environment: str | None, everything: bool, as_json: bool) -> Exit:
    loaded = load(place.config_path, environment)
    rows = [
        (field, value, loaded.origins.get(field, "default"))
        for field, value in _fields(shown(loaded.config))
        if everything or _is_said(field, loaded)
    ]
    if as_json:
        print_json([dict(zip(("field", "value", "origin"), row, strict=True)) for row in rows])
    else:
        print_table(("field", "value", "said by"), [(f, _text(v), origin) for f, v, origin in rows])
    return Exit.OK


def run_check(place: Place, environment: str | None, as_json: bool) -> Exit:
    from cli.up import needs_private_broker

    loaded = load(place.config_path, environment)
    files = [str(path) for path in loaded.files]
    if as_json:
        is_private = needs_private_broker(place, loaded.config)
        told = {"environment": loaded.config.environment, "private_broker": is_private}
        print_json({"ok": True, "files": files} | told)
    else:
        said = f"{len(loaded.origins)} fields are said"
        say(f"ok: {' and '.join(files)} ({loaded.config.environment}); {said}")
    return Exit.OK


def run_diff(place: Place, other: Path | None, as_json: bool) -> Exit:
    if other is not None:
        found = changes(load(other).config, load(place.config_path).config)
    else:
        manager = ConfigManager(environment=place.environment, outside=True)
        found = changes(_taken_up(manager), manager.load_config())
    if as_json:
        print_json([asdict(change) | {"live": change.live} for change in found])
    else:
        for change in found:
            say(f"{change}{'' if change.live else ' (needs a restart)'}")
        if not found:
            say("nothing is another")
    return Exit.DEGRADED if found else Exit.OK


def run_schema() -> Exit:
    print_json(AppConfig.model_json_schema())
    return Exit.OK


def run_rollback(place: Place, steps: int) -> Exit:
    manager = ConfigManager(environment=place.environment, outside=True)
    with suppress(ConfigurationError):  # what is broken can be put back as well
        manager.load_config()
    if not manager.rollback_config(steps):
        raise CommandFailed(manager.error or "the configuration can not be put back")
    files = " and ".join(map(str, manager.put_back))
    say(f"{files} as before" if files else "nothing is put back: the files were the same then")
    return Exit.OK


def _taken_up(manager: ConfigManager) -> AppConfig:
    try:
        return manager.taken_up()
    except ConfigurationError as error:
        raise CommandFailed(f"{error}; name another configuration to compare with") from None


def _fields(value: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, below in value.items():
            yield from _fields(below, f"{above}.{name}" if above else name)
    else:
        yield above, value


def _is_said(field: str, loaded: Loaded) -> bool:
    return any(field == said or field.startswith(f"{said}.") for said in loaded.origins)


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
