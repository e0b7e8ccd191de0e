"""By what other names the configuration may be written: in files, and as variables.

Everything is brought to its canonical name and unit here, before anything is merged or checked.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.errors import ConfigurationError
from shared.venues import ALIASES, VENUES

#: A path of names from the root: `("rabbitmq", "host")`.
Path = tuple[str, ...]
Tree = dict[str, Any]

PREFIX = "CRYPTO_COLLECTOR_"
#: Between the names of a prefixed variable.
_LEVEL = "__"
#: Where `logging.file` is a flag, and no path is named beside it.
LOG_FILE = "logs/{program}.log"
_FLAG_OR_PATH, _FILE = ("logging", "file"), ("logging", "file_path")
_FLAGS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class Renamed:
    """Another name of a field in files and prefixed variables; `*` stands for any name."""

    other: str
    means: str
    per_unit: float = 1  # of ours there are in one of theirs


#: Units as in the field unless a factor says otherwise.
RENAMED = (
    Renamed("ticker_interval", "collection.ticker_interval_s"),
    Renamed("funding_rate_interval", "collection.funding_rate_interval_s"),
    Renamed("cache.default_ttl", "cache.default_ttl_s"),
    Renamed("database.name", "database.database"),
    Renamed("rate_limiting.default_limit", "rate_limiting.default_limit_per_minute"),
    Renamed("exchange_manager.connection_pool.max_size", "performance.connection_pool_size"),
    Renamed("exchange_manager.connection_pool.idle_timeout", "performance.connection_idle_s"),
    Renamed("exchange_configs.*.timeout", "exchange_configs.*.timeout_s"),
    Renamed("exchange_configs.*.rate_limit", "exchange_configs.*.rate_limit_per_minute"),
    Renamed("exchanges.*.timeout", "exchange_configs.*.timeout_s", per_unit=1e-3),
    Renamed("exchanges.*.rate_limit", "exchange_configs.*.rate_limit_per_minute"),
)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable without prefix; `{EXCHANGE}` stands for each venue by any of its names."""

    name: str
    means: str
    unit: str = ""  # of the variable, where it is not the field's
    convert: Callable[[str], Any] = str
    implies: dict[str, Any] = field(default_factory=dict)


def _milliseconds(text: str) -> float:
    return float(text) / 1000


def _doubling(text: str) -> list[float]:
    first_s = float(text) / 1000
    return [first_s, 2 * first_s, 4 * first_s]


def _top(text: str) -> list[str]:
    return [f"top:{int(text)}"]


def _json(text: str) -> Any:
    """What looks like a list or an object is read as JSON, all else is text."""
    return orjson.loads(text) if text.lstrip()[:1] in ("[", "{") else text


def _server(prefix: str, kind: str) -> tuple[Variable, ...]:
    is_there = {"database.enabled": True, "database.kind": kind}
    return (
        Variable(f"{prefix}_HOST", "database.host", implies=is_there),
        Variable(f"{prefix}_PORT", "database.port"),
        Variable(f"{prefix}_USER", "database.user"),
        Variable(f"{prefix}_PASSWORD", "database.password"),
        Variable(f"{prefix}_DB", "database.database"),
    )


#: Where two say the same, the later wins; a prefixed variable wins over all of them.
VARIABLES = (
    Variable("ENVIRONMENT", "environment"),
    Variable("REDIS_HOST", "redis.host"),
    Variable("REDIS_PORT", "redis.port"),
    Variable("REDIS_PASSWORD", "redis.password"),
    Variable("REDIS_DB", "redis.db"),
    *_server("POSTGRES", "postgresql"),
    *_server("TIMESCALEDB", "timescaledb"),
    Variable("{EXCHANGE}_API_KEY", "exchange_configs.*.api_key"),
    Variable("{EXCHANGE}_API_SECRET", "exchange_configs.*.api_secret"),
    Variable("{EXCHANGE}_PASSPHRASE", "exchange_configs.*.passphrase"),
    Variable("DATA_COLLECTION_INTERVAL", "collection.ticker_interval_s", "ms", _milliseconds),
    Variable("OHLCV_TIMEFRAMES", "collection.timeframes", "JSON list", _json),
    Variable("ORDER_BOOK_DEPTH", "collection.orderbook_depth", "levels"),
    Variable("TRADE_LIMIT", "collection.trade_limit", "trades"),
    Variable("COLLECTION_START_DATE", "collection.start_date", "ISO date, UTC"),
    Variable("COLLECTION_SCHEDULE", "collection.schedule", "cron, UTC"),
    Variable("TOP_N_CRYPTOS", "symbols", "count: the list is `top:N`", _top),
    Variable("MAX_RETRIES", "collection.retry_attempts"),
    Variable("RETRY_DELAY", "collection.retry_delays", "ms: it, twice, four times it", _doubling),
    Variable("DATA_QUALITY_THRESHOLD", "health.quality_threshold"),
    Variable("MAX_CONCURRENT_CONNECTIONS", "performance.connection_pool_size"),
    Variable("REQUEST_TIMEOUT", "performance.request_timeout_s", "s"),
    Variable("CACHE_TTL", "cache.default_ttl_s", "s"),
)


