"""A process that asks a simulated venue for all that its budget lets it have, as a collector does:
`python -m tests.spender VENUE SIMULATOR_PORT REDIS_PORT HOME SHARE`."""

import asyncio
import sys
from pathlib import Path

from shared.budget import Standing
from shared.clock import SystemClock
from shared.config import AppConfig, Environment, Settings
from shared.errors import ExchangeError
from shared.requests import METHODS, Request
from workers.collector.access import Access
from workers.collector.catalogue import CATALOGUE
from workers.collector.client import VenueClient
from workers.collector.spending import budget_of

_AT_ONCE = 40
_EAGER = Standing(0.0, 0.0)


async def main(venue: str, port: str, redis_port: str, home: str, share: str) -> None:
    bases = {"rest": f"http://127.0.0.1:{port}/{venue}", "ws": f"ws://127.0.0.1:{port}/{venue}"}
    config = AppConfig.model_validate(
        {
            "exchanges": [venue],
            "exchange_configs": {venue: {"urls": bases}},
            "redis": {"host": "127.0.0.1", "port": int(redis_port)},
        }
    )
    place = Path(home)
    environment = Environment(
        amqp_url=None, home=place, config_path=place / "none", host_id="h", egress="shared"
    )
    settings = Settings(config=config, environment=environment, keys={})
    clock, row = SystemClock(), CATALOGUE[venue]
    budget = budget_of(settings, row, clock)
    budget.share(float(share))
    client = VenueClient(row, Access.of(settings, venue), budget, clock)
    await _patiently(client.load_markets)
    request = Request(id="1", method="fetch_time", timeout_ms=1000)

    async def ask() -> None:
        while True:
            await _patiently(lambda: client.call(METHODS["fetch_time"], request, _EAGER))

    await asyncio.gather(*(ask() for _ in range(_AT_ONCE)))


async def _patiently(call: object) -> None:
    try:
        await call()  # type: ignore[operator]
    except ExchangeError:
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
