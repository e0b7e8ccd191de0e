"""Faults of markets, clocks and REST, as real ccxt sees them, and the command that starts them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import time
from typing import Any

import aiohttp
import ccxt
import orjson
import pytest

from cli.endpoints import Endpoints
from cli.processes import started_at
from simulator.happening import Rates
from simulator.server import Server, Settings
from tests.integration.test_simulator_ccxt import BTC, client, connected
from tests.venues import VENUES, listed
from tests.wires import Wire


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    rates = Rates(ticker=20, book=20, trade=50)
    async with Server(Settings(port=0, symbols=3, rates=rates)) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(params=VENUES)
def wire(request: pytest.FixtureRequest, server: Server, http: aiohttp.ClientSession) -> Wire:
    return Wire(server, request.param, http)


@pytest.fixture
def binance(server: Server, http: aiohttp.ClientSession) -> Wire:
    return Wire(server, "binance", http)


# --- markets


async def test_a_burst_is_in_stream_and_rest(binance: Wire) -> None:
    async with binance.socket("trades"):
        await binance.fault("burst", symbol=BTC, rate=400, seconds=1)
        await binance.until(lambda: binance.applied("burst"))
        made = binance.applied("burst")[0]["trades"]
        assert 300 < made < 500
        assert len(binance.lines("sent")) >= made


async def test_delisted_and_newly_listed(wire: Wire) -> None:
    exchange = client(wire.venue, wire.server.port)
    new = listed(wire.venue, "NEWCOIN/USDT:USDT")
    try:
        before = await exchange.load_markets()
        assert before[wire.btc]["active"]
        async with wire.socket("trades"):
            id_ = await wire.fault("delist", symbol=wire.btc)
            sent = len(wire.lines("sent"))
            with pytest.raises(ccxt.BaseError):
                await exchange.fetch_order_book(wire.btc, 20)
            markets = await exchange.load_markets(True)
            assert wire.btc not in markets or not markets[wire.btc]["active"]
            await asyncio.sleep(0.1)
            assert len(wire.lines("sent")) == sent
            await wire.heal(id_)
            await wire.until(lambda: len(wire.lines("sent")) > sent + 2)
        await wire.fault("list", symbol=new, price=2.5)
        markets = await exchange.load_markets(True)
        assert {wire.btc, new} <= set(markets)
        book = await exchange.fetch_order_book(new, 20)
        assert book["bids"][0][0] == pytest.approx(2.5, rel=0.01)
    finally:
        await exchange.close()


async def said_ms(exchange: Any) -> float:
    """What time it is for the venue."""
    if exchange.has["fetchTime"]:
        return float(await exchange.fetch_time())
    return float(exchange.parse8601((await exchange.publicGetTickers())["serverTime"]))


async def stamped_ms(exchange: Any, wire: Wire) -> int:
    """A stamp of what happened a moment ago."""
    if not exchange.has["fetchTrades"]:
        return int((await exchange.fetch_ticker(wire.btc))["timestamp"])
    # krakenfutures has no limit, and ccxt sorts by time: those since then come first.
    limit = None if wire.venue == "krakenfutures" else 1
    return int((await exchange.fetch_trades(wire.btc, limit=limit))[0]["timestamp"])


async def test_a_skewed_clock_is_everywhere(wire: Wire) -> None:
    async with wire.socket("trades"), connected(wire.venue, wire.server) as exchange:
        id_ = await wire.fault("clock_skew", ms=-45_000)
        if wire.venue == "gate":
            exchange.urls["api"]["public"]["spot"] = f"{wire.root}/gate/api/v4"
        assert await said_ms(exchange) == pytest.approx(time() * 1000 - 45_000, abs=2000)
        await asyncio.sleep(0.1)
        assert await stamped_ms(exchange, wire) == pytest.approx(time() * 1000 - 45_000, abs=2000)
        await wire.heal(id_)
        assert await said_ms(exchange) == pytest.approx(time() * 1000, abs=2000)


# --- REST, as real ccxt sees it


MAINTENANCE: dict[str, type[ccxt.BaseError]] = {
    "binance": ccxt.OnMaintenance,
    "bybit": ccxt.ExchangeNotAvailable,
    "bitget": ccxt.OnMaintenance,
    "htx": ccxt.OnMaintenance,
    "gate": ccxt.ExchangeNotAvailable,
    "okx": ccxt.OnMaintenance,
    "krakenfutures": ccxt.ExchangeNotAvailable,
    "coinbaseinternational": ccxt.ExchangeError,  # ccxt has no entry for the code
}
LIMITED: dict[str, type[ccxt.BaseError]] = {
    "binance": ccxt.DDoSProtection,
    "bitget": ccxt.DDoSProtection,
    "krakenfutures": ccxt.DDoSProtection,
    "htx": ccxt.ExchangeError,  # ccxt has no entry for the venue's code 1032
    "coinbaseinternational": ccxt.ExchangeError,  # nor for 10028
}
BANNED: dict[str, type[ccxt.BaseError]] = {
    "binance": ccxt.DDoSProtection,
    "bybit": ccxt.RateLimitExceeded,
}


async def test_rest_errors_as_ccxt_maps_them(wire: Wire) -> None:
    cases: tuple[tuple[str, type[ccxt.BaseError]], ...] = (
        ("rate_limited", LIMITED.get(wire.venue, ccxt.RateLimitExceeded)),
        ("banned", BANNED.get(wire.venue, ccxt.ExchangeNotAvailable)),
        ("server_errors", ccxt.ExchangeNotAvailable),
        ("maintenance", MAINTENANCE[wire.venue]),
    )
    async with connected(wire.venue, wire.server) as exchange:
        for fault, expected in cases:
            id_ = await wire.fault(fault)
            with pytest.raises(expected) as error:
                await exchange.fetch_order_book(wire.btc, 20)
            assert type(error.value) is expected
            await wire.heal(id_)
            assert len(wire.applied(fault)) == 1
        assert (await exchange.fetch_order_book(wire.btc, 20))["bids"]


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_and_path(binance: Wire, form: str) -> None:
    await binance.fault("rate_limited", path="/depth", retry_after=7, form=form)
    base = f"{binance.root}/binance/fapi/v1"
    async with binance.http.get(f"{base}/depth?symbol=BTCUSDT") as answer:
        assert answer.status == 429
        said = answer.headers["Retry-After"]
        assert said.endswith("GMT") if form == "date" else said == "7"
    async with binance.http.get(f"{base}/ping") as answer:
        assert answer.status == 200
    assert [line["path"] for line in binance.applied("rate_limited")] == ["/fapi/v1/depth"]


async def test_a_ban_is_418_and_says_its_end(binance: Wire) -> None:
    await binance.fault("banned", seconds=30)
    async with binance.http.get(f"{binance.root}/binance/fapi/v1/ping") as answer:
        assert answer.status == 418
        assert answer.headers["Retry-After"] == "30"
        until = int((await answer.json())["msg"].split("until ")[1].split(".")[0])
    assert until == pytest.approx((time() + 30) * 1000, abs=2000)


async def test_slow_and_invalid_bodies(binance: Wire) -> None:
    url = f"{binance.root}/binance/fapi/v1/exchangeInfo"
    slow = await binance.fault("slow_body", over=0.6)
    began = time()
    async with binance.http.get(url) as answer:
        assert time() - began < 0.3
        assert (await answer.json())["symbols"]
        assert 0.5 < time() - began < 2
    await binance.heal(slow)
    for form in ("html", "truncated"):
        id_ = await binance.fault("invalid_body", form=form)
        async with binance.http.get(url) as answer:
            assert answer.status == 200
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(await answer.read())
        await binance.heal(id_)


# --- the command line


async def fleet(home: Path, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from cli.main import main; main()", "sim", *arguments),
        env=os.environ | {"FLEET_HOME": str(home), "FLEET_CONFIG": str(home / "config.json")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def _endpoints(simulator_url: str) -> Endpoints:
    pid = os.getpid()
    started = started_at(pid) or 0.0
    return Endpoints("demo", pid, started, "amqp://", "", "", simulator_url=simulator_url)


async def test_fleet_sim_starts_heals_and_shows(server: Server, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.port}"
    told = _endpoints(url)
    told.write(tmp_path / "endpoints.json")
    code, out, _ = await fleet(tmp_path, "faults", "--json")
    assert code == 0
    assert orjson.loads(out)["refuse"]["parameters"]["mode"] == {
        "default": "status",
        "required": False,
    }
    start = ("start", "silent", "--exchange", "gate", "--symbol", BTC, "--seconds", "60")
    code, out, _ = await fleet(tmp_path, *start, "--set", "until=reconnect", "--set", "count=5")
    assert (code, out.split()[0]) == (0, "gate-1")
    active = server.venues["gate"].faults.active["gate-1"]
    wish = active.wish.model_dump(exclude_none=True)
    assert wish == {"seconds": 60, "symbol": BTC, "until": "reconnect", "count": 5, "seed": 7}
    code, out, _ = await fleet(tmp_path, "status")
    assert code == 0
    assert out.splitlines()[1].split()[:3] == ["gate-1", "silent", "active"]
    assert (await fleet(tmp_path, "heal"))[:2] == (0, "gate-1 healed\n")
    assert not server.venues["gate"].faults.active
    assert (await fleet(tmp_path, "heal"))[:2] == (0, "no fault is active\n")


async def test_fleet_sim_refuses_in_one_line(server: Server, tmp_path: Path) -> None:
    code, _, err = await fleet(tmp_path, "status")
    assert (code, err.count("\n")) == (4, 1)
    url = f"http://127.0.0.1:{server.port}"
    told = _endpoints(url)
    told.write(tmp_path / "endpoints.json")
    for wrong in (("heal", "gate-9"), ("start", "flood", "--exchange", "gate")):
        code, _, err = await fleet(tmp_path, *wrong)
        assert (code, err.count("\n")) == (2, 1)
    start = ("start", "cut", "--exchange", "gate", "--set", "nonsense")
    assert (await fleet(tmp_path, *start))[0] == 2
