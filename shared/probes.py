"""Checks of what processes depend on, for `shared.health`. Each raises where it is not well."""

import asyncio
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp

from shared.broker import Broker
from shared.config.sections import Database
from shared.errors import BrokerError, StoreError
from shared.health import Check, Finding
from shared.vitals import Vitals, rss_mb

if TYPE_CHECKING:
    from redis.asyncio import Redis

_MIB = 1024 * 1024
#: A broker stops taking messages at 50 MB; a spool and logs want more.
_DISK_LEAST_MIB, _DISK_GOOD_MIB = 200, 2048
_LAG_BAD_S, _LAG_LATE_S = 2.0, 0.5
#: What PostgreSQL is asked first by clients which would like TLS; it answers with one letter.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def broker_probe(broker: Broker) -> Check:
    """Whether the broker takes a connection with our login and opens a channel."""

    async def probe() -> None:
        connection = await broker.connect("health")
        try:
            await connection.channel()
        except OSError as error:
            raise BrokerError(str(error)) from error
        finally:
            await connection.close()

    return probe


def redis_probe(redis: "Redis") -> Check:
    async def probe() -> None:
        await redis.ping()

    return probe


def database_probe(database: Database) -> Check:
    """Whether something answers in the database's language."""
    if database.spoken == "clickhouse":
        return _clickhouse(database)

    async def probe() -> None:
        reader, writer = await asyncio.open_connection(database.host, database.port)
        try:
            writer.write(_SSL_REQUEST)
            await writer.drain()
            if await reader.readexactly(1) not in (b"S", b"N"):
                raise StoreError(f"{database.host}:{database.port} is no PostgreSQL")
        except asyncio.IncompleteReadError:
            raise StoreError(f"{database.host}:{database.port} says nothing") from None
        finally:
            writer.close()

    return probe


def _clickhouse(database: Database) -> Check:
    url = f"http://{quote(database.host)}:{database.port}/ping"

    async def probe() -> None:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            if answer.status != 200:
                raise StoreError(f"{url} answers {answer.status}")

    return probe


def disk_probe(directory: Path) -> Check:
    async def probe() -> Finding | None:
        usage = await asyncio.to_thread(shutil.disk_usage, directory)
        free = usage.free // _MIB
        if free < _DISK_LEAST_MIB:
            return Finding("UNHEALTHY", f"{free} MiB of disk are free")
        if free < _DISK_GOOD_MIB:
            return Finding("DEGRADED", f"{free} MiB of disk are free")
        return None

    return probe


def vitals_probe(vitals: Vitals, most_mb: float) -> Check:
    """The event loop's lateness, and memory."""

    async def probe() -> Finding | None:
        lag_s, used_mb = vitals.worst_lag_s(), rss_mb()
        if lag_s >= _LAG_BAD_S:
            return Finding("UNHEALTHY", f"the event loop was {lag_s:.1f} s late")
        if lag_s >= _LAG_LATE_S:
            return Finding("DEGRADED", f"the event loop was {lag_s:.1f} s late")
        return Finding("DEGRADED", f"{used_mb:.0f} MB of memory") if used_mb > most_mb else None

    return probe
