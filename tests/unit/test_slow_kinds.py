"""Open interest, predicted funding and liquidations into messages."""

from typing import Any

import pytest

from shared.config import Collection, MaxAge
from shared.config.live import Live
from shared.messages import Liquidation, OpenInterest, PredictedFunding
from tests.recording import BTC, Recording
from workers.collector.events import Liquidated, RestUpdate, Summary
from workers.collector.liquidations import Liquidations
from workers.collector.overview.funding import PredictedFundings
from workers.collector.overview.interest import OpenInterests
from workers.collector.overview.overview import Overviews
from workers.collector.venues.binance import Binance
from workers.collector.venues.bitget import Bitget
from workers.collector.venues.bybit import Bybit
from workers.collector.venues.gate import Gate
from workers.collector.venues.krakenfutures import KrakenFutures
from workers.collector.venues.okx import Okx


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
def overviews(recording: Recording) -> Overviews:
    listeners = (
        OpenInterests(recording.publishing).heard,
        PredictedFundings(recording.publishing, Live(Collection())).heard,
    )
    overviews = Overviews(recording.publishing, Live(Collection()), listeners)
    recording.intake.route(Summary, overviews.take)
    recording.intake.route(Liquidated, Liquidations(recording.publishing).take)
    return overviews


def say(recording: Recording, overviews: Overviews, **said: Any) -> None:
    overviews.apply(recording.parts, RestUpdate(BTC, **said), recording.clock.monotonic())


def test_open_interest_is_in_base_units(recording: Recording, overviews: Overviews) -> None:
    say(recording, overviews, open_interest=1500.0, open_interest_value=9.0, timestamp=5)
    (fact,) = recording.facts
    message = OpenInterest.model_validate_json(fact.body)
    assert (message.amount, message.value, message.timestamp) == (1.5, 9.0, 5)
    assert (fact.kind.label, fact.key) == ("open_interest", None)


def test_slow_values_go_out_on_change_or_each_half_minute(
    recording: Recording, overviews: Overviews
) -> None:
    for step in range(13):
        recording.clock.elapsed_s = step * 5
        say(recording, overviews, open_interest=2.0, funding_rate=0.1, mark_price=100.0 + step)
    assert [body["symbol"] for body in recording.bodies()] == [BTC] * 6  # at 0, 30 and 60 s
    say(recording, overviews, open_interest=3.0)
    say(recording, overviews, funding_rate=0.2)
    assert [body.get("amount", body.get("rate")) for body in recording.bodies()[6:]] == [0.003, 0.2]


def test_a_predicted_rate_says_all_that_is_known(
    recording: Recording, overviews: Overviews
) -> None:
    later = recording.clock.now_ms() + 1000
    say(recording, overviews, mark_price=100.1, index_price=100.2)
    said = {"funding_rate": 0.0001, "next_funding_time": later, "funding_interval_h": 4.0}
    recording.intake.on_events([Summary("BTC", said)], 7)
    (fact,) = recording.facts
    message = PredictedFunding.model_validate_json(fact.body)
    assert (message.rate, message.next_funding_time, message.interval_hours) == (0.0001, later, 4)
    assert (message.mark_price, message.index_price, message.settled) == (100.1, 100.2, False)
    assert (fact.kind.label, fact.key) == ("funding.predicted", None)


def test_what_has_passed_or_is_too_old_is_null(recording: Recording, overviews: Overviews) -> None:
    time = recording.clock.now_ms() + 1000
    say(recording, overviews, mark_price=100.1, next_funding_time=time)
    recording.clock.elapsed_s = MaxAge().mark_price_s + 1
    say(recording, overviews, funding_rate=0.1)
    (body,) = recording.bodies()
    assert (body["mark_price"], body["next_funding_time"]) == (None, None)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("open_interest", {"open_interest": -1.0}),
        ("funding.predicted", {"funding_rate": float("nan")}),
    ],
)
def test_what_does_not_validate_is_counted(
    recording: Recording, overviews: Overviews, kind: str, said: dict[str, float]
) -> None:
    say(recording, overviews, **said)
    assert recording.facts == []
    assert recording.ledger[kind].invalid == 1


def liquidated(**changes: Any) -> Liquidated:
    return Liquidated("BTC", None, 100.0, 20.0, "sell", 5)._replace(**changes)


def test_a_liquidation_goes_out_once(recording: Recording, overviews: Overviews) -> None:
    recording.intake.on_events([liquidated(), liquidated(price=101.0)], 7)
    recording.intake.on_events([liquidated()], 8)
    first, second = map(Liquidation.model_validate, recording.bodies())
    assert (first.amount, first.side, first.timestamp, first.received_at) == (0.02, "sell", 5, 7)
    assert first.id != second.id
    assert [fact.key for fact in recording.facts] == [first.id, second.id]
    assert recording.ledger["liquidation"].deduplicated == 1


