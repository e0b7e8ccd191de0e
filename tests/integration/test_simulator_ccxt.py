"""Unmodified ccxt against the simulated venues."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import ccxt.pro
import orjson
import pytest

from simulator.happening import Rates
from simulator.market import Market
from simulator.server import Server, Settings
from tests.venues import TRADE_ID_FIELDS, VENUES, listed

BTC, ETH, DOGE = "BTC/USDT:USDT", "ETH/USDT:USDT", "DOGE/USDT:USDT"
OPTIONS: dict[str, dict[str, Any]] = {
    "binance": {
        "watchTicker": {"name": "ticker"},
        # watch_trades reads the first, un_watch_trades the second.
        "watchTrades": {"name": "aggTrade"},
        "watchTradesForSymbols": {"name": "aggTrade"},
        "streamLimits": {"linear": 4},
    },
    "bybit": {"fetchMarkets": {"types": ["linear"]}, "defaultSubType": "linear"},
    "bitget": {"defaultType": "swap", "uta": False, "fetchMarkets": {"types": ["swap"]}},
    "htx": {
        "defaultType": "swap",
        "defaultSubType": "linear",
        "fetchMarkets": {"types": {"spot": False, "linear": True, "inverse": False}},
    },
    "gate": {
        "defaultType": "swap",
        "fetchMarkets": {"types": ["swap"]},
        "swap": {"fetchMarkets": {"settlementCurrencies": ["usdt"]}},
    },
    "okx": {"defaultType": "swap", "fetchMarkets": {"types": ["swap"]}},
    "krakenfutures": {"fetchTrades": {"method": "publicGetHistory"}},
    "coinbaseinternational": {},
}
CCXT_IDS = TRADE_ID_FIELDS | {"coinbaseinternational": "trade_id"}
IN_BASE = ("coinbaseinternational",)
"""Venues that write sizes in base currency though a contract is another amount of it."""
WITHOUT_FORM = ("coinbaseinternational",)
"""Where ccxt has no form for what the venue says of trades and funding rates."""


def client(venue: str, port: int) -> Any:
    """A ccxt.pro instance of `venue` with every URL it needs pointed at the simulator."""
    name = "binanceusdm" if venue == "binance" else venue
    made = getattr(ccxt.pro, name)(
        {"has": {"fetchCurrencies": False}, "options": OPTIONS[venue], "enableRateLimit": False}
    )
    rest, ws, urls = f"http://127.0.0.1:{port}/{venue}", f"ws://127.0.0.1:{port}/{venue}", made.urls
    api = urls["api"]
    match venue:
        case "binance":
            for key, version in (("", 1), ("V2", 2), ("V3", 3)):
                api[f"fapiPublic{key}"] = f"{rest}/fapi/v{version}"
            api["ws"]["linear"] = f"{ws}/ws"
        case "bybit":
            api["public"] = rest
            api["ws"]["public"]["linear"] = f"{ws}/v5/public/linear"
        case "bitget":
            api |= dict.fromkeys(("mix", "spot", "common", "uta", "margin"), rest)
            api["ws"]["public"] = f"{ws}/v2/ws/public"
        case "htx":
            api["contract"] = rest
            api["ws"]["api"]["swap"]["linear"]["public"] = f"{ws}/linear-swap-ws"
        case "gate":
            api["public"]["futures"] = f"{rest}/api/v4"
            api["swap"]["usdt"] = f"{ws}/v4/ws/usdt"
        case "okx":
            api["rest"] = rest
            api["ws"] = f"{ws}/ws/v5"
        case "krakenfutures":
            api |= {"public": f"{rest}/derivatives/api/", "charts": f"{rest}/api/charts/"}
            api["ws"] = f"{ws}/ws/v1"
        case "coinbaseinternational":
            api |= {"rest": f"{rest}/api/v2", "ws": f"{ws}/ws/api/v2", "wsPrivate": ws}
    return made


@asynccontextmanager
async def connected(venue: str, server: Server) -> AsyncIterator[Any]:
    made = client(venue, server.port)
    try:
        await made.load_markets()
        yield made
    finally:
        await made.close()


async def eventually(holds: Callable[[], bool], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0.02)


async def drive(watch: Callable[[], Any], found: list[Any]) -> None:
    while True:
        found.extend(await watch())


def market(server: Server, venue: str, symbol: str = BTC) -> Market:
    wanted = listed(venue, symbol)
    return next(m for m in server.venues[venue].markets if m.instrument.symbol == wanted)


def sent(server: Server, venue: str, symbol: str = BTC) -> list[dict[str, Any]]:
    lines = [orjson.loads(line) for line in server.truth.after(0, venue)[1]]
    wanted = listed(venue, symbol)
    return [line for line in lines if line["event"] == "sent" and line["symbol"] == wanted]


@pytest.fixture
async def lively() -> AsyncIterator[Server]:
    rates = Rates(ticker=20, book=10, trade=100)
    async with Server(Settings(port=0, symbols=5, rates=rates)) as server:
        yield server


@pytest.mark.parametrize("venue", VENUES)
async def test_rest(lively: Server, venue: str) -> None:
    btc = listed(venue, BTC)
    async with connected(venue, lively) as exchange:
        assert len(exchange.markets) == (4 if venue == "htx" else 5)
        tickers = await exchange.fetch_tickers([btc] if venue in WITHOUT_FORM else None)
        book = await exchange.fetch_order_book(btc, 50)
        candles = await exchange.fetch_ohlcv(btc, "1m", limit=30)
        assert tickers[btc]["last"] == pytest.approx(64_000, rel=0.02)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert len(candles) == 30


@pytest.mark.parametrize("venue", [venue for venue in VENUES if venue not in WITHOUT_FORM])
async def test_rest_of_trades_and_funding(lively: Server, venue: str) -> None:
    btc = listed(venue, BTC)
    async with connected(venue, lively) as exchange:
        funding = await exchange.fetch_funding_rate(btc)
        trades = await exchange.fetch_trades(btc, limit=20)
        if venue == "krakenfutures":  # its REST does not say when
            assert (funding["interval"], funding["fundingRate"] < 0.01) == ("1h", True)
        else:
            assert funding["fundingTimestamp"] > 0
        assert len(trades) == 20
        assert [t["id"] for t in trades] == sorted(t["id"] for t in trades)


@pytest.mark.parametrize("venue", VENUES)
async def test_book_equals_the_simulators(venue: str) -> None:
    """Only book events, so that the model holds nothing which was not pushed yet."""
    quiet = Rates(ticker=0, book=10, trade=0, liquidation=0)
    depths = {"binance": 900, "bybit": 50, "bitget": 200, "htx": 150, "gate": 100, "okx": 400}
    depth = (depths | {"krakenfutures": 1400}).get(venue, 500)
    btc, eth = listed(venue, BTC), listed(venue, ETH)
    async with (
        Server(Settings(port=0, symbols=2, rates=quiet)) as server,
        connected(venue, server) as exchange,
    ):
        for symbol in (btc, eth):
            await exchange.watch_order_book(symbol)
        for _ in range(10):
            await exchange.watch_order_book(btc)
        server.paused = True
        for symbol in (btc, eth):
            model = market(server, venue, symbol)
            expected = levels(model, exchange.market(symbol)["contractSize"], depth)
            await eventually(lambda s=symbol, e=expected: seen(exchange, s, depth) == e)  # type: ignore[misc]


def levels(model: Market, contract: float, depth: int) -> list[tuple[float, Any]]:
    """ccxt counts sizes in contracts where the venue does, so a unit is one there."""
    instrument = model.instrument
    contracts = (contract != 1 and instrument.venue not in IN_BASE) or instrument.venue == "okx"
    unit = float(instrument.lot if contracts else instrument.unit)
    view = model.book.view(depth)
    return [(model.price(abs(key)), pytest.approx(size * unit)) for key, size in view.items()]


def seen(exchange: Any, symbol: str, depth: int) -> list[tuple[float, float]]:
    book = exchange.orderbooks[symbol]
    return [(row[0], row[1]) for side in ("bids", "asks") for row in book[side][:depth]]


@pytest.mark.parametrize("venue", VENUES)
async def test_every_trade_sent_is_received(lively: Server, venue: str) -> None:
    btc = listed(venue, BTC)
    async with connected(venue, lively) as exchange:
        found: list[Any] = []
        task = asyncio.create_task(drive(lambda: exchange.watch_trades(btc), found))
        await eventually(lambda: len(found) > 70)
        task.cancel()
        received = [trade["id"] for trade in found]
        channels = [line["ids"].get(CCXT_IDS[venue], []) for line in sent(lively, venue)]
        truth = {str(id_) for ids in channels for id_ in ids}
        assert {id_ for id_ in truth if received[0] <= id_ <= received[-1]} == set(received)


@pytest.mark.parametrize(
    "venue", ["bybit", "bitget", "gate", "okx", "krakenfutures", "coinbaseinternational"]
)
async def test_tickers_flow(lively: Server, venue: str) -> None:
    btc = listed(venue, BTC)
    async with connected(venue, lively) as exchange:
        first = await exchange.watch_ticker(btc)
        await eventually(lambda: len(sent(lively, venue)) > 3)
        assert first["last"] == pytest.approx(64_000, rel=0.02)


@pytest.mark.parametrize(
    ("venue", "kind", "arguments"),
    [
        ("binance", "order_book", (BTC,)),
        ("binance", "trades", (BTC,)),
        ("binance", "ticker", (BTC,)),
        ("bybit", "order_book", (BTC, 50)),
        ("bybit", "trades", (BTC,)),
        ("bitget", "order_book", (BTC,)),
        ("bitget", "trades", (BTC,)),
        ("bitget", "ticker", (BTC,)),
        ("htx", "order_book", (BTC,)),
        ("htx", "trades", (BTC,)),
        ("gate", "order_book", (BTC,)),
        ("gate", "trades", (BTC,)),
        ("okx", "order_book", (BTC,)),
        ("okx", "trades", (BTC,)),
        ("okx", "ticker", (BTC,)),
    ],
)
async def test_unwatch_stops_the_stream(
    lively: Server, venue: str, kind: str, arguments: tuple[Any, ...]
) -> None:
    async with connected(venue, lively) as exchange:
        await getattr(exchange, f"watch_{kind}")(*arguments)
        extra = {"limit": arguments[1]} if len(arguments) > 1 else {}
        await asyncio.wait_for(getattr(exchange, f"un_watch_{kind}")(BTC, extra), 3)
        assert lively.venues[venue].subscriptions() == {}
        count = len(sent(lively, venue))
        await asyncio.sleep(0.2)
        assert len(sent(lively, venue)) == count


async def test_a_symbol_in_chinese_is_served() -> None:
    """ccxt's bybit sends it unescaped in the URL."""
    async with Server(Settings(port=0)) as server:
        for venue in ("binance", "bybit"):
            async with connected(venue, server) as exchange:
                book = await exchange.fetch_order_book("币安人生/USDT:USDT", 5)
                assert book["bids"][0][0] < book["asks"][0][0]