def canonical(tree: Tree) -> Tree:
    """The same by canonical names, in the fields' units, shapes that differ made one.

    `exchanges` as a map becomes a map of bare names, its settings part of `exchange_configs`;
    `logging.file` as a flag or a path becomes `logging.file_path`; venues that have settings go by
    their canonical names. Raises ConfigurationError for what is said twice.
    """
    leaves = dict(_leaves(tree))
    made: Tree = {}
    said: dict[Path, Path] = {}
    for path, value in leaves.items():
        for at, meant in _meant(path, value, leaves):
            if at in said and at[:1] != ("exchanges",):
                twice = f"{'.'.join(said[at])} and {'.'.join(path)}"
                raise ConfigurationError(f"{'.'.join(at)}: is said twice, by {twice}")
            said[at] = path
            _put(made, at, meant)
    return made


def variable_trees(variables: Mapping[str, str]) -> list[tuple[str, Tree]]:
    """What variables say, each with its name, in rising order of precedence; empty ones say
    nothing. Raises ConfigurationError for one that can not be read."""
    given = {name: value for name, value in variables.items() if value}
    fields: list[tuple[str, dict[Path, Any]]] = []
    for row in VARIABLES:
        for name, means in _spelt(row):
            if name in given:
                value = _read(name, row.convert, given[name])
                implied = {tuple(key.split(".")): said for key, said in row.implies.items()}
                fields.append((name, {tuple(means.split(".")): value, **implied}))
    for name in sorted(given):
        if name.startswith(PREFIX):
            path = tuple(name[len(PREFIX) :].lower().split(_LEVEL))
            fields.append((name, {path: _read(name, _json, given[name])}))
    return [(name, canonical(_grown(said))) for name, said in fields]


def _read(name: str, convert: Callable[[str], Any], text: str) -> Any:
    try:
        return convert(text)
    except ValueError:
        raise ConfigurationError(f"{name}: can not be read") from None


def _spelt(row: Variable) -> Iterator[tuple[str, str]]:
    """Each name of a variable, and the field that it is."""
    if "{EXCHANGE}" not in row.name:
        yield row.name, row.means
        return
    for venue in (*VENUES, *ALIASES):
        name = row.name.replace("{EXCHANGE}", venue.upper())
        yield name, row.means.replace("*", ALIASES.get(venue, venue))


def _leaves(tree: Tree, above: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _meant(path: Path, value: Any, leaves: Mapping[Path, Any]) -> Iterator[tuple[Path, Any]]:
    """A leaf by its canonical name; none where it says nothing of its own."""
    if path[0] == "exchanges" and len(path) > 1:
        yield ("exchanges", path[1]), {}
        if len(path) == 2:
            if value not in ({}, None):
                yield path[:2], value  # no map of settings: told when it is checked
            return
    if path == _FLAG_OR_PATH:
        yield from _log_file(value, leaves)
    elif path == _FILE and _FLAG_OR_PATH in leaves:
        return  # told by the flag
    elif path[0] == "exchange_configs" and path[2:] == ("name",):
        _check_name(path[1], value)
    else:
        yield _renamed(path, value)


def _renamed(path: Path, value: Any) -> tuple[Path, Any]:
    for row in RENAMED:
        pattern = row.other.split(".")
        if len(pattern) != len(path):
            continue
        pairs = list(zip(pattern, path, strict=True))
        if all(word in ("*", name) for word, name in pairs):
            stars = iter([name for word, name in pairs if word == "*"])
            path = tuple(next(stars) if word == "*" else word for word in row.means.split("."))
            value = _scaled(value, row.per_unit)
            break
    if path[0] == "exchanges" and len(path) > 2:
        path = ("exchange_configs", *path[1:])
    if path[0] == "exchange_configs" and len(path) > 1:
        path = (path[0], ALIASES.get(path[1], path[1]), *path[2:])
    return path, value


def _scaled(value: Any, factor: float) -> Any:
    if factor == 1 or isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        return float(value) * factor
    except ValueError:
        return value  # told when it is checked


def _log_file(value: Any, leaves: Mapping[Path, Any]) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, str) and value.lower() in _FLAGS:
        value = _FLAGS[value.lower()]
    if value is True:
        yield _FILE, leaves.get(_FILE, LOG_FILE)
    elif not value:
        yield _FILE, None
    elif _FILE in leaves:
        raise ConfigurationError("logging.file: names a path, and logging.file_path does")
    else:
        yield _FILE, value


def _check_name(exchange: str, name: Any) -> None:
    if not isinstance(name, str) or ALIASES.get(name, name) != ALIASES.get(exchange, exchange):
        raise ConfigurationError(f"exchange_configs.{exchange}.name: is of another exchange")


def _grown(fields: Mapping[Path, Any]) -> Tree:
    tree: Tree = {}
    for path, value in fields.items():
        _put(tree, path, value)
    return tree


def _put(tree: Tree, path: Path, value: Any) -> None:
    for name in path[:-1]:
        below = tree.setdefault(name, {})
        if not isinstance(below, dict):
            raise ConfigurationError(f"{'.'.join(path)}: {name} is a value and a section")
        tree = below
    tree[path[-1]] = value
