"""Tickers, open interest, funding and liquidations of each venue, against the simulated truth."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.messages import (
    Liquidation,
    OpenInterest,
    PredictedFunding,
    SettledFunding,
    Ticker,
)
from simulator.happening import Rates
from simulator.market import Market
from simulator.server import Server, Settings
from simulator.universe import quote_of
from tests.collecting import Consumer, collecting
from tests.venues import VENUES, Simulator, listed
from tests.waiting import eventually

BTC = "BTC/USDT:USDT"
MINUTE_MS = 60_000
WITHOUT_LIQUIDATIONS = {"bitget", "htx", "krakenfutures", "coinbaseinternational"}
#: What the venue does not say, or only as ccxt would make it up.
UNKNOWN = {
    "htx": {"index_price"},
    "gate": {"open", "change"},
    "okx": {"quote_volume"},
    "coinbaseinternational": {"open", "change"},
}
#: Between two settlements; a venue that tells what was paid by the hour goes on saying so.
PERIOD_MS = 5 * MINUTE_MS
PERIODS_MS = {"coinbaseinternational": 60 * MINUTE_MS}


@pytest.fixture(scope="module")
async def venues() -> AsyncIterator[Server]:
    rates = Rates(liquidation=60, funding_minutes=PERIOD_MS // MINUTE_MS)
    async with Server(Settings(port=0, symbols=3, rates=rates)) as server:
        yield server


@pytest.mark.parametrize("venue", VENUES)
async def test_each_slow_kind_is_the_venues(
    venue: str, venues: Server, broker_url: str, tmp_path: Path
) -> None:
    btc = listed(venue, BTC)
    config = Simulator(venues.port, tmp_path).config((venue,), symbols=[btc])
    model = next(m for m in venues.venues[venue].markets if m.instrument.symbol == btc)
    settled = model.settlements(0, model.now_ms)[-3:]
    async with collecting(venue, config, broker_url, tmp_path) as fleet:
        fleet.collector.settlements.resume(btc, settled[0].next_ms)
        consumer = fleet.consumer

        def complete() -> bool:
            tickers = _of(consumer, venue, "ticker")
            unknown = {name for name, value in tickers[-1].items() if value is None}
            counts = [len(_of(consumer, venue, kind)) for kind in ("liquidation", "open_interest")]
            liquidated = venue in WITHOUT_LIQUIDATIONS or counts[0] >= 2
            fundings = {body["settled"] for body in _of(consumer, venue, "funding")}
            known = unknown <= UNKNOWN.get(venue, set())
            return known and liquidated and counts[1] > 0 and fundings == {True, False}

        await eventually(lambda: _of(consumer, venue, "ticker"), 20, "tickers")
        await eventually(complete, 25, "all slow kinds")
        _check_ticker(_of(consumer, venue, "ticker")[-1], model, venue)
        _check_interest(_of(consumer, venue, "open_interest")[-1], model)
    rates = [one.rate for one in settled[1:]]
    _check_settled(_of(consumer, venue, "funding"), rates)
    _check_predicted(_of(consumer, venue, "funding"), model, PERIODS_MS.get(venue, PERIOD_MS))
    _check_liquidations(consumer, venues, model, venue)
    assert fleet.collector.quarantine.total == 0


def _of(consumer: Consumer, venue: str, kind: str) -> list[Any]:
    return consumer.bodies(f"{kind}.{venue}.BTC{quote_of(venue)}")


def _check_ticker(body: Any, model: Market, venue: str) -> None:
    ticker = Ticker.model_validate(body)
    day = model.day
    assert {name for name, value in body.items() if value is None} == UNKNOWN.get(venue, set())
    assert (ticker.high, ticker.low) == (model.price(day.high), model.price(day.low))
    assert ticker.base_volume == pytest.approx(model.base(day.volume), rel=0.01)
    assert ticker.mark_price == pytest.approx(ticker.bid, rel=0.002)
    if ticker.open is not None and ticker.change is not None and ticker.percentage is not None:
        assert ticker.percentage == pytest.approx(100 * ticker.change / ticker.open, abs=0.001)
    assert ticker.stats_at is not None
    assert 0 <= ticker.received_at - ticker.stats_at < 10_000


def _check_interest(body: Any, model: Market) -> None:
    interest = OpenInterest.model_validate(body)
    assert interest.amount == pytest.approx(model.base(model.open_interest), rel=0.1)
    if interest.value is not None:
        assert interest.value == pytest.approx(interest.amount * model.mark, rel=0.01)


def _check_settled(bodies: list[Any], rates: list[float]) -> None:
    settled = [SettledFunding.model_validate(body) for body in bodies if body["settled"]]
    assert [one.rate for one in settled][:2] == pytest.approx(rates, abs=1e-6)
    times = [one.funding_time for one in settled]
    assert times == sorted(set(times))


def _check_predicted(bodies: list[Any], model: Market, period_ms: int) -> None:
    predicted = [PredictedFunding.model_validate(body) for body in bodies if not body["settled"]]
    last = predicted[-1]
    assert last.next_funding_time is not None
    assert 0 < last.next_funding_time - last.received_at <= period_ms
    assert last.rate == pytest.approx(model.funding.rate * period_ms / PERIOD_MS, abs=0.001)


def _check_liquidations(consumer: Consumer, venues: Server, model: Market, venue: str) -> None:
    """Each of them is a trade that the venue called a liquidation, and all of them arrived."""
    messages = consumer.messages
    found = [m for m in messages if m.routing_key == f"liquidation.{venue}.BTC{quote_of(venue)}"]
    bodies = [Liquidation.model_validate(orjson.loads(message.body)) for message in found]
    lines = [orjson.loads(line) for line in venues.truth.after(0, venue)[1]]
    sent = {
        number
        for line in lines
        if line["event"] == "sent" and line["symbol"] == model.instrument.symbol
        for number in line["ids"].get("liquidation", ())
    }
    forced = {trade.t_ms: trade for trade in model.trades if trade.id in sent}
    assert len(sent) - len(bodies) <= 2  # of the last moments
    assert (venue in WITHOUT_LIQUIDATIONS) == (not bodies)
    for body in bodies:
        assert body.timestamp is not None
        trade = forced[body.timestamp]
        side = "buy" if trade.taker_buys else "sell"
        assert body.side == side
        assert body.amount == pytest.approx(model.base(trade.size))
        assert body.price == pytest.approx(model.price(trade.price), rel=0.001)
    assert len({message.message_id for message in found}) == len(found)
