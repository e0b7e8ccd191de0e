"""Limits: counted per client and window, and refused in each venue's own words."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from simulator.happening import Rates
from simulator.truth import Truth
from simulator.universe import instruments
from simulator.venue import Venue, open_venue
from simulator.venues import DIALECTS
from simulator.weights import Charge, Limit, Meter

CODES: dict[str, tuple[int, Any]] = {
    "binance": (429, -1003),
    "bybit": (200, 10006),
    "bitget": (429, "429"),
    "htx": (429, 1032),
    "gate": (429, "TOO_MANY_REQUESTS"),
    "okx": (429, "50011"),
    "krakenfutures": (429, "apiLimitExceeded"),
    "coinbaseinternational": (429, 10028),
}


def venue(name: str) -> Venue:
    return open_venue(DIALECTS[name], instruments(name, 3), 7, Rates(), Truth())


def test_a_window_grants_its_weight_and_no_more() -> None:
    meter, limit = Meter(), Limit(10, 60)
    charge = Charge("ip", 5)
    assert meter.spend("a", charge, limit, 600.0) == (5, True)
    assert meter.spend("a", charge, limit, 659.0) == (10, True)
    assert meter.spend("a", charge, limit, 659.9) == (15, False)
    assert meter.spend("b", charge, limit, 659.9) == (5, True)
    assert meter.spend("a", charge, limit, 660.0) == (5, True)
    assert meter.retry_after_s(limit, 659.5) == 1


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": "1000"}, 20),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT"}, 10),
        ("/fapi/v1/ticker/24hr", {}, 40),
        ("/fapi/v1/ticker/24hr", {"symbol": "BTCUSDT"}, 1),
        ("/fapi/v1/aggTrades", {"symbol": "BTCUSDT"}, 20),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "limit": "1500"}, 10),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "limit": "99"}, 1),
    ],
)
def test_binance_weights(path: str, query: dict[str, str], weight: int) -> None:
    assert venue("binance").dialect.charge(path, query).weight == weight


@pytest.mark.parametrize("name", CODES)
def test_each_refuses_in_its_own_words(name: str) -> None:
    error = venue(name).dialect.too_many(3)
    status, code = CODES[name]
    assert error.status == status
    body: Any = error.body
    assert code in _refusal(body).values()


@pytest.mark.parametrize("name", CODES)
def test_unknown_paths_are_errors(name: str) -> None:
    assert venue(name).dialect.answer("/nothing/here", {}).status == 404


UNKNOWN_SYMBOL = [
    ("binance", "/fapi/v1/depth", {"symbol": "NOPEUSDT"}, 400, -1121),
    ("binance", "/fapi/v1/depth", {}, 400, -1102),
    ("binance", "/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": "7"}, 400, -4021),
    ("bybit", "/v5/market/orderbook", {"category": "linear", "symbol": "NOPE"}, 200, 10001),
    (
        "bitget",
        "/api/v2/mix/market/ticker",
        {"productType": "USDT-FUTURES", "symbol": "NOPE"},
        400,
        "40034",
    ),
    ("htx", "/linear-swap-ex/market/depth", {"contract_code": "NOPE"}, 200, "bad-request"),
    ("gate", "/api/v4/futures/usdt/order_book", {"contract": "NO"}, 400, "CONTRACT_NOT_FOUND"),
    ("krakenfutures", "/derivatives/api/v3/history", {"symbol": "NO"}, 404, "contractNotFound"),
    ("krakenfutures", "/derivatives/api/v3/orderbook", {}, 400, "requiredArgumentMissing"),
    ("coinbaseinternational", "/api/v2/public/ticker", {"instrument_name": "NO"}, 400, 13020),
    ("coinbaseinternational", "/api/v2/public/get_order_book", {}, 400, -32602),
]


@pytest.mark.parametrize(("name", "path", "query", "status", "code"), UNKNOWN_SYMBOL)
def test_bad_parameters(
    name: str, path: str, query: dict[str, str], status: int, code: object
) -> None:
    reply = venue(name).dialect.answer(path, query)
    assert reply.status == status
    assert code in _refusal(orjson.loads(reply.body)).values()


def _refusal(body: dict[str, Any]) -> dict[str, Any]:
    inner: dict[str, Any] = body["error"] if "jsonrpc" in body else body
    return inner


def test_binance_pages_its_trades_by_id() -> None:
    dialect = venue("binance").dialect
    latest = orjson.loads(dialect.answer("/fapi/v1/aggTrades", {"symbol": "BTCUSDT"}).body)
    first = latest[3]["a"]
    query = {"symbol": "BTCUSDT", "fromId": str(first), "limit": "5"}
    page = orjson.loads(dialect.answer("/fapi/v1/aggTrades", query).body)
    assert [row["a"] for row in page] == list(range(first, first + 5))
    both = {**query, "startTime": "1"}
    assert dialect.answer("/fapi/v1/aggTrades", both).status == 400
    wide = {"symbol": "BTCUSDT", "startTime": "0", "endTime": str(3_600_001)}
    assert orjson.loads(dialect.answer("/fapi/v1/aggTrades", wide).body)["code"] == -1127


def test_the_truth_log_is_appended_to_its_file(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    truth = Truth(path)
    truth.note("gate", "open", conn=1)
    truth.note("htx", "open", conn=2)
    truth.close()
    assert [orjson.loads(line)["conn"] for line in path.read_text().splitlines()] == [1, 2]
    assert truth.after(0, "htx")[0] == 2
    assert len(truth.after(0, "htx")[1]) == 1
    assert truth.after(1, None)[1] == truth.after(0, "htx")[1]
