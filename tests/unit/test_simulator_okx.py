"""OKX in its own words: books that chain, paging by ids and times, limits by endpoint."""

from typing import Any

import orjson
import pytest

from simulator.checksum import checksum
from simulator.frame import Frame
from simulator.happening import Event, Rates, Trigger
from simulator.truth import Truth
from simulator.universe import instruments
from simulator.venue import Venue, open_venue
from simulator.venues import DIALECTS
from simulator.venues.okx.streams import CHANNELS, Books, Candlesticks

BTC = "BTC-USDT-SWAP"


@pytest.fixture
def okx() -> Venue:
    return open_venue(DIALECTS["okx"], instruments("okx", 2), 7, Rates(trade=50), Truth())


def ask(venue: Venue, path: str, **query: str) -> Any:
    return orjson.loads(venue.dialect.answer(f"/api/v5/{path}", query).body)


def rows(venue: Venue, path: str, **query: str) -> list[Any]:
    answer = ask(venue, path, **query)
    assert answer["code"] == "0", answer
    return answer["data"]  # type: ignore[no-any-return]


def payload(frame: Frame | None) -> Any:
    assert frame is not None
    return orjson.loads(frame.wire[frame.wire.index(b"{") :])


def test_updates_chain_and_their_checksum_covers_the_book_that_results(okx: Venue) -> None:
    made = okx.markets[0]
    books = Books(made, "books")
    (first,) = (payload(frame) for frame in books.greet())
    assert first["action"] == "snapshot"
    held = {side: {row[0]: row for row in first["data"][0][side]} for side in ("bids", "asks")}
    sequence, pushed = first["data"][0]["seqId"], 0
    for event in made.advance(made.now_ms + 20_000):
        frame = books.render(event) if event.trigger is Trigger.BOOK else None
        if frame is None:
            continue
        data = payload(frame)["data"][0]
        assert data["prevSeqId"] == sequence
        sequence, pushed = data["seqId"], pushed + 1
        for side in ("bids", "asks"):
            held[side].update({row[0]: row for row in data[side]})
            for price in [row[0] for row in data[side] if row[1] == "0"]:
                del held[side][price]
        bids = sorted(held["bids"].values(), key=lambda row: -float(row[0]))
        asks = sorted(held["asks"].values(), key=lambda row: float(row[0]))
        assert len(bids) == len(asks) == 400
        assert data["checksum"] == checksum(bids, asks)
    assert pushed > 50


def test_a_quiet_book_is_confirmed_after_a_minute(okx: Venue) -> None:
    made = okx.markets[0]
    books = Books(made, "books")
    assert books.render(Event(Trigger.SECOND, made.now_ms + 59_000)) is None
    data = payload(books.render(Event(Trigger.SECOND, made.now_ms + 60_000)))["data"][0]
    assert data["seqId"] == data["prevSeqId"] == books.update_id
    assert data["bids"] == data["asks"] == []
    assert books.render(Event(Trigger.SECOND, made.now_ms + 61_000)) is None


def test_a_frame_of_trades_names_the_last_of_the_fills_that_rest_lists(okx: Venue) -> None:
    made = okx.markets[0]
    topic = CHANNELS["trades"](made, "trades")
    events = [event for event in made.advance(made.now_ms + 10_000) if event.trade]
    for event in events:
        if event.trigger is not Trigger.TRADE:
            continue
        data = payload(topic.render(event))["data"][0]
        assert event.trade is not None
        first = int(data["tradeId"]) - int(data["count"]) + 1
        assert first == event.trade.first_fill
    listed = rows(okx, "market/trades", instId=BTC, limit="100")
    ids = [int(row["tradeId"]) for row in listed]
    assert ids == list(range(ids[0], ids[0] - 100, -1))


def test_history_is_paged_by_id_and_by_time(okx: Venue) -> None:
    newest = rows(okx, "market/trades", instId=BTC, limit="50")
    page = rows(okx, "market/history-trades", instId=BTC, after=newest[-1]["tradeId"])
    assert int(page[0]["tradeId"]) == int(newest[-1]["tradeId"]) - 1
    assert len(page) == 100
    by_time = rows(okx, "market/history-trades", instId=BTC, type="2", after=newest[-1]["ts"])
    assert all(int(row["ts"]) < int(newest[-1]["ts"]) for row in by_time)


def test_candles_newest_first_and_only_the_first_is_open(okx: Venue) -> None:
    found = rows(okx, "market/candles", instId=BTC, bar="5m", limit="10")
    assert [row[-1] for row in found] == ["0"] + ["1"] * 9
    times = [int(row[0]) for row in found]
    assert times == sorted(times, reverse=True)
    older = rows(okx, "market/history-candles", instId=BTC, bar="5m", after=found[-1][0])
    assert int(older[0][0]) == times[-1] - 300_000
    newer = rows(okx, "market/candles", instId=BTC, bar="5m", before=found[3][0])
    assert [row[0] for row in newer] == [row[0] for row in found[:3]]


def test_the_closed_candle_is_what_rest_gives_later(okx: Venue) -> None:
    made = okx.markets[0]
    sent: list[Any] = []
    topic = Candlesticks(1, made, "candle1m")
    topic.subscribers[Listener(sent)] = None  # type: ignore[index]
    for event in made.advance(made.now_ms + 130_000):
        if event.trigger in topic.triggers:
            topic.publish(event)
    closed = [row for row in sent if row[-1] == "1"]
    assert len(closed) in (2, 3)
    for row in closed:
        candle = made.candles.current(1, int(row[0]) // 60_000)
        assert row[5] == made.lots_text(candle.volume)
        assert row[4] == made.price_text(candle.close)


class Listener:
    def __init__(self, sent: list[Any]) -> None:
        self._sent = sent

    def send(self, frame: Frame) -> None:
        self._sent.extend(payload(frame)["data"])


def test_refusals(okx: Venue) -> None:
    assert ask(okx, "market/ticker", instId="NO-USDT-SWAP")["code"] == "51001"
    assert ask(okx, "market/ticker")["code"] == "50014"
    assert ask(okx, "market/books", instId=BTC, sz="401")["code"] == "51000"
    assert ask(okx, "market/candles", instId=BTC, bar="7m")["code"] == "51000"
    assert rows(okx, "public/instruments", instType="FUTURES") == []


def test_limits_count_by_endpoint(okx: Venue) -> None:
    charge = okx.dialect.charge
    assert okx.dialect.limits[charge("/api/v5/market/books", {}).limit].weight == 40
    assert okx.dialect.limits[charge("/api/v5/market/tickers", {}).limit].weight == 20
    one, other = (charge("/api/v5/public/funding-rate", {"instId": id_}) for id_ in ("A", "B"))
    assert one.bucket != other.bucket


def test_instruments_state_the_value_of_a_contract(okx: Venue) -> None:
    btc, eth = rows(okx, "public/instruments", instType="SWAP")
    assert (btc["ctVal"], btc["ctType"], btc["lotSz"]) == ("0.01", "linear", "0.01")
    assert (eth["ctVal"], eth["settleCcy"], eth["uly"]) == ("0.1", "USDT", "ETH-USDT")
