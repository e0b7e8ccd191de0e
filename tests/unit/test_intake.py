"""Frames as the venues send them, through peel and intake, to facts."""

import logging
from typing import Any

import aiohttp
import ccxt
import orjson
import pytest

from shared import errors
from shared.fact import Fact
from shared.ledger import Ledger
from tests.fakes import FakeClock
from workers.collector.client import Market
from workers.collector.edge import translate, venue_errors
from workers.collector.events import Print, Quote
from workers.collector.hot import retry_after_s
from workers.collector.intake import Intake
from workers.collector.quarantine import Quarantine
from workers.collector.venues.binance import Binance
from workers.collector.venues.bitget import Bitget
from workers.collector.venues.bybit import Bybit
from workers.collector.venues.gate import Gate
from workers.collector.venues.htx import Htx

BTC = "BTC/USDT:USDT"


class RecordingOutbox:
    def __init__(self) -> None:
        self.ledger = Ledger()
        self.facts: list[Fact] = []

    def put(self, fact: Fact) -> None:
        self.ledger[fact.kind.name].received += 1
        self.facts.append(fact)

    def bodies(self) -> list[Any]:
        return [orjson.loads(fact.body) for fact in self.facts]


@pytest.fixture
def outbox() -> RecordingOutbox:
    return RecordingOutbox()


@pytest.fixture
def intake(outbox: RecordingOutbox) -> Intake:
    quarantine = Quarantine(logging.getLogger("test"))
    intake = Intake("x", outbox, quarantine, FakeClock())  # type: ignore[arg-type]
    market = Market(BTC, "BTC", 0.001)
    intake.markets_by_id = {"BTC": market}
    intake.set_markets([market])
    return intake


def trade(trade_id: str = "1", **changes: Any) -> Print:
    return Print("BTC", trade_id, 100.0, 2.0, "buy", 5)._replace(**changes)


def test_a_trade_becomes_a_fact_in_base_units(intake: Intake, outbox: RecordingOutbox) -> None:
    intake.on_events([trade()], 7)
    assert outbox.bodies() == [
        {"exchange": "x", "symbol": BTC, "id": "1", "price": 100.0, "amount": 0.002, "side": "buy"}
        | {"timestamp": 5, "received_at": 7, "source": "stream"}
    ]
    assert outbox.facts[0].key == "1"
    last = intake.parts[BTC].last
    assert last is not None
    assert last.value == 100.0


def test_a_trade_that_comes_twice_goes_out_once(intake: Intake, outbox: RecordingOutbox) -> None:
    intake.on_events([trade("1"), trade("2"), trade("1")], 7)
    assert [body["id"] for body in outbox.bodies()] == ["1", "2"]
    assert outbox.ledger["trades"].deduplicated == 1


def test_ids_are_remembered_over_a_removal(intake: Intake, outbox: RecordingOutbox) -> None:
    intake.on_events([trade("1")], 7)
    intake.set_markets([])
    intake.on_events([trade("2")], 7)
    intake.set_markets([Market(BTC, "BTC", 0.001)])
    intake.on_events([trade("1"), trade("3")], 7)
    assert [body["id"] for body in outbox.bodies()] == ["1", "3"]
    assert intake.unwanted == 1


@pytest.mark.parametrize(
    "bad",
    [
        trade(price=0.0),
        trade(price=float("nan")),
        trade(size=-1.0),
        trade(side="both"),
        trade(""),
        trade(timestamp=-1),
        Quote("BTC", 101.0, 100.0, 1.0, 1.0, None, 5),
        Quote("BTC", 100.0, float("inf"), 1.0, 1.0, None, 5),
    ],
)
def test_what_does_not_validate_is_counted_and_set_aside(
    intake: Intake, outbox: RecordingOutbox, bad: Print | Quote
) -> None:
    intake.on_events([bad, trade("good")], 7)
    assert [body["id"] for body in outbox.bodies()] == ["good"]
    invalid = outbox.ledger["trades"].invalid + outbox.ledger["ticker"].invalid
    assert invalid == 1


def test_events_of_unknown_markets_are_counted(intake: Intake, outbox: RecordingOutbox) -> None:
    intake.on_events([Print("ETH", "1", 1.0, 1.0, "buy", 5)], 7)
    assert outbox.facts == []
    assert intake.unwanted == 1


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
}


