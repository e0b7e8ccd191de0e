"""The collector's side of ccxt, without a venue."""

import asyncio
from typing import Any

import pytest

from shared import errors
from shared.budget import Budget
from shared.config import VenueConfig, VenueKeys, VenueUrls
from tests.fakes import FakeClock
from workers.collector.catalogue import CATALOGUE
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.client import VenueClient

BTC = "BTC/USDT:USDT"


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_row_of_the_catalogue_makes_a_client_that_points_where_it_is_told(name: str) -> None:

    venue, clock = CATALOGUE[name], FakeClock()
    urls = VenueUrls(rest="http://127.0.0.1:1/v/", ws="ws://127.0.0.1:1/v")
    config = VenueConfig(urls=urls, options={"ws": {"mine": 1}})
    keys = VenueKeys.model_validate({"apiKey": "k", "password": "p"})
    client = VenueClient(venue, config, keys, Budget({name: venue.limit}, clock), clock)
    exchange = client._ccxt
    assert exchange.options["ws"]["mine"] == 1
    assert (exchange.apiKey, exchange.password) == ("k", "p")
    for stream in venue.streams.values():
        assert callable(getattr(exchange, stream.watch.method))
        assert callable(getattr(exchange, stream.unwatch.method))
    for call in venue.bulk:
        assert callable(getattr(exchange, call.method))


async def test_a_wait_that_ccxt_cancels_is_a_lost_connection_and_ours_is_a_cancellation() -> None:
    """ccxt cancels everybody on a connection that it closes because one book failed."""

    venue, clock = CATALOGUE["gate"], FakeClock()
    budget = Budget({"gate": venue.limit}, clock)
    client = VenueClient(venue, VenueConfig(), VenueKeys(), budget, clock)
    futures: list[asyncio.Future[Any]] = []

    async def watch(*_: Any, **__: Any) -> Any:
        futures.append(asyncio.get_running_loop().create_future())
        return await futures[-1]

    client._ccxt.watch_order_book = watch
    watching = asyncio.create_task(client.watch(Subscription(StreamKind.BOOK, BTC)))
    await asyncio.sleep(0)
    futures[0].cancel()
    with pytest.raises(errors.NetworkError):
        await watching
    watching = asyncio.create_task(client.watch(Subscription(StreamKind.BOOK, BTC)))
    await asyncio.sleep(0)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
