"""What the bodies of each venue say, through ccxt's parsers and our readers."""

from typing import Any

import pytest

from workers.collector.events import Day, RestUpdate
from workers.collector.readers import (
    best_prices,
    funding,
    mark_candle,
    open_interest,
    open_interests,
    prices,
    tickers,
)
from workers.collector.venues.binance import Binance
from workers.collector.venues.bitget import Bitget
from workers.collector.venues.bybit import Bybit
from workers.collector.venues.coinbaseinternational import Coinbaseinternational
from workers.collector.venues.gate import Gate
from workers.collector.venues.htx import Htx
from workers.collector.venues.krakenfutures import KrakenFutures
from workers.collector.venues.okx import Okx

NOW_MS = 1_795_240_000_000
SYMBOL = "BTC/USDT:USDT"

BODIES: dict[Any, dict[str, Any]] = {
    Binance: {
        "symbol": "BTCUSDT",
        "priceChange": "-123.4",
        "priceChangePercent": "-0.192",
        "lastPrice": "63988.2",
        "openPrice": "64111.6",
        "highPrice": "64278.9",
        "lowPrice": "63819.4",
        "volume": "10128.770",
        "quoteVolume": "648443673.13",
        "closeTime": 1795240252175,
    },
    Bybit: {
        "symbol": "BTCUSDT",
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
        "bid1Price": "63980.2",
        "bid1Size": "0.076",
        "ask1Price": "63980.3",
        "ask1Size": "0.157",
    },
    Bitget: {
        "symbol": "BTCUSDT",
        "lastPr": "63988.2",
        "askPr": "63980.3",
        "bidPr": "63980.2",
        "high24h": "64278.9",
        "low24h": "63819.4",
        "ts": "1795240256305",
        "change24h": "-0.00192",
        "baseVolume": "10128.770",
        "quoteVolume": "648443673.13",
        "indexPrice": "63984.86",
        "holdingAmount": "1497.505",
        "open24h": "64111.6",
        "markPrice": "63980.25",
    },
    Htx: {
        "open": "64111.6",
        "close": "63988.2",
        "high": "64278.9",
        "low": "63819.4",
        "amount": "10128.770",
        "vol": "10128770",
        "trade_turnover": "648443673.13",
        "bid": [63980.2, 23],
        "ask": [63980.3, 105],
        "contract_code": "BTC-USDT",
        "ts": 1795240257029,
    },
    Gate: {
        "contract": "BTC_USDT",
        "last": "63988.2",
        "change_percentage": "-0.192",
        "mark_price": "63980.25",
        "index_price": "63984.86",
        "total_size": "1497505",
        "volume_24h_quote": "648443673.13",
        "volume_24h_base": "10128.770",
        "low_24h": "63819.4",
        "high_24h": "64278.9",
        "highest_bid": "63980.2",
        "lowest_ask": "63980.3",
    },
    Okx: {
        "instType": "SWAP",
        "instId": "BTC-USDT-SWAP",
        "last": "63988.2",
        "askPx": "63980.3",
        "bidPx": "63980.2",
        "open24h": "64111.6",
        "high24h": "64278.9",
        "low24h": "63819.4",
        "volCcy24h": "10128.770",
        "vol24h": "1012877.00",
        "ts": "1795240258189",
    },
    KrakenFutures: {
        "symbol": "PF_XBTUSD",
        "last": 63988.2,
        "lastTime": "2026-11-22T18:06:12.409Z",
        "markPrice": 63980.25,
        "bid": 63980.2,
        "ask": 63980.3,
        "vol24h": 10128.77,
        "volumeQuote": 648443673.13,
        "openInterest": 1497.505,
        "open24h": 64111.6,
        "high24h": 64278.9,
        "low24h": 63819.4,
        "indexPrice": 63984.86,
        "change24h": -0.19,
    },
    Coinbaseinternational: {
        "timestamp": 1795240258189,
        "state": "open",
        "stats": {
            "high": 64278.9,
            "low": 63819.4,
            "price_change": -0.192,
            "volume": 10128.77,
            "volume_usd": 648443000.0,
            "volume_notional": 648443673.13,
        },
        "instrument_name": "BTC_USDC-PERPETUAL",
        "index_price": 63984.86,
        "mark_price": 63980.25,
        "last_price": 63988.2,
        "best_bid_price": 63980.2,
        "best_ask_price": 63980.3,
        "open_interest": 1497.505,
        "current_funding": 0.00001054,
    },
}
NO_OPEN, NO_QUOTE_VOLUME = {Gate, Coinbaseinternational}, {Okx}
NO_MARK = {Binance, Htx, Okx}


