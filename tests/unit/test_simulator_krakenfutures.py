"""Kraken Futures in its own words: books that come level by level, paging by time, alerts."""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import orjson
import pytest

from simulator.faults.message import crossed, elsewhere
from simulator.frame import Frame
from simulator.frame import payload as unframed
from simulator.happening import Event, Rates, Trigger
from simulator.session import Session
from simulator.truth import Truth
from simulator.universe import instruments
from simulator.venue import Venue, open_venue
from simulator.venues import DIALECTS
from simulator.venues.krakenfutures.streams import FEEDS, Books

BTC = "PF_XBTUSD"
V3 = "/derivatives/api/v3"


@pytest.fixture
def kraken() -> Venue:
    rates = Rates(trade=50, liquidation=600)
    return open_venue(DIALECTS["krakenfutures"], instruments("krakenfutures", 2), 7, rates, Truth())


def ask(venue: Venue, path: str, **query: str) -> Any:
    return orjson.loads(venue.dialect.answer(path, query).body)


def payload(frame: Frame | None) -> Any:
    assert frame is not None
    return orjson.loads(unframed(frame.wire))


class Socket(Session):
    """Keeps what would be sent."""

    def __init__(self, venue: Any) -> None:
        super().__init__(venue, 1, "/ws/v1", None)  # type: ignore[arg-type]
        self.got: list[Any] = []

    def _write(self, data: bytes) -> None:
        self.got.append(orjson.loads(unframed(data)))

    def say(self, event: str, feed: str, *products: str) -> list[Any]:
        """Send a command; what it is answered, and greeted with."""
        self.got.clear()
        command = {"event": event, "feed": feed, "product_ids": products}
        self.venue.dialect.receive(self, orjson.dumps(command).decode())
        return list(self.got)


@pytest.fixture
async def socket(kraken: Venue) -> Socket:
    now_ms = kraken.now_ms()
    kraken.now_ms = lambda: now_ms  # type: ignore[method-assign]
    return Socket(kraken)


def changes(venue: Venue, books: Books, ms: int) -> Iterator[dict[str, Any]]:
    made = venue.markets[0]
    for event in made.advance(made.now_ms + ms):
        while (frame := books.render(event)) is not None:
            yield payload(frame)


def test_each_change_is_a_frame_and_together_they_are_the_book(kraken: Venue) -> None:
    made = kraken.markets[0]
    books = Books(made, "book")
    (whole,) = map(payload, books.greet())
    assert whole["feed"] == "book_snapshot"
    held = {side: {row["price"]: row["qty"] for row in whole[side]} for side in ("bids", "asks")}
    assert min(map(len, held.values())) > 1000
    sequence, pushed = whole["seq"], 0
    for frame in changes(kraken, books, 20_000):
        assert frame["seq"] == sequence + 1
        sequence, pushed = frame["seq"], pushed + 1
        side = held["bids" if frame["side"] == "buy" else "asks"]
        side[frame["price"]] = frame["qty"]
        if not frame["qty"]:
            del side[frame["price"]]
        assert max(held["bids"]) < min(held["asks"])
    assert pushed > 500
    book = made.book
    assert held["bids"] == {made.price(key): made.base(book.sizes[key]) for key in book.bids}
    assert held["asks"] == {made.price(-key): made.base(book.sizes[key]) for key in book.asks}
    assert kraken.dialect.book_id(made) == sequence


def test_trades_are_the_same_in_the_stream_and_in_rest(kraken: Venue) -> None:
    made = kraken.markets[0]
    topic = FEEDS["trade"](made, "trade")
    ahead_ms = made.now_ms + 10_000  # of real time: nothing happens while REST is asked
    events = [e for e in made.advance(ahead_ms) if e.trigger is Trigger.TRADE]
    streamed = {row["uid"]: row for row in (payload(topic.render(event)) for event in events)}
    assert {"fill", "liquidation"} == {row["type"] for row in streamed.values()}
    listed = ask(kraken, f"{V3}/history", symbol=BTC)["history"]
    assert [row["trade_id"] for row in listed] == list(range(100, 0, -1))
    (first,) = map(payload, topic.greet())
    assert [row["uid"] for row in first["trades"]] == [row["uid"] for row in listed]
    for row in listed:
        other = streamed[row["uid"]]
        assert (row["price"], row["size"]) == (other["price"], other["qty"])
        assert (row["side"], row["type"]) == (other["side"], other["type"])
        assert datetime.fromisoformat(row["time"]).timestamp() * 1000 == other["time"]


def test_history_is_paged_by_time(kraken: Venue) -> None:
    newest = ask(kraken, f"{V3}/history", symbol=BTC)["history"]
    older = ask(kraken, f"{V3}/history", symbol=BTC, lastTime=newest[-1]["time"])["history"]
    assert len(older) == 100
    assert all(row["time"] < newest[-1]["time"] for row in older)
    wrong = ask(kraken, f"{V3}/history", symbol=BTC, lastTime="soon")
    assert wrong["error"] == "invalidArgument: lastTime"


def test_candles_are_asked_for_in_seconds_and_come_oldest_first(kraken: Venue) -> None:
    path = f"/api/charts/v1/trade/{BTC}/5m"
    latest = ask(kraken, path)["candles"]
    times = [row["time"] for row in latest]
    assert all(later - sooner == 300_000 for sooner, later in pairwise(times))
    since, until = times[-10] // 1000, times[-6] // 1000 + 299
    found = ask(kraken, path, **{"from": str(since), "to": str(until)})
    assert found == {"candles": latest[-10:-5], "more_candles": False}
    many = ask(kraken, path.replace("5m", "1m"), **{"from": "0"})
    assert len(many["candles"]) == 2000
    assert many["more_candles"]
    assert many["candles"][-1]["time"] < times[-10]
    assert {row["volume"] for row in ask(kraken, path.replace("trade", "mark"))["candles"]} == {"0"}
    assert kraken.dialect.answer(path.replace("5m", "7m"), {}).status == 404


