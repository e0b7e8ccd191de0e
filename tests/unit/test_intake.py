"""Frames as the venues send them, through peel and intake, to facts."""

import logging
from types import SimpleNamespace
from typing import Any

import aiohttp
import ccxt
import pytest

from shared import errors
from shared.kinds import Kind
from tests.fakes import FakeClock
from tests.recording import Recording
from workers.collector.edge import translate, venue_errors
from workers.collector.events import Print, Quote
from workers.collector.hot import retry_after_s
from workers.collector.quarantine import Quarantine
from workers.collector.unified import Market
from workers.collector.venues.binance import Binance
from workers.collector.venues.bitget import Bitget
from workers.collector.venues.bybit import Bybit
from workers.collector.venues.coinbaseinternational import Coinbaseinternational
from workers.collector.venues.gate import Gate
from workers.collector.venues.htx import Htx
from workers.collector.venues.krakenfutures import KrakenFutures
from workers.collector.venues.okx import Okx


def trade(trade_id: str = "1", **changes: Any) -> Print:
    return Print("BTC", trade_id, 100.0, 2.0, "buy", 5)._replace(**changes)


def test_events_go_to_the_taker_of_their_type() -> None:
    recording, taken = Recording(), []
    recording.intake.route(Print, lambda *one: taken.append(one))
    recording.intake.route(Quote, lambda *one: taken.append(one))
    quote = Quote("BTC", 1.0, 2.0, 1.0, 1.0, None, 5)
    recording.intake.on_events([trade(), quote], 7)
    assert taken == [(trade(), recording.parts, 7), (quote, recording.parts, 7)]


def test_events_of_unknown_markets_are_counted() -> None:
    recording = Recording()
    recording.intake.on_events([trade(market_id="ETH")], 7)
    assert recording.intake.unwanted == 1


def test_what_is_known_of_a_symbol_outlives_a_change_of_others() -> None:
    recording = Recording()
    parts = recording.parts
    recording.intake.set_markets([recording.market, Market("ETH/USDT:USDT", "ETH", 1.0)])
    assert recording.parts is parts
    recording.intake.set_markets([])
    assert recording.intake.parts == {}