@pytest.mark.parametrize(
    "other",
    [{"price": 100.1}, {"size": 21.0}, {"side": "buy"}, {"timestamp": 6}, {"id": "venue's"}],
)
def test_two_that_differ_in_anything_are_two(
    recording: Recording, overviews: Overviews, other: dict[str, Any]
) -> None:
    recording.intake.on_events([liquidated(), liquidated(**other)], 7)
    assert len(recording.facts) == 2


def test_an_invalid_liquidation_is_counted(recording: Recording, overviews: Overviews) -> None:
    recording.intake.on_events([liquidated(price=0.0), liquidated(side="long")], 7)
    assert recording.facts == []
    assert recording.ledger["liquidation"].invalid == 2


LONG_CLOSED = Liquidated("BTC", None, 64000.5, 3.5, "sell", 9)
FRAMES: dict[Any, dict[str, Any]] = {
    Binance: {
        "e": "forceOrder",
        "E": 10,
        "o": {"s": "BTC", "S": "SELL", "q": "4", "p": "63000", "ap": "64000.5", "z": "3.5", "T": 9},
    },
    Bybit: {
        "topic": "allLiquidation.BTC",
        "type": "snapshot",
        "ts": 10,
        "data": [{"T": 9, "s": "BTC", "S": "Buy", "v": "3.5", "p": "64000.5"}],
    },
    Gate: {
        "channel": "futures.public_liquidates",
        "event": "update",
        "result": [{"price": 64000.5, "size": -3.5, "time_ms": 9, "contract": "BTC"}],
    },
    Okx: {
        "arg": {"channel": "liquidation-orders", "instType": "SWAP"},
        "data": [
            {
                "details": [
                    {"bkPx": "64000.5", "posSide": "long", "side": "sell", "sz": "3.5", "ts": "9"}
                ],
                "instId": "BTC",
            }
        ],
    },
}


@pytest.mark.parametrize("venue", FRAMES)
def test_the_end_of_a_long_position_is_a_sell_on_each_venue(venue: Any) -> None:
    assert list(venue({}).peel(FRAMES[venue])) == [LONG_CLOSED]


TICKERS: dict[Any, dict[str, Any]] = {
    Bybit: {
        "topic": "tickers.BTC",
        "type": "snapshot",
        "ts": 20_000,
        "data": {
            "symbol": "BTC",
            "lastPrice": "63988.2",
            "indexPrice": "63984.86",
            "markPrice": "63980.25",
            "prevPrice24h": "64111.6",
            "price24hPcnt": "-0.00192",
            "highPrice24h": "64278.9",
            "lowPrice24h": "63819.4",
            "openInterest": "1497.505",
            "openInterestValue": "95816809.17",
            "turnover24h": "648443673.13",
            "volume24h": "10128.770",
            "fundingRate": "0.00001054",
            "nextFundingTime": "1795248000000",
            "fundingIntervalHour": "8",
            "bid1Price": "1",
            "bid1Size": "2",
            "ask1Price": "3",
            "ask1Size": "4",
        },
    },
    Bitget: {
        "action": "snapshot",
        "arg": {"channel": "ticker", "instId": "BTC"},
        "data": [
            {
                "lastPr": "63988.2",
                "askPr": "3",
                "bidPr": "1",
                "bidSz": "2",
                "askSz": "4",
                "high24h": "64278.9",
                "low24h": "63819.4",
                "ts": "20000",
                "change24h": "-0.00192",
                "baseVolume": "10128.770",
                "quoteVolume": "648443673.13",
                "indexPrice": "63984.86",
                "fundingRate": "0.00001054",
                "holdingAmount": "1497.505",
                "open24h": "64111.6",
                "markPrice": "63980.25",
                "nextFundingTime": "1795248000000",
            }
        ],
    },
    KrakenFutures: {
        "feed": "ticker",
        "product_id": "BTC",
        "time": 20_000,
        "bid": 1,
        "bid_size": 2,
        "ask": 3,
        "ask_size": 4,
        "last": 63988.2,
        "open": 64111.6,
        "high": 64278.9,
        "low": 63819.4,
        "change": -0.192,
        "volume": 10128.77,
        "volumeQuote": 648443673.13,
        "markPrice": 63980.25,
        "index": 63984.86,
        "openInterest": 1497.505,
        "funding_rate": 0.674,
        "relative_funding_rate": 0.00001054,
        "next_funding_rate_time": 1795248000000,
    },
}


@pytest.mark.parametrize("venue", TICKERS)
def test_ticker_frames_bring_the_slow_values_now_and_then(venue: Any) -> None:
    peeler, frame = venue({}), TICKERS[venue]
    _, summary = peeler.peel(frame)
    update = RestUpdate(BTC, **summary.said)
    assert update.day == (64111.6, 64278.9, 63819.4, -123.4, -0.192, 10128.77, 648443673.13)
    assert (update.mark_price, update.index_price) == (63980.25, 63984.86)
    assert (update.funding_rate, update.next_funding_time) == (0.00001054, 1795248000000)
    assert (update.open_interest, update.timestamp) == (1497.505, 20_000)
    assert len(list(peeler.peel(frame))) == 1
