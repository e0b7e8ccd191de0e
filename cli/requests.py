"""`fleet request`: one request to a venue, answered by the fleet's collectors."""

from dataclasses import dataclass
from typing import Any

import orjson

from cli.broker_address import find_address, run_on
from cli.exits import CommandFailed, Exit
from cli.output import print_json
from cli.place import Place
from shared.broker import Broker
from shared.config import load_config
from shared.errors import CryptoCollectorException, DataProcessingError
from shared.exchange_manager import ExchangeManager
from shared.requests import METHODS, Priority


@dataclass(frozen=True, slots=True)
class Wish:
    """What `fleet request` was asked for."""

    method: str
    arguments: list[str]  # each as JSON, or text
    exchange: str | None = None
    priority: str = Priority.NORMAL.value
    timeout_s: float = 10.0
    max_age_s: float | None = None


def run_request(place: Place, wish: Wish) -> Exit:
    """The answer as JSON. Raises CommandFailed where there is none."""
    address = find_address(place)
    broker = address.broker("fleet-request")
    print_json(run_on(address, broker, _asked(place, broker, wish)))
    return Exit.OK


def manager_of(place: Place, broker: Broker) -> ExchangeManager:
    """With the strategy and the weights of this place's configuration, where there is one."""
    if not place.config_path.exists():
        return ExchangeManager(broker)
    config = load_config(place.config_path)
    weights = {name: config.venue(venue).weight for venue, name in config.wire_names.items()}
    return ExchangeManager(broker, config.exchange_manager.connection_strategy, weights=weights)


async def _asked(place: Place, broker: Broker, wish: Wish) -> Any:
    async with manager_of(place, broker) as manager:
        try:
            return await manager.execute_request(
                wish.method,
                *map(_value, wish.arguments),
                exchange_id=wish.exchange,
                priority=Priority(wish.priority),
                timeout=wish.timeout_s,
                max_age=wish.max_age_s,
            )
        except DataProcessingError as error:
            hint = "" if wish.method in METHODS else f"; known: {', '.join(METHODS)}"
            raise CommandFailed(f"{error}{hint}", Exit.USAGE) from None
        except CryptoCollectorException as error:
            raise CommandFailed(f"{type(error).__name__}: {error}") from None


def _value(text: str) -> Any:
    """`5` is a number, `["BTC", "ETH"]` a list, anything else text."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
