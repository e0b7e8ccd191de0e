"""The collector's side of ccxt, without a venue."""

import asyncio
from typing import Any

import ccxt.async_support
import pytest
from aiohttp import encode_basic_auth

from shared import errors
from shared.budget import Budget, RequestClass, Standing
from shared.config import Performance, VenueConfig, VenueKeys, VenueUrls
from shared.requests import METHODS, Request
from tests.fakes import FakeClock
from tests.waiting import eventually
from workers.collector.access import Access
from workers.collector.catalogue import CATALOGUE
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.client import VenueClient
from workers.collector.hot import REQUEST_CLASS

BTC = "BTC/USDT:USDT"


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_row_of_the_catalogue_makes_a_client_that_points_where_it_is_told(name: str) -> None:

    venue, clock = CATALOGUE[name], FakeClock()
    urls = VenueUrls(rest="http://127.0.0.1:1/v/", ws="ws://127.0.0.1:1/v")
    config = VenueConfig(urls=urls, options={"ws": {"mine": 1}})
    keys = VenueKeys.model_validate({"apiKey": "k", "password": "p"})
    client = VenueClient(venue, Access(config, keys), Budget(venue.limits, clock), clock)
    exchange = client._ccxt
    assert exchange.options["ws"]["mine"] == 1
    assert (exchange.apiKey, exchange.password) == ("k", "p")
    for stream in venue.streams.values():
        assert callable(getattr(exchange, stream.watch.method))
        assert callable(getattr(exchange, stream.unwatch.method))
    for call in venue.bulk:
        assert callable(getattr(exchange, call.method))


def test_what_a_proxy_asks_for_stands_in_headers_and_not_in_addresses() -> None:
    venue, clock = CATALOGUE["gate"], FakeClock()
    urls = VenueUrls(rest="https://us%40er:p:w@h:1/v/", ws="wss://:two@h/v")
    access = Access(VenueConfig(urls=urls, options={"ws": {"headers": {"X": "1"}}}))
    exchange = VenueClient(venue, access, Budget(venue.limits, clock), clock)._ccxt
    told = repr(exchange.urls["api"])
    assert "https://h:1/v/api/v4" in told
    assert "wss://h/v/v4/ws/usdt" in told
    assert exchange.headers["Authorization"] == encode_basic_auth("us@er", "p:w")
    headers = {"X": "1", "Authorization": encode_basic_auth("", "two")}
    assert exchange.options["ws"]["headers"] == headers


async def test_a_wait_that_ccxt_cancels_is_a_lost_connection_and_ours_is_a_cancellation() -> None:
    """ccxt cancels everybody on a connection that it closes because one book failed."""

    venue, clock = CATALOGUE["gate"], FakeClock()
    budget = Budget(venue.limits, clock)
    client = VenueClient(venue, Access(), budget, clock)
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


async def test_a_list_of_markets_that_is_all_but_empty_is_no_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Venues in trouble answer with nothing, in good form: that ends no stream."""
    venue, clock = CATALOGUE["bitget"], FakeClock()
    budget = Budget(venue.limits, clock)
    client = VenueClient(venue, Access(), budget, clock)
    exchange, listed = client._ccxt, [market(f"C{n}") for n in range(4)]

    async def fetch_markets(_params: Any = None) -> list[dict[str, Any]]:
        return listed

    monkeypatch.setattr(exchange, "fetch_markets", fetch_markets)
    monkeypatch.setitem(exchange.has, "fetchCurrencies", False)
    await client.load_markets()
    assert len(client.markets) == 4
    for fewer in (listed[:1], []):
        listed = fewer
        with pytest.raises(errors.ExchangeError, match="of 4 markets"):
            await client.load_markets()
        assert len(client.markets) == len(exchange.markets) == 4
    listed = [market("C0"), market("C1"), market("C2")]  # one was delisted
    await client.load_markets()
    assert len(client.markets) == 3


def market(base: str) -> dict[str, Any]:
    kinds = {"swap": True, "spot": False, "linear": True, "contract": True, "active": True}
    names = {"id": f"{base}USDT", "symbol": f"{base}/USDT:USDT", "base": base, "quote": "USDT"}
    more = {"settle": "USDT", "type": "swap", "contractSize": 1.0, "precision": {}, "limits": {}}
    return kinds | names | more


async def test_whoever_gives_up_takes_the_list_of_markets_from_nobody() -> None:
    venue, clock = CATALOGUE["gate"], FakeClock()
    client = VenueClient(venue, Access(), Budget(venue.limits, clock), clock)
    gate = asyncio.Event()

    async def fetch_markets(_params: Any = None) -> list[dict[str, Any]]:
        await gate.wait()
        return []

    client._ccxt.fetch_markets = fetch_markets
    loading = asyncio.create_task(client.load_markets())
    await asyncio.sleep(0)
    request = Request(id="1", method="fetch_tickers", timeout_ms=1)
    with pytest.raises(errors.NetworkError, match="not known yet"):
        await client.call(METHODS["fetch_tickers"], request, Standing(3.0, 0.2))
    gate.set()
    await loading


@pytest.mark.parametrize(("of", "failures"), [(RequestClass.LIVE, 1), (Standing(3.0, 0.2), 0)])
async def test_only_our_own_deadlines_say_something_of_the_venue(
    of: RequestClass | Standing, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue, clock = CATALOGUE["gate"], FakeClock()
    client = VenueClient(venue, Access(), Budget(venue.limits, clock, idle_s=60), clock)

    async def fetch(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(ccxt.async_support.gate, "fetch", fetch)
    REQUEST_CLASS.set(of)
    asking = asyncio.create_task(client._ccxt.fetch("http://127.0.0.1:1/"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert client.breakers.whole.failure_count == failures


async def test_users_may_have_half_of_what_may_be_on_its_way_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue, clock = CATALOGUE["gate"], FakeClock()
    access = Access(performance=Performance(max_concurrent_requests=4))
    client = VenueClient(venue, access, Budget(venue.limits, clock, idle_s=60), clock)
    on_the_way: list[RequestClass | Standing] = []

    async def fetch(*_: Any, **__: Any) -> Any:
        on_the_way.append(REQUEST_CLASS.get())
        await asyncio.Event().wait()

    monkeypatch.setattr(ccxt.async_support.gate, "fetch", fetch)

    async def ask(of: RequestClass | Standing) -> None:
        REQUEST_CLASS.set(of)
        await client._ccxt.fetch("http://127.0.0.1:1/")

    user = Standing(3.0, 0.2)
    asking = [asyncio.create_task(ask(of)) for of in [user] * 6 + [RequestClass.LIVE] * 2]
    await eventually(lambda: RequestClass.LIVE in on_the_way)
    assert on_the_way == [user, user, RequestClass.LIVE, RequestClass.LIVE]
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


def test_a_ban_is_one_whatever_becomes_of_its_body() -> None:
    venue, clock = CATALOGUE["gate"], FakeClock()
    budget = Budget(venue.limits, clock)
    client = VenueClient(venue, Access(), budget, clock)
    client.rest_trace.on_answer(200, {"Retry-After": "9"})
    assert budget.banned_s == 0
    client.rest_trace.on_answer(429, {"Retry-After": "7"})
    assert budget.banned_s == pytest.approx(7)