def test_funding_is_absolute_in_tickers_and_both_in_its_history(kraken: Venue) -> None:
    row = ask(kraken, f"{V3}/tickers/{BTC}")["ticker"]
    (ticker,) = map(payload, FEEDS["ticker"](kraken.markets[0], "ticker").greet())
    assert ticker["next_funding_rate_time"] % 3_600_000 == 0
    assert row["fundingRate"] == pytest.approx(ticker["relative_funding_rate"] * row["markPrice"])
    path = "/derivatives/api/v4/historicalfundingrates"
    times = [one["timestamp"] for one in ask(kraken, path, symbol=BTC)["rates"]]
    assert times == sorted(times)
    assert len(times) >= 47  # hourly, of two days


async def test_each_product_is_answered_by_itself(kraken: Venue, socket: Socket) -> None:
    got = socket.say("subscribe", "book", BTC, "PF_NOSUCHUSD", "PF_ETHUSD")
    subscribed = {"event": "subscribed", "feed": "book"}
    assert [got[0], got[2], got[3]] == [
        subscribed | {"product_ids": [BTC]},
        {"event": "alert", "message": "Invalid product id"},
        subscribed | {"product_ids": ["PF_ETHUSD"]},
    ]
    assert [got[1]["feed"], got[4]["feed"]] == ["book_snapshot", "book_snapshot"]
    assert kraken.subscriptions() == {"BTC/USD:USD": ["book"], "ETH/USD:USD": ["book"]}
    ended = {"event": "unsubscribed", "feed": "book", "product_ids": [BTC]}
    assert socket.say("unsubscribe", "book", BTC) == [ended]
    assert kraken.subscriptions() == {"ETH/USD:USD": ["book"]}


async def test_subscribing_again_brings_the_snapshot_again(socket: Socket) -> None:
    socket.say("subscribe", "trade", BTC)
    alert, again = socket.say("subscribe", "trade", BTC)
    assert alert["message"] == "Already subscribed to feed, re-requesting"
    assert again["feed"] == "trade_snapshot"


@pytest.mark.parametrize(
    ("event", "feed", "products", "alert"),
    [
        ("unsubscribe", "ticker", [BTC], "Not subscribed to feed"),
        ("subscribe", "candles", [BTC], "Invalid feed"),
        ("subscribe", "book", [], "Invalid product id"),
        ("begin", "book", [BTC], "Invalid event"),
    ],
)
async def test_refusals_are_alerts(
    socket: Socket, event: str, feed: str, products: list[str], alert: str
) -> None:
    assert socket.say(event, feed, *products) == [{"event": "alert", "message": alert}]


async def test_who_asks_for_heartbeats_gets_them(kraken: Venue, socket: Socket) -> None:
    kraken.dialect.opened(socket)
    kraken.dialect.heartbeat(socket, 5)
    assert socket.got == [{"event": "info", "version": 1}]
    assert socket.say("subscribe", "heartbeat") == [{"event": "subscribed", "feed": "heartbeat"}]
    kraken.dialect.heartbeat(socket, 6)
    assert socket.got[-1] == {"feed": "heartbeat", "time": 6}
    socket.say("unsubscribe", "heartbeat")
    kraken.dialect.heartbeat(socket, 7)
    assert len(socket.got) == 1


def test_tickers_come_once_a_second_and_lite_ones_have_no_sizes(kraken: Venue) -> None:
    made = kraken.markets[0]
    full, lite = (FEEDS[name](made, name) for name in ("ticker", "ticker_lite"))
    assert full.triggers == lite.triggers == (Trigger.SECOND,)
    said = [payload(topic.render(Event(Trigger.SECOND, 9))) for topic in (full, lite)]
    assert (said[0]["time"], said[0]["bid"]) == (9, said[1]["bid"])
    assert {"time", "bid_size", "relative_funding_rate"}.isdisjoint(said[1])


def test_instruments_are_settled_in_dollars(kraken: Venue) -> None:
    btc, eth = ask(kraken, f"{V3}/instruments")["instruments"]
    assert (btc["symbol"], btc["type"], btc["contractSize"]) == (BTC, "flexible_futures", 1)
    assert (btc["contractValueTradePrecision"], btc["tickSize"]) == (3, 0.1)
    assert (eth["symbol"], eth["pair"], eth["tradeable"]) == ("PF_ETHUSD", "ETH:USD", True)
    assert kraken.markets[0].instrument.symbol == "BTC/USD:USD"


def test_faults_know_a_level_and_a_market_by_another_name(kraken: Venue) -> None:
    made = kraken.markets[0]
    books = Books(made, "book")
    frame = next(
        frame for event in made.advance(made.now_ms + 5_000) if (frame := books.render(event))
    )
    found = crossed(books, frame, 10)
    assert found is not None
    level = payload(found[0])
    assert (level["side"], level["seq"]) == ("buy", payload(frame)["seq"])
    assert level["price"] == float(found[1]) > made.price(made.book.best_ask)
    assert orjson.loads(unframed(elsewhere(books, frame)))["product_id"] == "PF_NOSUCHUSD"
