"""What collection tasks hand out of prices, books and slow values, and what they ask for."""

import asyncio
from collections import Counter

import pytest

from shared.config import MaxAge
from shared.messages import OpenInterest, Orderbook, PredictedFunding, Ticker
from tests.desk import Desk, task
from tests.recording import BTC
from workers.collector.books.orderbook import OrderBook
from workers.collector.catalogue.row import BulkCall
from workers.collector.client import Answer
from workers.collector.events import RestUpdate


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_hundred_tickers_of_a_live_symbol_cost_no_request(desk: Desk) -> None:
    desk.have(*(task(task_id=f"t{n}") for n in range(100)))
    await desk.run(10, desk.quote)
    results = desk.results()
    counts = Counter(one.task_id for one in results)
    assert len(counts) == 100
    assert set(counts.values()) <= {9, 10, 11}
    assert {one.source for one in results} == {"stream"}
    result = results[-1]
    assert isinstance(result.data, Ticker)
    assert (result.data.bid, result.symbol, result.interval) == (100.0, BTC, 1.0)
    assert result.at - result.data.received_at <= 1000
    assert desk.client.asked == []
    assert desk.tasks.counts() == {
        "running": 100,
        "failing": {},
        "runs": len(results),
        "late": 0,
        "widened": 1,
    }


async def test_a_hundred_tickers_of_a_silent_symbol_share_a_request_a_second(desk: Desk) -> None:
    desk.have(*(task(task_id=f"t{n}", interval=1 + n % 3) for n in range(100)))
    await desk.run(12)
    assert 10 <= len(desk.client.asked) <= 13
    counts = Counter((one.task_id, one.interval) for one in desk.results())
    assert len(counts) == 100
    for (_, interval), count in counts.items():
        assert 12 // interval - 2 <= count <= 12 // interval + 1
    for one in desk.results():
        assert isinstance(one.data, Ticker)
        assert one.source == "rest"
        assert one.at - one.data.received_at <= 1500 * one.interval
    assert desk.tasks.counts()["running"] == 100


async def test_intervals_below_a_second_ask_no_more_often_than_each_second(desk: Desk) -> None:
    desk.have(task(interval=0.1))
    await desk.run(10)
    assert 9 <= len(desk.client.asked) <= 11
    before = len(desk.results())
    await desk.run(3, desk.quote)
    assert len(desk.results()) - before >= 25  # each of them has the stream's latest


async def test_a_stream_that_is_back_ends_the_questions(desk: Desk) -> None:
    desk.have(*(task(task_id=f"t{n}") for n in range(30)))
    await desk.run(5)
    asked = len(desk.client.asked)
    assert asked >= 4
    await desk.run(4, desk.quote)
    asked_since = len(desk.client.asked) - asked
    assert asked_since <= 3
    await desk.run(5, desk.quote)
    assert len(desk.client.asked) == asked + asked_since
    assert desk.results()[-1].source == "stream"


async def test_a_stream_that_falls_silent_is_never_told_as_fresh(desk: Desk) -> None:
    desk.have(task(), task(task_id="slow", interval=4))
    await desk.run(5, desk.quote)
    last = desk.now()
    desk.client.down = True
    await desk.run(20)
    assert all(one.at - last <= 1000 for one in desk.results("t"))
    assert all(one.at - last <= 4000 for one in desk.results("slow"))
    assert set(desk.failing()) == {"t", "slow"}


async def test_a_venue_that_fails_is_asked_less_and_the_task_says_why(desk: Desk) -> None:
    desk.client.down = True
    desk.have(task(), task("orderbook", "book"), task("funding", "rate"))
    await desk.run(40)
    assert desk.results() == []
    assert desk.failing() == {
        "t": "away",
        "book": "no valid book",
        "rate": "the venue has said nothing of it yet",
    }
    assert 5 <= len(desk.client.asked) <= 9  # at 1, 1, 2, 4 and then 8 seconds from each other
    desk.client.down = False
    await desk.run(10)
    assert "t" not in desk.failing()
    assert desk.results("t")[-1].source == "rest"


async def test_where_the_venue_is_not_asked_in_time_the_task_fails(desk: Desk) -> None:
    """Its questions wait for the budget, say."""
    never = asyncio.Event()

    async def fetch(_call: BulkCall, _symbol: str) -> Answer:
        await never.wait()
        raise AssertionError

    desk.client.fetch = fetch
    desk.have(task())
    await desk.run(25)
    assert desk.failing() == {}
    assert desk.tasks.counts()["late"] >= 20
    await desk.run(10)
    assert desk.failing()["t"].startswith("the venue was not asked within")


async def test_an_order_book_has_the_levels_that_were_asked_for(desk: Desk) -> None:
    book = OrderBook()
    bids = [[100.0 - n, 2.0] for n in range(30)]
    book.replace(bids, [[101.0 + n, 3.0] for n in range(30)])
    book.at = desk.clock.monotonic()
    desk.parts.book = book
    desk.have(task("orderbook", "deep", parameters={"depth": 25}), task("orderbook", "plain"))
    await desk.run(2)
    deep, plain = desk.results("deep")[-1].data, desk.results("plain")[-1].data
    assert isinstance(deep, Orderbook)
    assert isinstance(plain, Orderbook)
    assert (len(deep.bids), len(deep.asks), len(plain.bids)) == (25, 25, 20)
    assert deep.bids[0] == [100.0, 0.002]  # base units
    assert desk.results("deep")[-1].source == "stream"
    desk.clock.elapsed_s += MaxAge().orderbook_s
    before = len(desk.results())
    await desk.run(2)
    assert len(desk.results()) == before
    assert desk.failing()["deep"].startswith("the order book is 3")
    desk.parts.book = None
    await desk.run(2)
    assert desk.failing()["plain"] == "no valid book"
    assert desk.client.asked == []


async def test_slow_values_are_the_last_that_were_heard(desk: Desk) -> None:
    desk.have(task("funding", "f", 5), task("open_interest", "i", 5))
    await desk.run(2)
    said = RestUpdate(BTC, funding_rate=0.0001, open_interest=1500.0, timestamp=7)
    desk.overviews.apply(desk.parts, said, desk.clock.monotonic())
    await desk.run(5)
    rate, interest = desk.results("f")[-1], desk.results("i")[-1]
    assert isinstance(rate.data, PredictedFunding)
    assert isinstance(interest.data, OpenInterest)
    assert (rate.data.rate, interest.data.amount) == (0.0001, 1.5)
    assert (rate.source, interest.source) == ("cache", "cache")
    desk.clock.elapsed_s += MaxAge().funding_s
    await desk.run(10)
    assert set(desk.failing()) == {"f", "i"}
    assert desk.failing()["f"].startswith("what the venue said is 9")
    assert desk.client.asked == []