def parsed(venue: Any) -> dict[str, Any]:
    exchange = venue({})
    exchange.markets = {}
    market = {"symbol": SYMBOL, "contract": True, "linear": True, "contractSize": 0.001}
    ticker: dict[str, Any] = exchange.parse_ticker(BODIES[venue], market)
    return ticker | {"symbol": SYMBOL}


@pytest.mark.parametrize("venue", BODIES)
def test_a_ticker_of_each_venue_says_the_same(venue: Any) -> None:
    (update,) = tickers([parsed(venue)], None, NOW_MS)
    day = update.day
    assert day is not None
    assert (day.high, day.low, day.base_volume) == (64278.9, 63819.4, 10128.77)
    assert day.percentage == pytest.approx(-0.192, abs=1e-3)
    opened = (None, None) if venue in NO_OPEN else (64111.6, -123.4)
    assert (day.open, day.change) == opened
    assert day.quote_volume == (None if venue in NO_QUOTE_VOLUME else 648443673.13)
    assert (update.last, update.volume_24h) == (63988.2, 10128.77)
    if venue is not Binance:
        assert (update.bid, update.ask) == (63980.2, 63980.3)
    if venue not in NO_MARK:
        assert (update.mark_price, update.index_price) == (63980.25, 63984.86)


@pytest.mark.parametrize(
    ("venue", "amount"),
    [(Bybit, 1497.505), (Bitget, 1497.505), (Gate, 1497505), (Coinbaseinternational, 1497.505)],
)
def test_open_interest_comes_with_the_tickers(venue: Any, amount: float) -> None:
    (update,) = tickers([parsed(venue)], None, NOW_MS)
    assert update.open_interest == amount
    assert update.open_interest_value == (95816809.17 if venue is Bybit else None)


def test_a_market_without_trades_has_no_prices() -> None:
    row = {"symbol": SYMBOL, "last": 0.0, "open": 0.0, "high": None, "low": 0.0, "markPrice": 0.0}
    (update,) = tickers({SYMBOL: row}, None, NOW_MS)
    assert (update.last, update.mark_price) == (None, None)
    assert update.day == Day(None, None, None, None, None, None, None)


def test_tickers_may_hold_the_funding_rate() -> None:
    said = {"fundingRate": 0.1, "fundingTimestamp": NOW_MS + 5, "interval": "4h"}
    (update,) = tickers([{"symbol": SYMBOL, "funding": said}], None, NOW_MS)
    assert (update.funding_rate, update.next_funding_time) == (0.1, NOW_MS + 5)
    assert update.funding_interval_h == 4


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(-1, 5, 5), (3, 5, 3), (-1, None, None), (None, None, None)]
)
def test_the_next_funding_is_the_earliest_that_lies_ahead(
    first: int | None, second: int | None, expected: int | None
) -> None:
    times = [None if time is None else NOW_MS + time for time in (first, second, expected)]
    row = {"symbol": SYMBOL, "fundingRate": 0.1, "interval": None}
    row |= {"fundingTimestamp": times[0], "nextFundingTimestamp": times[1]}
    (update,) = funding({SYMBOL: row}, None, NOW_MS)
    assert (update.next_funding_time, update.funding_interval_h) == (times[2], None)


def test_the_smaller_bodies() -> None:
    marked = {"symbol": SYMBOL, "markPrice": 5.0, "indexPrice": 6.0}
    assert list(prices([marked], None, NOW_MS)) == [
        RestUpdate(SYMBOL, mark_price=5.0, index_price=6.0)
    ]
    best = {SYMBOL: {"symbol": SYMBOL, "bid": 1.0, "ask": 2.0, "last": None, "open": None}}
    assert list(best_prices(best, None, NOW_MS)) == [RestUpdate(SYMBOL, bid=1.0, ask=2.0)]
    assert list(mark_candle([], SYMBOL, NOW_MS)) == []
    assert next(iter(mark_candle([[0, 1, 2, 3, 4, 5]], SYMBOL, NOW_MS))).mark_price == 4


def test_open_interest_of_one_and_of_all() -> None:
    row = {"symbol": SYMBOL, "openInterestAmount": 7.0, "openInterestValue": None, "timestamp": 9}
    expected = [RestUpdate(SYMBOL, open_interest=7.0, timestamp=9)]
    assert list(open_interest(row, SYMBOL, NOW_MS)) == expected
    assert list(open_interests({SYMBOL: row}, None, NOW_MS)) == expected
