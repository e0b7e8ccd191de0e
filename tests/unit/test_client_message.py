"""Messages of the client library: from deliveries to typed bodies, whatever they hold."""

from dataclasses import FrozenInstanceError
from typing import Any

import orjson
import pytest
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from futures_fleet import BodyError, FuturesData, Gap, PredictedFunding, SettledFunding, Trade
from futures_fleet.bodies import MODELS, parsed
from futures_fleet.inbox import Inbox
from futures_fleet.message import address, read
from shared.kinds import KINDS
from tests.facts import KEY, NOW_MS, message, trade

HEADERS: dict[str, Any] = {
    "seq": 7,
    "epoch": "a@h/1",
    "worker": "a@h",
    "schema": 1,
    "received_at": NOW_MS,
}


def delivered(
    headers: dict[str, Any] | None, key: str = KEY, body: bytes = b"{}", **properties: Any
) -> DeliveredMessage:
    given: dict[str, Any] = {
        "message_id": "id",
        "message_type": "trades",
        "delivery_mode": 2,
    } | properties
    header = ContentHeader(properties=Basic.Properties(headers=headers, **given))
    return DeliveredMessage(Basic.Deliver(routing_key=key), header, body, None)  # type: ignore[arg-type]


def test_a_delivery_is_read() -> None:
    got = read(delivered({**HEADERS, "prev_epoch": "a@h/0", "prev_seq": 3}, body=trade(5)))
    assert got is not None
    assert (got.kind, got.exchange, got.symbol) == ("trades", "binance", "BTC/USDT:USDT")
    assert (got.seq, got.epoch, got.worker, got.message_id) == (7, "a@h/1", "a@h", "id")
    assert (got.received_at, got.lossless, got.previous) == (NOW_MS, True, ("a@h/0", 3))
    assert isinstance(got.body, Trade)
    assert got.body.id == "5"
    assert got.body is got.body, "parsed once"
    with pytest.raises(FrozenInstanceError):
        got.seq = 8  # type: ignore[misc]


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {},
        *({name: value for name, value in HEADERS.items() if name != gone} for gone in HEADERS if gone != "schema"),
        HEADERS | {"seq": "7"},
        HEADERS | {"seq": True},
        HEADERS | {"epoch": 5},
        HEADERS | {"worker": b"\xff"},
        HEADERS | {"received_at": 1.5},
    ],
)  # fmt: skip
def test_what_lacks_the_fleets_headers_is_none_of_its_messages(
    headers: dict[str, Any] | None,
) -> None:
    assert read(delivered(headers)) is None


def test_so_is_what_has_no_kind_or_no_id() -> None:
    assert read(delivered(HEADERS, message_type=None)) is None
    assert read(delivered(HEADERS, message_id=None)) is None


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("trades.binance.BTCUSDT", ("trades", "binance", "BTC/USDT:USDT")),
        ("ohlcv.gate.BTCUSD_BTC.1m", ("ohlcv", "gate", "BTC/USD:BTC")),
        ("ticker.htx.币安人生USDT", ("ticker", "htx", "币安人生/USDT:USDT")),
        ("coverage.binance.trades", ("coverage", "binance", None)),
        ("task.a%2Eb.ETHUSDT.my-task", ("task", "a.b", "ETH/USDT:USDT")),
        ("trades", ("trades", "", None)),
        ("", ("", "", None)),
        ("trades.x.%%%", ("trades", "x", None)),
    ],
)
def test_a_routing_key_says_what_a_message_is_about(
    key: str, expected: tuple[str, str, str | None]
) -> None:
    assert address(key) == expected


def test_every_kind_has_its_models() -> None:
    assert {kind.name for kind in KINDS.values()} == set(MODELS)


def test_fields_of_a_newer_fleet_are_overlooked_at_any_depth() -> None:
    assert isinstance(parsed("trades", trade(1, colour="green")), Trade)
    ticker = {"bid": 1.0, "ask": 2.0, "last": 1.5, "mood": "good"}
    book = {"bids": [[1.0, 1.0]], "asks": [[2.0, 1.0]], "timestamp": NOW_MS, "mood": "bad"}
    body = {
        "exchange": "x", "symbol": "s", "timestamp": NOW_MS, "ticker": ticker, "orderbook": book,
        "funding_rate": None, "next_funding_time": None, "mark_price": None,
    }  # fmt: skip
    assert isinstance(parsed("futures", orjson.dumps(body)), FuturesData)


def test_funding_is_told_apart() -> None:
    common = {"exchange": "x", "symbol": "s", "rate": 0.1, "received_at": NOW_MS}
    settled = common | {"settled": True, "funding_time": NOW_MS, "source": "rest"}
    predicted = common | {
        "settled": False, "next_funding_time": None, "interval_hours": 8.0, "mark_price": None,
        "index_price": None, "timestamp": None,
    }  # fmt: skip
    assert isinstance(parsed("funding", orjson.dumps(settled)), SettledFunding)
    assert isinstance(parsed("funding", orjson.dumps(predicted)), PredictedFunding)


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"\xff", b'{"id": 5}', trade(1, price=-1)])
def test_a_body_that_is_none_is_an_error_where_it_is_looked_at(raw: bytes) -> None:
    with pytest.raises(BodyError, match="kind trades"):
        _ = message(1, raw=raw).body


def test_kinds_that_are_not_known_are_dictionaries() -> None:
    assert message(1, "quality.x.BTCUSDT", raw=b'{"score": 5}').body == {"score": 5}
    for raw in (b"5", b"{"):
        with pytest.raises(BodyError):
            _ = message(1, "quality.x.BTCUSDT", raw=raw).body


def test_a_gap_is_a_gap() -> None:
    gap = Gap(
        id="g", rev=1, exchange="x", symbol="s", kind="trades", state="open", reason="restart",
        opened_at=NOW_MS, last_key=None, last_time=None, worker="w", epoch="w/1",
    )  # fmt: skip
    assert parsed("gap", gap.model_dump_json().encode()) == gap


def test_an_inbox_drops_the_oldest_and_says_that_something_is_missing() -> None:
    inbox = Inbox(max_bytes=5000)
    for number in range(20):
        inbox.put(delivered(HEADERS | {"seq": number}))
    assert inbox.take_break()
    assert not inbox.take_break()
    left = []
    while (got := inbox.get()) is not None:
        left.append((got.header.properties.headers or {})["seq"])
    assert left == list(range(20 - len(left), 20))
    assert inbox.dropped == 20 - len(left) == 16


def test_a_break_of_the_subscription_is_met_in_its_place() -> None:
    inbox = Inbox(max_bytes=5000)
    inbox.put(delivered(HEADERS))
    inbox.mark_break()
    inbox.put(delivered(HEADERS))
    assert not inbox.take_break()
    assert inbox.get() is not None
    assert inbox.take_break()
    assert inbox.get() is not None
    assert inbox.get() is None


def test_one_message_of_any_size_is_kept() -> None:
    inbox = Inbox(max_bytes=10)
    inbox.put(delivered(HEADERS, body=b"x" * 100))
    assert inbox.get() is not None
    assert inbox.dropped == 0