FRAMES: dict[Any, list[Any]] = {
    Binance: [
        {
            "e": "aggTrade",
            "E": 1,
            "s": "BTC",
            "a": 26129,
            "p": "0.01",
            "q": "4.7",
            "T": 9,
            "m": True,
        },
        {
            "stream": "x",
            "data": {"e": "bookTicker", "s": "BTC", "b": "1", "B": "2", "a": "3", "A": "4", "T": 9},
        },
    ],
    Bybit: [
        {
            "topic": "publicTrade.BTC",
            "type": "snapshot",
            "ts": 9,
            "data": [{"T": 9, "s": "BTC", "S": "Sell", "v": "4.7", "p": "0.01", "i": "26129"}],
        },
        {
            "topic": "tickers.BTC",
            "type": "snapshot",
            "ts": 9,
            "data": {
                "symbol": "BTC",
                "bid1Price": "1",
                "bid1Size": "2",
                "ask1Price": "3",
                "ask1Size": "4",
                "lastPrice": "2",
            },
        },
    ],
    Bitget: [
        {
            "action": "update",
            "arg": {"channel": "trade", "instId": "BTC"},
            "data": [
                {"ts": "9", "price": "0.01", "size": "4.7", "side": "sell", "tradeId": "26129"}
            ],
        },
        {
            "action": "snapshot",
            "arg": {"channel": "ticker", "instId": "BTC"},
            "data": [
                {"bidPr": "1", "bidSz": "2", "askPr": "3", "askSz": "4", "lastPr": "2", "ts": "9"}
            ],
        },
    ],
    Htx: [
        {
            "ch": "market.BTC.trade.detail",
            "ts": 9,
            "tick": {
                "data": [{"amount": 4.7, "ts": 9, "id": 26129, "price": 0.01, "direction": "sell"}]
            },
        },
        {"ch": "market.BTC.bbo", "ts": 9, "tick": {"bid": [1, 2], "ask": [3, 4], "ts": 9}},
    ],
    Okx: [
        {
            "arg": {"channel": "trades", "instId": "BTC"},
            "data": [
                {"instId": "BTC", "tradeId": "26129", "px": "0.01", "sz": "4.7", "side": "sell"}
                | {"ts": "9", "count": "1"}
            ],
        },
        {
            "arg": {"channel": "bbo-tbt", "instId": "BTC"},
            "data": [{"bids": [["1", "2", "0", "1"]], "asks": [["3", "4", "0", "1"]], "ts": "9"}],
        },
    ],
    Gate: [
        {
            "channel": "futures.trades",
            "event": "update",
            "result": [
                {"size": -4.7, "id": 26129, "create_time_ms": 9, "price": "0.01", "contract": "BTC"}
            ],
        },
        {
            "channel": "futures.book_ticker",
            "event": "update",
            "result": {"t": 9, "s": "BTC", "b": "1", "B": 2, "a": "3", "A": "4"},
        },
    ],
    KrakenFutures: [
        {"feed": "trade", "product_id": "BTC", "uid": "26129", "side": "sell", "type": "fill"}
        | {"seq": 1, "time": 9, "qty": 4.7, "price": 0.01},
        {"feed": "ticker", "product_id": "BTC", "time": 9, "last": 2}
        | {"bid": 1, "bid_size": 2, "ask": 3, "ask_size": 4},
    ],
    Coinbaseinternational: [
        {
            "method": "subscription",
            "params": {
                "channel": "trades.BTC.100ms",
                "data": [
                    {
                        "instrument_name": "BTC",
                        "trade_seq": 26129,
                        "trade_id": "USDC-9",
                        "price": 0.01,
                    }
                    | {"amount": 4.7, "direction": "sell", "timestamp": 9}
                ],
            },
        },
        {
            "method": "subscription",
            "params": {
                "channel": "quote.BTC",
                "data": {"instrument_name": "BTC", "best_bid_price": 1.0, "best_bid_amount": 2.0}
                | {"best_ask_price": 3.0, "best_ask_amount": 4.0, "timestamp": 9},
            },
        },
    ],
}


@pytest.mark.parametrize("venue", FRAMES)
def test_hot_frames_of_each_venue_say_the_same(venue: Any) -> None:
    peeler = venue({})
    trade_frame, quote_frame = FRAMES[venue]
    assert list(peeler.peel(trade_frame)) == [Print("BTC", "26129", 0.01, 4.7, "sell", 9)]
    quote = next(iter(peeler.peel(quote_frame)))
    assert quote[:5] == ("BTC", 1.0, 3.0, 2.0, 4.0)
    assert quote.timestamp == 9


@pytest.mark.parametrize("venue", FRAMES)
@pytest.mark.parametrize("frame", [{}, [], "pong", None, 5, {"id": 1, "result": None}, {"e": 1}])
def test_other_frames_are_left_to_ccxt(venue: Any, frame: Any) -> None:
    peeler = venue({})
    assert peeler.peel(frame) is None
    assert list(peeler.acknowledged(SimpleNamespace(subscriptions={}), frame)) == []


def test_a_bybit_ticker_is_its_snapshot_and_the_changes_since() -> None:
    bybit = Bybit({})
    snapshot = FRAMES[Bybit][1]
    change = {"topic": "tickers.BTC", "type": "delta", "ts": 10, "data": {"symbol": "BTC"}}
    assert bybit.peel(change) == ()
    bybit.peel(snapshot)
    bids = change | {"data": {"symbol": "BTC", "bid1Price": "1.5"}}
    (quote,) = bybit.peel(bids)  # type: ignore[misc]
    assert (quote.bid, quote.ask) == (1.5, 3.0)  # type: ignore[union-attr]


class Sink:
    def __init__(self) -> None:
        self.bad: list[Exception] = []
        self.events: list[Any] = []

    def on_events(self, events: Any, received_at: int) -> None:
        self.events += events

    def on_dataless_frame(self) -> None: ...

    def on_bad_row(self, kind: Kind, row: object, error: Exception) -> None:
        self.bad.append(error)

    def on_bad_frame(self, frame: object, error: Exception) -> None:
        self.bad.append(error)


