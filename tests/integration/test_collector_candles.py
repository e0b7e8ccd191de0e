"""Candles of every venue against the simulator's own, over one turn of the minute."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from shared.kinds import CANDLE
from shared.messages import Ohlcv
from simulator.universe import quote_of
from tests.collecting import Fleet, collecting
from tests.venues import VENUES, Simulator, listed, simulated_venues, timeframes
from tests.waiting import eventually
from workers.collector.catalogue import CATALOGUE

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
KEY = "ohlcv.{}.BTC{}.{}"
STREAMED = tuple(venue for venue in VENUES if CATALOGUE[venue].candles.streamed)
#: A minute, the spread of the checks after it, and room.
TURN_S = 90


async def test_closed_candles_are_the_venues_own_and_corrections_follow(
    broker_url: str, tmp_path: Path
) -> None:
    """Every closed minute is corrected by the venue after its close."""
    async with (
        simulated_venues(tmp_path, "--candle-corrections", "1") as simulator,
        AsyncExitStack() as stack,
    ):
        fleets = {
            venue: await stack.enter_async_context(
                collecting(
                    venue, _config(simulator, venue), broker_url, _directory(tmp_path, venue)
                )
            )
            for venue in STREAMED
        }
        await asyncio.gather(*(_subscribed(simulator, venue) for venue in STREAMED))
        await asyncio.gather(*(_corrected(venue, fleet) for venue, fleet in fleets.items()))
        for venue, fleet in fleets.items():
            await _check_bodies(venue, fleet, simulator)
        await asyncio.gather(*(_left(simulator, venue, fleet) for venue, fleet in fleets.items()))
        for venue, fleet in fleets.items():
            assert fleet.collector.quarantine.total == 0, venue
            assert fleet.collector.candles.counts["failures"] == 0, venue


@pytest.mark.deadline(420)
@pytest.mark.parametrize("venue", [venue for venue in VENUES if venue not in STREAMED])
async def test_closed_candles_come_by_rest_where_none_are_streamed(
    venue: str, broker_url: str, tmp_path: Path
) -> None:
    btc = listed(venue, BTC)
    async with (
        simulated_venues(tmp_path, "--candle-corrections", "1") as simulator,
        collecting(venue, _config(simulator, venue), broker_url, tmp_path) as fleet,
    ):
        of_eth = KEY.replace("BTC", "ETH").format(venue, quote_of(venue), "1m")
        # The first minute is asked for once it has passed without a word, and then ends.
        await eventually(lambda: _candles(fleet, venue), 2 * TURN_S, f"{venue}: a candle")
        await eventually(lambda: fleet.consumer.count(of_eth), TURN_S, f"{venue}: one of ETH")
        await fleet.announce(venue, [btc])
        await eventually(lambda: list(fleet.collector.intake.parts) == [btc], 10, venue)
        count, left = len(_candles(fleet, venue)), fleet.consumer.count(of_eth)
        await eventually(lambda: len(_candles(fleet, venue)) > count, TURN_S, f"{venue}: the next")
        assert fleet.consumer.count(of_eth) == left, venue
        for body in _candles(fleet, venue):
            told = Ohlcv.model_validate(body)
            assert (told.closed, told.source, told.timestamp) == (True, "backfill", None)
        await eventually(lambda: _as_rest_says(venue, fleet), 2 * TURN_S, f"{venue}: corrected", 5)
        assert fleet.collector.candles.counts["failures"] == 0, venue


async def _as_rest_says(venue: str, fleet: Fleet) -> bool:
    """The last revision of each candle."""
    latest = {body["start"]: body for body in _candles(fleet, venue)}
    _, rows = await fleet.collector.client.fetch_candles(
        listed(venue, BTC), "1m", min(latest), len(latest)
    )
    fields = ("start", "open", "high", "low", "close", "volume", "quote_volume")
    said = [tuple(getattr(row, field) for field in fields) for row in rows if row.start in latest]
    return said == [tuple(latest[start][field] for field in fields) for start in sorted(latest)]


def _config(simulator: Simulator, venue: str) -> dict[str, Any]:
    btc, eth = (listed(venue, one) for one in (BTC, ETH))
    collection = {"interval_seconds": 5, "timeframes": timeframes(venue)}
    return simulator.config((venue,), symbols=[btc, eth], collection=collection)


def _directory(tmp_path: Path, venue: str) -> Path:
    directory = tmp_path / venue
    directory.mkdir()
    return directory


def _candles(fleet: Fleet, venue: str, timeframe: str = "1m") -> list[dict[str, Any]]:
    """Of the venue itself: all collectors share one broker."""
    return fleet.consumer.bodies(KEY.format(venue, quote_of(venue), timeframe))


async def _subscribed(simulator: Simulator, venue: str) -> None:
    btc = listed(venue, BTC)

    async def all_timeframes() -> bool:
        return await _streams(simulator, venue, btc) == len(timeframes(venue))

    await eventually(all_timeframes, 30, f"{venue}: a stream for each timeframe")


async def _streams(simulator: Simulator, venue: str, symbol: str) -> int:
    channels = (await simulator.subscriptions(venue)).get(symbol, [])
    return sum(any(word in one for word in ("andle", "kline", "chart")) for one in channels)


async def _corrected(venue: str, fleet: Fleet) -> None:
    def corrected() -> bool:
        return any(body["rev"] == 1 for body in _candles(fleet, venue))

    await eventually(corrected, TURN_S, f"{venue}: a correction")


async def _check_bodies(venue: str, fleet: Fleet, simulator: Simulator) -> None:
    """Revision 0 is all that was traded, the last one what the venue's REST says."""
    btc = listed(venue, BTC)
    bodies = _candles(fleet, venue)
    for timeframe in timeframes(venue):
        of_one = _candles(fleet, venue, timeframe)
        for body in of_one:
            Ohlcv.model_validate(body)
            assert (body["timeframe"], body["symbol"]) == (timeframe, btc)
        assert not all(body["closed"] for body in of_one), (venue, timeframe)
    closed = [body for body in bodies if body["closed"]]
    start = next(body["start"] for body in closed if body["rev"] == 1)
    first, second = (body for body in closed if body["start"] == start)
    assert (first["rev"], first["source"]) == (0, "stream")
    assert (second["rev"], second["source"]) == (1, "backfill")
    assert first["volume"] < second["volume"]
    client = fleet.collector.client
    trades = await simulator.trades(venue, client.markets[btc].id)
    traded = sum(float(trade["size"]) for trade in trades if start <= trade["t"] < first["end"])
    assert abs(traded - first["volume"]) < 1e-6, venue
    _, rows = await client.fetch_candles(btc, "1m", start, 10)
    row = next(row for row in rows if row.start == start)
    size = client.markets[btc].contract_size if fleet.collector.row.candles.contracts else 1
    assert (row.open, row.high, row.low, row.close) == tuple(
        second[price] for price in ("open", "high", "low", "close")
    )
    assert abs(row.volume * size - second["volume"]) < 1e-9 * second["volume"]
    assert row.quote_volume == second["quote_volume"]
    price = second["close"]
    if second["quote_volume"] is not None:
        assert 0.98 * price < second["quote_volume"] / second["volume"] < 1.02 * price
    ids = [m.message_id for m in fleet.consumer.messages if m.type == CANDLE.name]
    assert f"{venue}:{btc}:ohlcv:1m:{start}:1" in ids


async def _left(simulator: Simulator, venue: str, fleet: Fleet) -> None:
    """The venue itself was told to stop what nobody wants."""
    btc, eth = (listed(venue, one) for one in (BTC, ETH))
    await fleet.announce(venue, [btc])

    async def stopped() -> bool:
        return not await _streams(simulator, venue, eth)

    await eventually(stopped, 10, f"{venue}: ETH is left")
    assert await _streams(simulator, venue, btc) == len(timeframes(venue))
