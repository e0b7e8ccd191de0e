"""Candles, liquidations, open interest, funding and older trades, as unmodified ccxt asks for them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from simulator.happening import Rates
from simulator.market import Market
from simulator.server import Server, Settings
from tests.integration.test_simulator_ccxt import (
    BTC,
    ETH,
    WITHOUT_FORM,
    connected,
    drive,
    eventually,
    market,
    sent,
)
from tests.venues import TRADE_ID_FIELDS, VENUES, listed, timeframes

SPANS = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240}
UTC_DAYS = {"binance", "bybit", "htx", "gate", "coinbaseinternational"}
WITH_FORM = [venue for venue in VENUES if venue not in WITHOUT_FORM]
#: krakenfutures streams no candles; ccxt leaves out its open interest, and most of its day.
MOST = [venue for venue in VENUES if venue != "krakenfutures"]
MINUTE_MS = 60_000
PAGED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "binance": lambda first: {"fromId": int(first["id"]) - 100},
    "bitget": lambda first: {"idLessThan": first["id"]},
    "gate": lambda first: {"last_id": first["id"]},
    "okx": lambda first: {"method": "publicGetMarketHistoryTrades", "after": first["id"]},
}


@pytest.fixture
async def venues() -> AsyncIterator[Server]:
    rates = Rates(ticker=20, book=10, trade=60, liquidation=300, funding_minutes=1)
    async with Server(Settings(port=0, symbols=3, rates=rates)) as server:
        yield server


def volume(model: Market, exchange: Any, units: int) -> float:
    """As ccxt counts it: gate in contracts, the others in base currency."""
    return float(units) if exchange.id == "gate" else model.base(units)


@pytest.mark.parametrize("venue", MOST)
async def test_candles_of_every_width_are_the_models(venues: Server, venue: str) -> None:
    async with connected(venue, venues) as exchange:
        model = market(venues, venue)
        symbol = listed(venue, BTC)
        spans = SPANS | ({"1d": 1440} if venue in UTC_DAYS else {})
        for frame in spans.keys() & timeframes(venue):
            span, streamed = spans[frame], (await exchange.watch_ohlcv(symbol, frame))[-1]
            assert (
                streamed[0] == model.candles.current(span, model.now_ms // 60_000).minute * 60_000
            )
        venues.paused = True
        fetched = await exchange.fetch_ohlcv(symbol, "5m", limit=40)
        expected = model.candles.spans(5, 0, model.candles.last.minute, 40)
        assert [row[0] for row in fetched] == [one.minute * MINUTE_MS for one in expected]
        assert [row[4] for row in fetched] == [model.price(one.close) for one in expected]
        assert [row[5] for row in fetched] == pytest.approx(
            [volume(model, exchange, one.volume) for one in expected]
        )


@pytest.mark.parametrize("venue", VENUES)
async def test_candles_are_paged_by_time(venues: Server, venue: str) -> None:
    async with connected(venue, venues) as exchange:
        btc = listed(venue, BTC)
        model = market(venues, venue, btc)
        since = (model.candles.first_minute + 1500) * MINUTE_MS
        found: list[Any] = []
        limit = None if venue == "htx" else 100  # htx ignores the start where a limit is given
        for page in range(3):
            found += await exchange.fetch_ohlcv(btc, "1m", since + page * 100 * MINUTE_MS, limit)
        times = sorted({row[0] for row in found})[:300]
        assert times == [since + index * MINUTE_MS for index in range(300)]


@pytest.mark.parametrize("venue", WITH_FORM)
async def test_funding_is_settled_once_and_stays(venues: Server, venue: str) -> None:
    async with connected(venue, venues) as exchange:
        btc = listed(venue, BTC)
        model = market(venues, venue, btc)
        rows = await exchange.fetch_funding_rate_history(btc, limit=20)
        expected = model.settlements(0, model.now_ms)[-20:]
        places = 6 if venue == "gate" else 8
        assert [row["timestamp"] for row in rows] == [one.next_ms for one in expected]
        assert [row["fundingRate"] for row in rows] == [round(one.rate, places) for one in expected]
        since = rows[5]["timestamp"]
        later = await exchange.fetch_funding_rate_history(btc, since, 100)
        assert later[0] == rows[5]
        if venue == "krakenfutures":  # REST does not say when the next one is
            return
        rate = await exchange.fetch_funding_rate(btc)
        assert rate["fundingTimestamp"] % MINUTE_MS == 0
        assert rows[-1]["timestamp"] < rate["fundingTimestamp"]


async def test_an_hourly_rate_is_that_of_the_hour_and_of_eight() -> None:
    """As coinbaseinternational says it; ccxt makes settlements of the eight hours."""
    venue, symbol = "coinbaseinternational", listed("coinbaseinternational", BTC)
    async with (
        Server(Settings(port=0, symbols=1, rates=Rates())) as server,
        connected(venue, server) as exchange,
    ):
        model = market(server, venue)
        since = model.now_ms - 10 * 60 * MINUTE_MS
        rows = await exchange.fetch_funding_rate_history(symbol, since)
        expected = model.settlements(since, model.now_ms)
        assert [row["timestamp"] for row in rows] == [one.next_ms for one in expected]
        assert [row["info"]["interest_1h"] for row in rows] == [one.rate for one in expected]
        last_eight = sum(one.rate for one in expected[-8:])
        assert rows[-1]["fundingRate"] == pytest.approx(last_eight, abs=1e-8)


@pytest.mark.parametrize("venue", [venue for venue in MOST if venue in WITH_FORM])
async def test_open_interest_is_the_models(venues: Server, venue: str) -> None:
    async with connected(venue, venues) as exchange:
        model = market(venues, venue)
        if venue == "gate":
            found = (await exchange.fetch_open_interest_history(BTC, "5m", limit=1))[-1]
        else:
            newest = {"interval": "5m"} if venue == "bybit" else {}  # else of the last full hour
            found = await exchange.fetch_open_interest(BTC, newest)
        contracts = venue in ("htx", "gate")
        lots = model.instrument.lot if contracts or venue == "okx" else model.instrument.unit
        expected = model.open_interest * float(lots)
        assert found["openInterestAmount"] == pytest.approx(expected, rel=0.02)
        if venue == "okx":
            every = await exchange.fetch_open_interests()
            assert set(every) == {one.instrument.symbol for one in venues.venues[venue].markets}


@pytest.mark.parametrize("venue", list(PAGED))
async def test_older_trades_join_without_a_gap(venues: Server, venue: str) -> None:
    async with connected(venue, venues) as exchange:
        newest = await exchange.fetch_trades(BTC, limit=100)
        older = await exchange.fetch_trades(BTC, limit=100, params=PAGED[venue](newest[0]))
        assert len(newest) == len(older) == 100
        kept = ids_of(venue, market(venues, venue))
        got = [int(trade["id"]) for trade in older + newest]
        start = kept.index(got[0])
        assert got == kept[start : start + 200]


def ids_of(venue: str, model: Market) -> list[int]:
    if venue == "okx":
        return [one.first_fill + n for one in model.trades for n in range(len(one.fills))]
    if venue == "bitget":
        return [1_300_000_000_000_000_000 + one.id * 1009 for one in model.trades]
    return [one.id for one in model.trades]


@pytest.mark.parametrize("venue", ["binance", "bybit", "okx"])
async def test_liquidations_are_those_that_were_sent(venues: Server, venue: str) -> None:
    watch = "watch_liquidations" if venue == "bybit" else "watch_liquidations_for_symbols"
    asked = BTC if venue == "bybit" else [BTC]
    async with connected(venue, venues) as exchange:
        found: list[Any] = []
        task = asyncio.create_task(drive(lambda: getattr(exchange, watch)(asked), found))
        await eventually(lambda: len(found) > 2)
        task.cancel()
        model = market(venues, venue)
        trades = {trade.id: trade for trade in model.trades}
        told = [n for line in sent(venues, venue) for n in line["ids"].get("liquidation", [])]
        by_time = {trades[id_].t_ms: trades[id_] for id_ in told}
        for one in found:  # ccxt may have skipped some
            trade = by_time[one["timestamp"]]
            assert one["price"] == model.price(trade.price)
            size = one["contracts"] * exchange.market(BTC)["contractSize"]
            assert size == pytest.approx(model.base(trade.size))
            order = "buy" if trade.taker_buys else "sell"
            assert (one["side"] == order) is (venue != "bybit")  # bybit: the position's side


async def test_a_liquidation_is_a_trade_too(venues: Server) -> None:
    async with connected("okx", venues) as exchange:
        trades: list[Any] = []
        tasks = [
            asyncio.create_task(drive(lambda: exchange.watch_trades(BTC), trades)),
            asyncio.create_task(exchange.watch_liquidations_for_symbols([BTC])),
        ]
        liquidation = (await tasks[1])[0]
        await eventually(
            lambda: any(
                (one["timestamp"], one["amount"], one["side"])
                == (liquidation["timestamp"], liquidation["contracts"], liquidation["side"])
                for one in trades
            )
        )
        tasks[0].cancel()


@pytest.mark.parametrize("venue", MOST)
async def test_tickers_show_the_rolling_day(venues: Server, venue: str) -> None:
    async with connected(venue, venues) as exchange:
        symbol = listed(venue, ETH)
        asked = [symbol] if venue in WITHOUT_FORM else None
        rows = [(await exchange.fetch_tickers(asked))[symbol], await exchange.watch_ticker(symbol)]
        day, model = market(venues, venue, ETH).day, market(venues, venue, ETH)
        base = day.volume * float(model.instrument.lot if venue == "okx" else model.instrument.unit)
        for row in rows:
            if venue in WITHOUT_FORM:  # ccxt leaves both out
                told = row["info"]["stats"]["price_change"]
                row |= {"open": row["last"] / (1 + told / 100), "percentage": told}
            change = 100 * (row["last"] - row["open"]) / row["open"]
            assert row["open"] == pytest.approx(model.price(day.open), rel=1e-3)
            assert row["low"] <= row["last"] <= row["high"]
            assert row["percentage"] == pytest.approx(change, abs=0.01)
            assert row["baseVolume"] == pytest.approx(base, rel=0.01)
            if venue != "okx":  # ccxt leaves it out for swaps
                assert row["quoteVolume"] == pytest.approx(model.quote(day.turnover), rel=0.01)


def test_every_venue_names_its_trade_ids() -> None:
    assert set(TRADE_ID_FIELDS) == set(VENUES)
