"""Write docs/configuration.md from the fields: `python scripts/configuration.py`, or `--check` it."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shared.config.app import AppConfig
from shared.config.changes import is_live
from shared.config.names import PREFIX, RENAMED, VARIABLES
from shared.config.sections import VenueConfig

PAGE = ROOT / "docs" / "configuration.md"
_HEAD = """# Configuration

<!-- Generated from shared/config by scripts/configuration.py. -->

`config.json` beside `supervisord.conf`; `config.example.json` is a small one that works, and below is every
field. JSON, YAML and TOML are read alike. A field that does not exist, or has a wrong value, is an error: the
process names all of them in one line and ends with exit code 78.

```sh
fleet config show      # each field that is said, and by what; --all: the defaults as well
fleet config check     # whether it is sound
fleet config diff      # what is another than what was taken up last
fleet config schema    # for editors: of a whole configuration by canonical names
fleet config rollback  # the files and .env as they were before
```

A file that is laid over another one, or uses [other names](#other-names), is not what the schema describes.

## Where it comes from

Lowest first; objects are merged, lists replaced:

1. the file that `FLEET_CONFIG` (or `CONFIG_PATH`) names; of a directory, its `base.*`;
2. the profile of the environment beside it: `production.*` beside `base.*` (or `base_config.*`),
   `config.production.*` beside `config.json`. `dev`, `stage` and `prod` are short for `development`, `staging` and
   `production`, as a value and not as a file's name. `config/` is an example: `FLEET_CONFIG=config
   ENVIRONMENT=production`, which needs `RABBITMQ_HOST`, `RABBITMQ_USER` and `RABBITMQ_PASSWORD` besides;
3. variables by [names of their own](#variables);
4. variables with the prefix: `CRYPTO_COLLECTOR_RABBITMQ__HOST=…`, `CRYPTO_COLLECTOR_EXCHANGE_CONFIGS__BINANCE__API_KEY=…`;
   levels are apart by `__`, lists and objects are JSON.

Variables are those of the process; else of the file `.env` in the working directory (`FLEET_ENV_FILE`); else
files below `FLEET_SECRETS_DIR`, each named as the variable that it holds, as Docker and Kubernetes mount
secrets. In files `${VARIABLE}` and `${VARIABLE:default}` are replaced; `$${` stands for `${`.

For a service named `redis` Kubernetes gives its pods `REDIS_PORT=tcp://…`, which is no port and is refused:
`enableServiceLinks: false` in the pod's `spec` keeps it out.

API keys may also stand in `.env.keys` (JSON) beside the configuration: `apiKey`, `secret` and, where a venue
has one, `password` (the passphrase), by exchange. What the configuration itself says of a key wins. Keys go to
ccxt alone.

## Changing it while the fleet runs

Processes watch these files; SIGHUP and the [command](control.md) `reload_config` make them look at once. A
changed configuration is checked whole and taken up whole; one that is wrong changes nothing, and the log says
why. Fields that are marked **live** take effect at once, the others with the next restart of the process
(`fleet workers restart`, one after another, loses nothing). The log says what changed.

The last 20 configurations are kept below `$FLEET_HOME/config-snapshots`, for the owner's eyes only: the file, its
profile, and `.env`. `fleet config rollback` puts these back, and deletes the profile and the `.env` that were not
there then; what it replaces is kept below `undone`. What was kept of a configuration in another directory is
refused. `fleet config diff` compares with the newest. API keys in `.env.keys`, secrets' files and the variables of
the processes themselves are not kept: both sides of a comparison have today's.

In a program of your own `shared.config.manager.ConfigManager` does the same.

What a host collects beyond `exchanges`, or less, is told it while it runs: `fleet exchange add` and `remove`, see
[operations](operations.md#hosts-and-their-venues).

## Fields
"""
_TAIL = """
## The process's own variables

| variable | meaning |
|---|---|
| `AMQP_URL` | the broker's address; wins over the `rabbitmq` section. `heartbeat=5` is added unless the address has one |
| `FLEET_CONFIG`, `CONFIG_PATH` | path of the configuration, a file or a directory; default `config.json` |
| `FLEET_ENV_FILE` | in place of `.env` |
| `FLEET_SECRETS_DIR` | a directory of secrets, for instance `/run/secrets` |
| `FLEET_HOME` | where the fleet keeps what it writes, default `.fleet` |
| `FLEET_EGRESS` | name of the address from which this host speaks to venues, default its `FLEET_HOST_ID`; hosts behind one address name the same, and share its limits |
| `FLEET_HOST_ID` | name of this host in worker ids, default the machine's name |
| `SUPERVISOR_SERVER_URL` | set by supervisord for its programs: how the agent reaches it; only `unix://` is used |
| `RABBITMQ_HOME` | the RabbitMQ server that a private broker is run from, where none is found |

## Exit codes

0 asked to stop · 1 failed · 78 the configuration or the credentials can not work. An absent broker or venue is no
reason to end.
"""


def page() -> str:
    return "\n".join((_HEAD, *_fields(), *_other_names(), *_variables())) + "\n" + _TAIL


def _fields() -> Iterator[str]:
    plain = {n: f for n, f in AppConfig.model_fields.items() if _section(f) is None}
    plain.pop("exchange_configs")
    yield from _table(plain, "")
    for name, field in AppConfig.model_fields.items():
        section = _section(field)
        if section is not None:
            yield f"\n### `{name}`\n\n{_first_line(section)}\n"
            yield from _table(section.model_fields, f"{name}.")
    yield "\n### `exchange_configs.{exchange}`\n\n" + _first_line(VenueConfig) + "\n"
    yield from _table(VenueConfig.model_fields, "exchange_configs.{exchange}.")


def _table(fields: dict[str, FieldInfo], above: str) -> Iterator[str]:
    yield "| field | default | meaning |"
    yield "|---|---|---|"
    yield from _rows(fields, above)


def _rows(fields: dict[str, FieldInfo], above: str) -> Iterator[str]:
    for name, field in fields.items():
        section = _section(field)
        if section is not None and field.description is None:
            yield from _rows(section.model_fields, f"{above}{name}.")
            continue
        path = f"{above}{name}"
        live = "**live** " if is_live(path) or is_live(f"{path}.any") else ""
        yield f"| `{path}` | {_default(field)} | {live}{field.description or ''} |"


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "the package's"
    return _code(field.default)


def _code(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`".replace("'", '"')
    if isinstance(value, dict) and any(isinstance(v, BaseModel) for v in value.values()):
        inside = (f"{k}: {v.ttl_s:g} s" for k, v in value.items())
        return ", ".join(inside)
    if isinstance(value, dict):
        return f"`{value}`".replace("'", '"')
    if hasattr(value, "get_secret_value"):
        return f"`{value.get_secret_value()}`"
    return f"{value:g}" if isinstance(value, float) else f"`{value}`"


def _other_names() -> Iterator[str]:
    yield "\n## Other names\n"
    yield "By these the same may be written, in files and after the prefix.\n"
    yield "| written | is | unit |"
    yield "|---|---|---|"
    for row in RENAMED:
        unit = "ms" if row.per_unit == 1e-3 else ""
        yield f"| `{row.other}` | `{row.means}` | {unit} |"
    yield "| `exchanges.*.…` | `exchange_configs.*.…`, every other setting of a venue | |"
    yield "| `exchanges` as a map | a list of its names | |"
    yield "| `logging.file` | `logging.file_path`; as a flag, whether there is one (default `logs/{program}.log`) | |"


def _variables() -> Iterator[str]:
    yield "\n## Variables\n"
    yield f"A variable with the prefix `{PREFIX}` wins over all of these; of two that say the same,"
    yield "the later.\n"
    yield "| variable | field | unit | default |"
    yield "|---|---|---|---|"
    for row in VARIABLES:
        default = _default(_field_of(row.means))
        yield f"| `{row.name}` | `{row.means}` | {row.unit} | {default} |"
    yield "\n`POSTGRES_HOST` and `TIMESCALEDB_HOST` also say that there is a database, and of which"
    yield f"kind. `{PREFIX}DATABASE__HOST` alone does not: `database.enabled` does."


def _field_of(path: str) -> FieldInfo:
    model: type[BaseModel] = AppConfig
    field: FieldInfo | None = None
    for name in path.split("."):
        if name == "*":
            model = VenueConfig
            continue
        field = model.model_fields[name]
        model = _section(field) or model
    assert field is not None
    return field


def _first_line(section: type[BaseModel]) -> str:
    return " ".join((section.__doc__ or "").split())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where it differs")
    text = page()
    if PAGE.read_text() == text:
        return 0
    if parser.parse_args().check:
        sys.stdout.write(f"{PAGE.relative_to(ROOT)} differs\n")
        return 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
