"""Which broker a command talks to, and talking to it: a broker that is away is one line."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aio_pika.abc import AbstractConnection

from cli.endpoints import read_endpoints
from cli.exits import CommandFailed, Exit
from cli.place import Place
from shared.broker import CONNECTION_ERRORS, Broker
from shared.config import AppConfig, load_config
from shared.errors import BrokerError, ConfigurationError
from shared.topology import topology

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Address:
    """A broker, where we know it from, and the name of its data exchange."""

    url: str
    source: str
    data_exchange: str = "futures_data"
    hint: str = ""  # what else there is, for when nothing answers

    def broker(self, name: str) -> Broker:
        """One that declares nothing: a command only looks at what the fleet has made."""
        return Broker(self.url, name, topology(self.data_exchange), declares=False)


def find_address(place: Place) -> Address:
    """AMQP_URL, else the configuration, else a fleet that runs in this clone.

    Raises CommandFailed and ConfigurationError.
    """
    running = read_endpoints(place.endpoints)
    config = _config(place.config_path)
    exchange = config.rabbitmq.exchange if config else "futures_data"
    if url := place.environment.amqp_url:
        return Address(url, "AMQP_URL", exchange)
    if config and "rabbitmq" in config.model_fields_set:
        hint = f"; a {running.kind} runs here, at another: {place.endpoints}" if running else ""
        if running and running.amqp_url == config.rabbitmq.url():
            hint = ""
        return Address(config.rabbitmq.url(), place.config_path.name, exchange, hint)
    if running:
        config = _config(Path(running.config))
        exchange = config.rabbitmq.exchange if config else "futures_data"
        return Address(running.amqp_url, f"the running {running.kind}", exchange)
    raise CommandFailed(
        "no broker is known: set AMQP_URL, or name one in config.json, or start `fleet demo`",
        Exit.UNREACHABLE,
    )


def ask(place: Place, purpose: str, question: Callable[[AbstractConnection], Awaitable[T]]) -> T:
    """What `question` gives on a connection to the fleet's broker. Raises CommandFailed."""
    address = find_address(place)
    broker = address.broker(f"fleet-{purpose}")

    async def asked() -> T:
        connection = await broker.connect(purpose)
        try:
            return await question(connection)
        finally:
            await connection.close()

    return run_on(address, broker, asked())


def run_on(address: Address, broker: Broker, work: Coroutine[Any, Any, T]) -> T:
    """Run `work`, which speaks to `broker`. Raises CommandFailed where that is away."""
    try:
        return asyncio.run(work)
    except BrokenPipeError:  # of our own output, not of the connection
        raise
    except ConfigurationError as error:
        raise CommandFailed(f"{error} ({address.source})", Exit.UNREACHABLE) from error
    except (BrokerError, *CONNECTION_ERRORS) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        where = f"{broker.address} ({address.source})"
        raise CommandFailed(
            f"broker at {where}: {reason}{address.hint}", Exit.UNREACHABLE
        ) from error


def _config(path: Path) -> AppConfig | None:
    return load_config(path) if path.exists() else None
