"""What venues list, taken from disk by a second start."""

import logging
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.budget import Budget
from shared.clock import SystemClock
from shared.config import VenueConfig
from shared.config.sections import VenueUrls
from simulator.server import Server, Settings
from tests.venues import VENUES
from workers.collector.access import Access
from workers.collector.catalogue import CATALOGUE
from workers.collector.client import VenueClient
from workers.collector.listings import Listings
from workers.collector.market_file import MarketFile
from workers.collector.unified import Market


@pytest.mark.parametrize("name", VENUES)
async def test_a_second_start_knows_the_same_and_asks_for_nothing(
    name: str, tmp_path: Path
) -> None:
    async with Server(Settings(port=0, symbols=2)) as server:
        first = await _started(name, server, tmp_path)
        before = _asked(server, name)
        second = await _started(name, server, tmp_path)
        assert first == second
        [ticker] = _asked(server, name)[len(before) :]
        assert ticker["path"] != before[0]["path"], "the list was asked for again"


async def _started(
    name: str, server: Server, directory: Path
) -> tuple[dict[str, Market], list[dict[str, Any]], str]:
    """What a start knows then, and what ccxt makes of it."""
    venue, clock = CATALOGUE[name], SystemClock()
    place = f"127.0.0.1:{server.port}/{name}"
    urls = VenueUrls(rest=f"http://{place}", ws=f"ws://{place}")
    budget = Budget(venue.limits, clock, idle_s=60.0)
    client = VenueClient(venue, Access(VenueConfig(urls=urls)), budget, clock)
    try:
        file = MarketFile(directory / "markets.zst", client.addresses, clock)
        await Listings(client, file, clock, logging.getLogger("test")).load()
        symbol = next(symbol for symbol in client.markets if symbol.startswith("BTC"))
        ticker = await client._ccxt.fetch_ticker(symbol)
        return client.markets, client.market_rows(), ticker["symbol"]
    finally:
        await client.close()


def _asked(server: Server, name: str) -> list[dict[str, Any]]:
    lines = [orjson.loads(line) for line in server.truth.after(0, name)[1]]
    return [line for line in lines if line["event"] == "rest"]