@pytest.mark.parametrize(
    "frame",
    [
        {"e": "aggTrade", "s": "BTC"},
        {"e": "aggTrade", "s": "BTC", "a": 1, "p": "1,5", "q": "1", "m": True, "T": 1},
        {"e": "bookTicker", "s": "BTC", "b": None, "a": "1", "B": "1", "A": "1"},
    ],
)
def test_a_frame_that_is_not_as_expected_never_leaves_the_handler(frame: Any) -> None:
    venue: Any = Binance({})
    venue.sink, venue.clock = Sink(), FakeClock()
    venue.handle_message(SimpleNamespace(error=None), frame)
    assert len(venue.sink.bad) == 1


def test_what_a_connection_still_says_after_it_was_given_up_is_not_taken() -> None:
    venue: Any = Binance({})
    venue.sink, venue.clock = Sink(), FakeClock()
    quote = {"e": "bookTicker", "s": "BTC", "b": "1", "a": "2", "B": "1", "A": "1"}
    venue.handle_message(SimpleNamespace(error=ccxt.NetworkError("cut")), quote)
    assert venue.sink.events == []
    venue.handle_message(SimpleNamespace(error=None), quote)
    assert len(venue.sink.events) == 1


def test_quarantine_is_bounded_and_counts_on() -> None:
    quarantine = Quarantine(logging.getLogger("test"))
    for n in range(5000):
        quarantine.put("frame", ValueError(str(n)), "x" * 10_000)
    assert quarantine.total == 5000
    assert len(quarantine.kept) == 100
    assert all(len(sample) <= 512 for _, sample in quarantine.kept)


def test_every_ccxt_error_becomes_one_of_ours() -> None:
    classes = [
        c for c in vars(ccxt).values() if isinstance(c, type) and issubclass(c, ccxt.BaseError)
    ]
    assert len(classes) > 30
    for foreign in classes:
        assert isinstance(translate(foreign("text")), errors.ExchangeError)
    assert isinstance(translate(ccxt.RateLimitExceeded("")), errors.RateLimitedError)
    assert isinstance(translate(ccxt.RequestTimeout("")), errors.NetworkError)
    assert isinstance(translate(ccxt.ChecksumError("")), errors.BookDesyncError)
    assert isinstance(translate(ccxt.BadSymbol("")), errors.SymbolNotListedError)
    assert type(translate(ccxt.AuthenticationError(""))) is errors.ExchangeError


def test_cancellation_passes_the_edge() -> None:
    import asyncio

    with pytest.raises(asyncio.CancelledError), venue_errors():
        raise asyncio.CancelledError


def test_retry_after_is_read_in_both_forms() -> None:
    assert retry_after_s("30") == 30
    assert retry_after_s(None) == 60
    assert retry_after_s("nonsense") == 60
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_the_keys_never_show_in_an_error_of_the_edge() -> None:
    with pytest.raises(errors.ExchangeError) as raised, venue_errors():
        raise ccxt.ExchangeError("x" * 10_000)
    assert len(str(raised.value)) < 300


def test_a_bad_row_costs_no_other_row_of_its_frame_its_place() -> None:
    gate: Any = Gate({})
    gate.sink = Sink()
    frame = FRAMES[Gate][0]
    (good,) = frame["result"]
    rows = [good | {"id": 1}, good | {"price": None}, good | {"id": 2}]
    assert [event.id for event in gate.peel(frame | {"result": rows})] == ["1", "2"]
    assert len(gate.sink.bad) == 1


async def test_a_frame_that_can_not_be_decoded_does_not_end_the_receive_loop() -> None:
    bybit: Any = Bybit({})
    bybit.sink, bybit.clock = Sink(), FakeClock()
    client = bybit.client("ws://127.0.0.1:1/")
    text = aiohttp.WSMessage(aiohttp.WSMsgType.TEXT, '{"topic": NaN', None)
    client.handle_message(text)
    assert bybit.client("ws://127.0.0.1:1/") is client
    client.handle_message(text)
    assert len(bybit.sink.bad) == 2
    await bybit.close()