@pytest.mark.parametrize("venue", FRAMES)
def test_hot_frames_of_each_venue_say_the_same(venue: Any) -> None:
    peeler = venue({})
    trade_frame, quote_frame = FRAMES[venue]
    assert list(peeler.peel(trade_frame)) == [Print("BTC", "26129", 0.01, 4.7, "sell", 9)]
    (quote,) = peeler.peel(quote_frame)
    assert quote[:5] == ("BTC", 1.0, 3.0, 2.0, 4.0)
    assert quote.timestamp == 9


@pytest.mark.parametrize("venue", FRAMES)
@pytest.mark.parametrize("frame", [{}, [], "pong", None, 5, {"id": 1, "result": None}, {"e": 1}])
def test_other_frames_are_left_to_ccxt(venue: Any, frame: Any) -> None:
    peeler = venue({})
    assert peeler.peel(frame) is None
    assert peeler.broken_book(frame) is None


def test_a_bybit_ticker_is_its_snapshot_and_the_changes_since() -> None:
    bybit = Bybit({})
    snapshot = FRAMES[Bybit][1]
    change = {"topic": "tickers.BTC", "type": "delta", "ts": 10, "data": {"symbol": "BTC"}}
    assert bybit.peel(change) == ()
    bybit.peel(snapshot)
    bids = change | {"data": {"symbol": "BTC", "bid1Price": "1.5"}}
    (quote,) = bybit.peel(bids)  # type: ignore[misc]
    assert (quote.bid, quote.ask) == (1.5, 3.0)  # type: ignore[union-attr]


def test_a_gap_in_a_bybit_or_htx_book_is_seen_on_its_very_delta() -> None:
    bybit, htx = Bybit({}), Htx({})

    def delta(update: int, kind: str = "delta") -> dict[str, Any]:
        return {"topic": "orderbook.50.BTC", "type": kind, "data": {"s": "BTC", "u": update}}

    def change(version: int, event: str = "update") -> dict[str, Any]:
        return {
            "ch": "market.BTC.depth.size_150.high_freq",
            "tick": {"version": version, "event": event},
        }

    assert bybit.broken_book(delta(5, "snapshot")) is None
    assert bybit.broken_book(delta(6)) is None
    assert bybit.broken_book(delta(8)) == ("BTC", "delta 8 after 6")
    assert bybit.broken_book(delta(1, "snapshot")) is None
    assert htx.broken_book(change(5, "snapshot")) is None
    assert htx.broken_book(change(6)) is None
    assert htx.broken_book(change(8)) == ("BTC", "version 8 after 6")


class Sink:
    def __init__(self) -> None:
        self.bad: list[Exception] = []

    def on_events(self, events: Any, received_at: int) -> None: ...

    def on_bad_row(self, row: object, error: Exception) -> None:
        self.bad.append(error)

    def on_bad_frame(self, frame: object, error: Exception) -> None:
        self.bad.append(error)

    def on_book_broken(self, market_id: str, reason: str) -> None: ...


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
    venue.handle_message(None, frame)
    assert len(venue.sink.bad) == 1


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


@pytest.mark.parametrize("venue", [Bybit, Bitget, Htx])
def test_a_delta_without_a_book_starts_none(venue: Any) -> None:
    exchange = venue({})
    exchange.sink, exchange.clock = Sink(), FakeClock()
    deltas = {
        Bybit: {
            "topic": "orderbook.50.BTC",
            "type": "delta",
            "data": {"s": "BTC", "u": 5, "b": [["1", "1"]], "a": []},
        },
        Bitget: {
            "action": "update",
            "arg": {"channel": "books", "instId": "BTC"},
            "data": [{"bids": [["1", "1"]], "asks": [], "ts": "1"}],
        },
        Htx: {
            "ch": "market.BTC.depth.size_150.high_freq",
            "tick": {"event": "update", "version": 5, "bids": [[1, 1]], "asks": []},
        },
    }
    exchange.handle_message(None, deltas[venue])
    assert exchange.sink.bad == []
    assert exchange.orderbooks == {}
