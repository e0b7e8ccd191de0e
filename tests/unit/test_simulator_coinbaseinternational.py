"""Coinbase International in its own words: JSON-RPC, books that chain, credits for subscriptions."""

from itertools import pairwise
from typing import Any

import orjson
import pytest
from aiohttp import web

from simulator.frame import Frame
from simulator.happening import Rates, Trigger
from simulator.session import Session
from simulator.truth import Truth
from simulator.universe import instrument, instruments
from simulator.venue import Venue, open_venue
from simulator.venues import DIALECTS
from simulator.venues.coinbaseinternational import streams
from simulator.venues.coinbaseinternational.streams import Books, Charts, Trades

NAME = "coinbaseinternational"
BTC = "BTC_USDC-PERPETUAL"
HOUR_MS = 3_600_000


class Heard(Session):
    """A client and what it is told, in order."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue, 1, "/ws/api/v2", web.WebSocketResponse())
        self.told: list[Any] = []
        self.closed: list[int] = []

    def _write(self, data: bytes) -> None:
        self.told.append(orjson.loads(data[data.index(b"{") :]))

    def say_close(self, code: int) -> None:
        self.closed.append(code)

    def asks(self, method: str, **params: object) -> Any:
        """The answer to a request."""
        before = len(self.told)
        request = {"jsonrpc": "2.0", "id": before, "method": method, "params": params}
        self.venue.dialect.receive(self, orjson.dumps(request).decode())
        answer = self.told[before]
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", before)
        return answer


@pytest.fixture
def venue() -> Venue:
    rates = Rates(trade=50, liquidation=600)
    return open_venue(DIALECTS[NAME], instruments(NAME, 2), 7, rates, Truth())


@pytest.fixture
async def client(venue: Venue) -> Heard:
    return Heard(venue)


def ask(venue: Venue, method: str, **query: object) -> Any:
    asked = {name: str(value) for name, value in query.items()}
    return orjson.loads(venue.dialect.answer(f"/api/v2/public/{method}", asked).body)


def result(venue: Venue, method: str, **query: object) -> Any:
    answer = ask(venue, method, **query)
    assert "error" not in answer, answer
    assert answer["usOut"] - answer["usIn"] == answer["usDiff"]
    return answer["result"]


def payload(frame: Frame | None) -> Any:
    assert frame is not None
    return orjson.loads(frame.wire[frame.wire.index(b"{") :])["params"]


def test_it_lists_perpetuals_in_usdc_and_nothing_else(venue: Venue) -> None:
    btc, eth = result(venue, "get_instruments")
    assert (btc["instrument_name"], eth["instrument_name"]) == (BTC, "ETH_USDC-PERPETUAL")
    assert (btc["counter_currency"], btc["settlement_currency"]) == ("USDC", "USDC")
    assert (btc["settlement_period"], btc["kind"]) == ("perpetual", "future")
    assert result(venue, "get_instruments", currency="BTC") == []
    assert result(venue, "get_instruments", currency="USDC", kind="option") == []
    assert len(result(venue, "get_instruments", currency="any", kind="future")) == 2
    assert instrument(NAME, "NEW", "2").symbol == "NEW/USDC:USDC"


def test_changes_chain_and_say_what_happened_to_each_level(venue: Venue) -> None:
    made = venue.markets[0]
    books = Books(made, f"book.{BTC}.100ms")
    (first,) = (payload(frame)["data"] for frame in books.greet())
    assert first["type"] == "snapshot"
    assert "prev_change_id" not in first
    held = {side: {row[1]: row[2] for row in first[side]} for side in ("bids", "asks")}
    assert [row[1] for row in first["bids"]] == sorted(held["bids"], reverse=True)
    assert [row[1] for row in first["asks"]] == sorted(held["asks"])
    change_id, actions = first["change_id"], set[str]()
    for event in made.advance(made.now_ms + 20_000):
        frame = books.render(event) if event.trigger is Trigger.BOOK else None
        if frame is None:
            continue
        data = payload(frame)["data"]
        assert (data["type"], data["prev_change_id"]) == ("change", change_id)
        change_id = data["change_id"]
        actions |= changed(held["bids"], data["bids"]) | changed(held["asks"], data["asks"])
        assert len(held["bids"]) == len(made.book.bids)
        assert max(held["bids"]) == made.price(made.book.best_bid)
        assert min(held["asks"]) == made.price(made.book.best_ask)
    assert actions == {"new", "change", "delete"}
    (again,) = (payload(frame)["data"] for frame in books.greet())
    assert {row[1]: row[2] for row in again["bids"]} == held["bids"]
    assert again["change_id"] == change_id


def changed(side: dict[float, float], levels: list[Any]) -> set[str]:
    """Do to a side of a book what the levels say; what that was."""
    for action, price, amount in levels:
        assert (action == "new") is (price not in side)
        assert (action == "delete") is (amount == 0)
        side[price] = amount
        if action == "delete":
            del side[price]
    return {level[0] for level in levels}


def test_trades_are_numbered_without_holes_and_paged_by_that(venue: Venue) -> None:
    made = venue.markets[0]
    topic = Trades(made, f"trades.{BTC}.100ms")
    events = [one for one in made.advance(made.now_ms + 5_000) if one.trigger is Trigger.TRADE]
    streamed = [payload(topic.render(event))["data"][0] for event in events]
    numbers = [row["trade_seq"] for row in streamed]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    found = result(venue, "get_last_trades_by_instrument", instrument_name=BTC, count=50)
    newest = [row["trade_seq"] for row in found["trades"]]
    assert newest == list(range(newest[0], newest[0] - 50, -1))
    assert found["has_more"] is True
    query = {"instrument_name": BTC, "end_seq": newest[-1] - 1, "count": 20}
    older = result(venue, "get_last_trades_by_instrument", **query)["trades"]
    assert [row["trade_seq"] for row in older] == list(range(newest[-1] - 1, newest[-1] - 21, -1))
    query = {"instrument_name": BTC, "start_seq": newest[-1], "sorting": "asc", "count": 3}
    ascending = result(venue, "get_last_trades_by_instrument", **query)["trades"]
    assert [row["trade_seq"] for row in ascending] == newest[::-1][:3]
    default = result(venue, "get_last_trades_by_instrument", instrument_name=BTC)
    assert len(default["trades"]) == 10
    marked = {row["trade_seq"] for row in streamed if row.get("liquidation") == "T"}
    assert marked == {*made.forced} & {*numbers} != set()
    rows = {row["trade_seq"]: row for row in streamed}
    assert all(rows.get(row["trade_seq"], row)["amount"] == row["amount"] for row in older)


def test_candles_are_columns_and_those_of_the_stream(venue: Venue) -> None:
    made = venue.markets[0]
    end = made.now_ms
    asked = {"instrument_name": BTC, "start_timestamp": end - 600_000, "end_timestamp": end}
    found = result(venue, "get_tradingview_chart_data", resolution="5", **asked)
    assert found["status"] == "ok"
    assert [tick % 300_000 for tick in found["ticks"]] == [0, 0, 0]
    assert len(found["cost"]) == len(found["volume"]) == 3
    one = made.candles.current(5, made.candles.last.minute)
    pushed = Charts(5, made, f"chart.trades.{BTC}.5").message(one, False, end)
    assert isinstance(pushed, dict)
    data = pushed["params"]["data"]
    assert (data["tick"], data["close"]) == (found["ticks"][-1], found["close"][-1])
    assert (data["volume"], data["cost"]) == (found["volume"][-1], found["cost"][-1])
    later = {"instrument_name": BTC, "start_timestamp": end + HOUR_MS}
    later |= {"end_timestamp": end + 2 * HOUR_MS}
    empty = result(venue, "get_tradingview_chart_data", resolution="1", **later)
    assert (empty["status"], empty["ticks"]) == ("no_data", [])


def test_funding_is_paid_each_hour(venue: Venue) -> None:
    now = venue.markets[0].now_ms
    asked = {"instrument_name": BTC, "start_timestamp": now - 12 * HOUR_MS, "end_timestamp": now}
    rows = result(venue, "get_funding_rate_history", **asked)
    times = [row["timestamp"] for row in rows]
    assert len(rows) == 12
    assert all(later - former == HOUR_MS for former, later in pairwise(times))
    paid = sum(row["interest_1h"] for row in rows[-8:])
    assert rows[-1]["interest_8h"] == pytest.approx(paid, abs=1e-8)
    ticker = result(venue, "ticker", instrument_name=BTC)
    assert ticker["funding_8h"] == rows[-1]["interest_8h"]


def test_a_summary_has_what_the_ticker_has(venue: Venue) -> None:
    rows = result(venue, "get_book_summary_by_currency", currency="USDC", kind="future")
    ticker = result(venue, "ticker", instrument_name=BTC)
    assert len(rows) == 2
    assert rows[0]["instrument_name"] == BTC
    for name in ("mark_price", "open_interest", "funding_8h"):
        assert rows[0][name] == pytest.approx(ticker[name], rel=1e-3)
    assert result(venue, "get_book_summary_by_currency", currency="ETH") == []


@pytest.mark.parametrize(
    ("method", "query", "code"),
    [
        ("ticker", {"instrument_name": "NO_USDC-PERPETUAL"}, 13020),
        ("ticker", {}, -32602),
        ("get_order_book", {"instrument_name": BTC, "depth": 10_001}, -32602),
        ("get_last_trades_by_instrument", {"instrument_name": BTC, "count": 1001}, -32602),
        ("get_last_trades_by_instrument", {"instrument_name": BTC, "sorting": "up"}, -32602),
        ("get_tradingview_chart_data", {"instrument_name": BTC, "resolution": "240"}, -32602),
        ("get_funding_rate_history", {"instrument_name": BTC, "start_timestamp": 1}, -32602),
        ("get_book_summary_by_currency", {}, -32602),
        ("get_instruments", {"kind": "warrant"}, -32602),
        ("get_weather", {}, -32601),
    ],
)
def test_refusals(venue: Venue, method: str, query: dict[str, object], code: int) -> None:
    assert ask(venue, method, **query)["error"]["code"] == code


async def test_the_answer_names_what_was_subscribed(client: Heard) -> None:
    known = [f"quote.{BTC}", f"chart.trades.{BTC}.60", f"book.{BTC}.none.10.100ms"]
    unknown = ["quote.NO_USDC-PERPETUAL", f"chart.trades.{BTC}.240", f"trades.{BTC}", "", "x.y.z"]
    assert client.asks("public/subscribe", channels=known + unknown)["result"] == known
    assert set(client.groups) == set(known)
    pushed = [one["params"]["channel"] for one in client.told[1:]]
    assert pushed == [known[0], known[2]]
    assert client.asks("public/unsubscribe", channels=known[:1])["result"] == known[:1]
    assert client.asks("public/unsubscribe", channels=known[:1])["result"] == []
    assert client.asks("public/unsubscribe_all")["result"] == "ok"
    assert client.groups == {}


async def test_a_second_subscription_to_a_book_brings_no_second_snapshot(client: Heard) -> None:
    for snapshots in (1, 1):
        assert client.asks("public/subscribe", channels=[f"book.{BTC}.100ms"])["result"]
        found = [one for one in client.told if one.get("method") == "subscription"]
        assert len(found) == snapshots


async def test_what_needs_keys_is_refused_without(client: Heard) -> None:
    assert client.asks("public/subscribe", channels=[f"book.{BTC}.raw"])["error"]["code"] == 13778
    private = client.asks("private/subscribe", channels=[f"book.{BTC}.raw"])
    assert private["error"]["code"] == 13009
    assert client.groups == {}


async def test_whatever_rest_has_may_be_asked_on_the_socket(client: Heard) -> None:
    assert client.asks("public/test")["result"]["version"]
    assert client.asks("public/get_time")["result"] > 0
    assert client.asks("public/ticker", instrument_name=BTC)["result"]["instrument_name"] == BTC
    assert client.asks("public/ticker", instrument_name="NO")["error"]["code"] == 13020
    assert client.asks("public/nothing")["error"]["code"] == -32601
    assert client.asks("public/subscribe", channels="all")["error"]["code"] == -32602
    client.venue.dialect.receive(client, "[]")
    assert client.told[-1]["error"]["code"] == -32600


async def test_ten_subscriptions_at_once_and_then_one_in_300_ms(
    client: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(streams, "monotonic", lambda: now)
    for number in range(10):
        assert "result" in client.asks("public/subscribe", channels=[f"x.{number}"])
    now += 0.25
    assert client.asks("public/subscribe", channels=["x.10"])["error"]["code"] == 10028
    assert client.closed == [1008]
    now += 0.1
    assert "result" in client.asks("public/subscribe", channels=["x.11"])
