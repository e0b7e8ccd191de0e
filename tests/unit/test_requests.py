"""What can be asked of a venue, and what is refused before anybody is asked."""

from typing import Any

import ccxt
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import DataProcessingError
from shared.requests import METHODS, Reply, Trouble, named, parsed

BTC = "BTC/USDT:USDT"
SOUND: dict[str, Any] = {"id": "1", "method": "fetch_ticker", "timeout_ms": 1000}


def body(**fields: Any) -> bytes:
    return orjson.dumps({**SOUND, "arguments": {"symbol": BTC}, **fields})


@pytest.mark.parametrize(
    "method",
    [method for method in METHODS.values() if not method.of_budget],
    ids=lambda method: method.name,
)
def test_each_method_is_a_read_of_ccxt_with_these_arguments(method: Any) -> None:
    import inspect

    assert method.name.startswith("fetch_")
    signature = inspect.signature(getattr(ccxt.Exchange, method.name))
    assert tuple(signature.parameters)[1 : 1 + len(method.arguments)] == method.arguments


@pytest.mark.parametrize("subject", ["acquire_permit", "create_order", "", "x" * 65, 5, None])
def test_only_reads_have_a_price(subject: Any) -> None:
    with pytest.raises(DataProcessingError):
        named(METHODS["acquire_permit"], [subject], {})
    assert named(METHODS["acquire_permit"], ["fetch_ticker"], {}) == {"method": "fetch_ticker"}


def test_a_sound_request() -> None:
    request = parsed(body(priority="high", max_age_ms=0))
    assert (request.method, request.arguments, request.priority.value) == (
        "fetch_ticker",
        {"symbol": BTC},
        "high",
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"method": "create_order"}, "can not be called"),
        ({"method": "fetch_balance"}, "can not be called"),
        ({"method": "__init__"}, "can not be called"),
        ({"method": "fetch_ticker\n"}, "can not be called"),
        ({"arguments": {}}, "needs symbol"),
        ({"arguments": {"symbol": BTC, "params": {"x": 1}}}, "takes no params"),
        ({"arguments": {"symbol": 5}}, "symbol"),
        ({"arguments": {"symbol": ""}}, "symbol"),
        ({"arguments": {"symbol": "x" * 1000}}, "symbol"),
        ({"arguments": [1]}, "arguments"),
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"timeout_ms": 10**9}, "timeout_ms"),
        ({"max_age_ms": -1}, "max_age_ms"),
        ({"priority": "urgent"}, "priority"),
        ({"id": ""}, "id"),
        ({"more": 1}, "more"),
        ({"method": "fetch_trades", "arguments": {"symbol": BTC, "limit": 10**9}}, "limit"),
        ({"method": "fetch_trades", "arguments": {"symbol": BTC, "since": -1}}, "since"),
        ({"method": "fetch_trades", "arguments": {"symbol": BTC, "since": "0"}}, "since"),
        ({"method": "fetch_ohlcv", "arguments": {"symbol": BTC, "timeframe": "1y"}}, "timeframe"),
        ({"method": "fetch_tickers", "arguments": {"symbols": []}}, "symbols"),
        ({"method": "fetch_tickers", "arguments": {"symbols": [BTC] * 1001}}, "symbols"),
        ({"method": "fetch_time", "arguments": {"symbol": BTC}}, "takes no symbol"),
    ],
)
def test_what_is_no_request_is_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(DataProcessingError, match=told):
        parsed(body(**fields))


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_any_bytes_are_a_request_or_one_error(raw: bytes) -> None:
    try:
        parsed(raw)
    except DataProcessingError as error:
        assert str(error)


def test_a_body_that_is_too_long_is_refused() -> None:
    with pytest.raises(DataProcessingError, match="bytes"):
        parsed(b" " * 70_000 + body())


def test_arguments_by_place_and_by_name() -> None:
    method = METHODS["fetch_ohlcv"]
    assert named(method, (BTC, "1m"), {"limit": 5}) == {
        "symbol": BTC,
        "timeframe": "1m",
        "limit": 5,
    }
    assert named(method, (BTC, "1m", None, 5), {}) == {
        "symbol": BTC,
        "timeframe": "1m",
        "limit": 5,
    }
    wrong: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]
    wrong = (((BTC, "1m", 0, 5, 6), {}), ((BTC,), {"symbol": BTC}), ((), {"limit": 5}))
    for positional, by_name in wrong:
        with pytest.raises(DataProcessingError):
            named(method, positional, by_name)


def test_a_reply_comes_back_as_it_went() -> None:
    for reply in (
        Reply("1", "gate", "w", result={"a": [1, None]}, source="live", age_ms=5, took_ms=0.1),
        Reply("2", "gate", "w", error=Trouble("rate_limited", "slow down", 3.0)),
    ):
        assert Reply.decoded(reply.encoded()) == reply
    for raw in (b"", b"[]", b"5", b'{"error": 5}', b'{"error": {"x": 1}}'):
        with pytest.raises(DataProcessingError):
            Reply.decoded(raw)
