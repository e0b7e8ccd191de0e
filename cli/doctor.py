"""`fleet doctor`: whether this machine can run a fleet, and what is wrong where it can not."""

import shutil
import stat
import sys
from collections.abc import Callable
from typing import Literal

from aio_pika.abc import AbstractConnection

from cli.broker_address import ask, find_address
from cli.checks import Check, told
from cli.doctor_exchange import check_exchange
from cli.endpoints import read_endpoints
from cli.exits import CommandFailed, Exit
from cli.place import Place
from cli.private_broker import RAFT_WAL_BYTES, find_server
from cli.status import socket_of
from cli.supervisor import Supervisor
from shared.config import load_config, load_keys
from shared.config.loading import keys_path
from shared.errors import ConfigurationError
from shared.venues import canonical_venue

_MIB = 1024 * 1024
#: A broker stops taking messages at 50 MB; logs of a fleet take up to a gigabyte.
_DISK_LEAST, _DISK_GOOD = 200 * _MIB, 2048 * _MIB


def run_doctor(place: Place, exchange: str | None, top: int, as_json: bool) -> Exit:
    """Of this machine, or of one venue."""
    if exchange is not None:
        return told(check_exchange(place, exchange, top), as_json)
    return told([check(place) for check in CHECKS], as_json)


def _python(_place: Place) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok" if sys.version_info >= (3, 11) else "fail", version)


def _config(place: Place) -> Check:
    try:
        config = load_config(place.config_path)
    except ConfigurationError as error:
        missing = not place.config_path.exists()
        return Check("config", "warn" if missing else "fail", str(error))
    count = f"{len(config.exchanges)} exchanges, {len(config.symbols)} symbols"
    return Check("config", "ok", f"{place.config_path}: {count}")


def _keys(place: Place) -> Check:
    try:
        config = load_config(place.config_path)
        path = keys_path(place.config_path, config)
        keys = load_keys(path)
    except ConfigurationError as error:
        missing = not place.config_path.exists()
        return Check("keys", "ok" if missing else "fail", "none" if missing else str(error))
    if not keys:
        return Check("keys", "ok", "none, public data only")
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Check("keys", "warn", f"{path} can be read by others: chmod 600 {path}")
    known = {canonical_venue(name) for name in config.exchanges}
    return Check("keys", "ok", f"{path}: {', '.join(sorted(known & set(keys))) or 'none in use'}")


def _server(place: Place) -> Check:
    try:
        return Check("rabbitmq", "ok", str(find_server(place.environment.rabbitmq_home)))
    except ConfigurationError as error:
        return Check("rabbitmq", "warn", f"{error} (only for a private broker)")


def _broker(place: Place) -> Check:
    try:
        address = find_address(place)
        version = ask(place, "doctor", _version)
    except CommandFailed as error:
        named = place.environment.amqp_url or place.config_path.exists()
        return Check("broker", "fail" if named else "warn", str(error))
    except ConfigurationError as error:
        return Check("broker", "fail", str(error))
    running = read_endpoints(place.endpoints)
    text = f"RabbitMQ {version} ({address.source})"
    if running is None or running.amqp_url != address.url:
        hint = f"raft.wal_max_size_bytes = {RAFT_WAL_BYTES}"
        text += f"; not ours: make sure that it has {hint}, the default fills its memory"
        return Check("broker", "warn", text)
    return Check("broker", "ok", text)


async def _version(connection: AbstractConnection) -> str:
    assert connection.transport is not None
    properties = connection.transport.connection.server_properties
    return str(properties.get("version", "of an unknown version"))


def _disk(place: Place) -> Check:
    place.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place.home).free
    level: Literal["ok", "warn", "fail"] = "ok" if free >= _DISK_GOOD else "warn"
    return Check("disk", level if free >= _DISK_LEAST else "fail", f"{free // _MIB} MiB free")


def _supervisor(place: Place) -> Check:
    socket = socket_of(place)
    runs = Supervisor(socket).answers()
    return Check("supervisord", "ok", f"{'answers' if runs else 'does not run'} ({socket})")


CHECKS: tuple[Callable[[Place], Check], ...] = (
    _python,
    _config,
    _keys,
    _server,
    _broker,
    _disk,
    _supervisor,
)
