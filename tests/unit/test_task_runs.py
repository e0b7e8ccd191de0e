"""What collection tasks hand out, from what, and what they ask the venue for."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, get_args

import pytest

from shared.collection import CollectionTask, TaskKind
from shared.config import MaxAge
from shared.errors import NetworkError
from shared.messages import (
    Ohlcv,
    OpenInterest,
    Orderbook,
    PredictedFunding,
    TaskResult,
    Ticker,
    Trade,
)
from tests.recording import BTC, Recording
from tests.scheduling import let_run
from workers.collector.books.orderbook import OrderBook
from workers.collector.candles.candles import Candles
from workers.collector.catalogue.row import BulkCall, CandleFeed, StreamKind
from workers.collector.client import Answer, Market
from workers.collector.events import Candle, Print, Quote, RestUpdate
from workers.collector.overview.funding import PredictedFundings
from workers.collector.overview.interest import OpenInterests
from workers.collector.overview.overview import Overviews
from workers.collector.quotes import Quotes
from workers.collector.schedule.schedule import Schedule
from workers.collector.schedule.tightness import Factors
from workers.collector.tasks.tasks import Sources, Tasks
from workers.collector.trades.trades import Trades

ETH = "ETH/USDT:USDT"
MINUTE_MS = 60_000


class Client:
    """REST of a venue that answers at once, or fails."""

    def __init__(self, recording: Recording) -> None:
        self.asked: list[str] = []
        self.down = False
        self._clock = recording.clock

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise NetworkError("away")

    async def fetch(self, call: BulkCall, symbol: str) -> Answer:
        self._ask(f"{call.name} {symbol}")
        price = 100.0 + len(self.asked)
        update = RestUpdate(symbol, bid=price, ask=price + 0.5, last=price)
        return Answer(self._clock.monotonic(), [update])

    async def fetch_candles(
        self, symbol: str, timeframe: str, since: int, limit: int
    ) -> tuple[float, list[Candle]]:
        self._ask(f"{timeframe} candles of {symbol}, {limit}")
        now = self._clock.now_ms()
        first = -(-since // MINUTE_MS) * MINUTE_MS
        starts = range(first, min(now, first + limit * MINUTE_MS), MINUTE_MS)
        return self._clock.monotonic(), [candle(start) for start in starts]


class Desk(Recording):
    """The tasks of a collector that has BTC, and a schedule which the test lets run."""

    def __init__(self) -> None:
        super().__init__()
        client: Any = Client(self)
        self.client = client
        self.looks = 0
        self.factors = Factors()
        gauge: Any = self
        self.schedule = Schedule(gauge, self.clock)
        listeners = (
            OpenInterests(self.publishing).heard,
            PredictedFundings(self.publishing, MaxAge()).heard,
        )
        self.overviews = Overviews(self.publishing, MaxAge(), listeners)
        self.trades = Trades(self.publishing, dense=False)
        self.candles = Candles(
            CandleFeed(page=1000), self.publishing, self.client, logging.getLogger("test")
        )
        self.intake.route(Quote, Quotes(self.publishing).take)
        self.intake.route(Print, self.trades.take)
        self.intake.route(Candle, self.candles.take)
        self.intake.on_awaited = lambda kind, _time, parts: parts.waiting.discard(kind)
        sources = Sources(
            parts=lambda: self.intake.parts,
            client=self.client,
            heard=self.overviews.apply,
            look_for_trades=self.look,
            trades=self.trades,
            candles=self.candles,
            page=1000,
            timeframes=("1m",),
            max_age=MaxAge(),
        )
        self.tasks = Tasks(sources, self.publishing, self.schedule)
        self._trade_number = 0

    def feel(self) -> Factors:
        return self.factors

    async def look(self, symbol: str) -> None:
        """What the stream did not bring."""
        self.looks += 1
        if self.client.down:
            raise NetworkError("away")
        self.trades.refill([self._print()], self.parts)

    def have(self, *tasks: CollectionTask) -> None:
        self.tasks.set_tasks(tasks, self.intake.parts)

    def quote(self) -> None:
        self.intake.on_events([Quote("BTC", 100.0, 100.5, 1.0, 1.0, None, None)], self.now())

    def trade(self, count: int = 1) -> None:
        for _ in range(count):
            self.intake.on_events([self._print()], self.now())

    def _print(self) -> Print:
        self._trade_number += 1
        return Print("BTC", f"t{self._trade_number}", 100.0, 1.0, "buy", self.now())

    def now(self) -> int:
        return self.clock.now_ms()

    async def run(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Let time pass, with `each` done every fifth of a second."""
        await let_run(self.schedule, self.clock, seconds, each)

    def results(self, task_id: str = "") -> list[TaskResult]:
        bodies = [fact.body for fact in self.facts if fact.kind.name == "task"]
        results = [TaskResult.model_validate_json(body) for body in bodies]
        return [one for one in results if task_id in ("", one.task_id)]

    def failing(self) -> dict[str, str]:
        told: dict[str, str] = self.tasks.counts()["failing"]
        return told


@pytest.fixture
def desk() -> Desk:
    return Desk()


def task(kind: str = "ticker", task_id: str = "t", interval: float = 1, **more: Any) -> Any:
    fields = {"exchange": "x", "symbol": BTC, "kind": kind, "interval": interval}
    return CollectionTask.model_validate(fields | {"task_id": task_id} | more)


def candle(start: int, *, closed: bool | None = None, volume: float = 1.0) -> Candle:
    return Candle("BTC", "1m", start, 1.0, 2.0, 1.0, 1.5, volume, closed, None)


def test_the_kinds_of_tasks_and_of_results_are_the_same() -> None:
    annotation = TaskResult.model_fields["kind"].annotation
    assert set(get_args(annotation)) == set(get_args(TaskKind))


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


async def test_where_things_are_tight_results_come_less_often_and_later_again(desk: Desk) -> None:
    desk.factors = Factors(process=4)
    desk.have(task())
    await desk.run(16, desk.quote)
    assert 4 <= len(desk.results()) <= 5
    assert desk.tasks.counts()["widened"] == 4
    assert desk.tasks.counts()["late"] >= 9
    desk.factors = Factors()
    before = len(desk.results())
    await desk.run(10, desk.quote)
    assert 8 <= len(desk.results()) - before <= 11


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


async def test_new_trades_are_handed_out_once_the_newest_of_them(desk: Desk) -> None:
    desk.have(task("trades", "all"), task("trades", "some", 2, parameters={"limit": 3}))
    desk.trade(5)
    await desk.run(1.5)
    desk.trade(7)
    await desk.run(4)
    assert _ids(desk.results("all")) == [_named(1, 5), _named(6, 12)]
    first, second = desk.results("some")
    assert (_ids([first]), first.skipped) == ([_named(3, 5)], 0)
    assert (_ids([second]), second.skipped) == ([_named(10, 12)], 4)
    assert {one.source for one in desk.results()} == {"stream"}
    assert desk.tasks.counts()["running"] == 2
    assert desk.looks == 0


async def test_trades_come_by_rest_while_their_stream_is_away(desk: Desk) -> None:
    desk.have(task("trades"), task("trades", "too", 3))
    desk.trade()
    await desk.run(2)
    desk.parts.waiting.add(StreamKind.TRADES)
    await desk.run(3)
    assert desk.looks == 0  # it may be back any moment
    assert desk.failing()["t"] == "the stream of trades is not up"
    await desk.run(12)
    assert 8 <= desk.looks <= 12
    rest = [one for one in desk.results("t") if one.source == "rest"]
    assert len(rest) >= desk.looks - 2
    assert isinstance(rest[0].data, list)
    assert rest[0].data[0].source == "backfill"
    assert desk.failing() == {}
    desk.client.down = True
    await desk.run(12)
    assert desk.failing()["t"] == "away"
    desk.parts.waiting.discard(StreamKind.TRADES)
    await desk.run(12)
    looks = desk.looks
    await desk.run(20)
    assert desk.looks == looks
    assert desk.failing() == {}


async def test_candles_that_are_collected_are_asked_for_once(desk: Desk) -> None:
    """What came before the task, and never again."""
    desk.clock.elapsed_s = 30
    tasks = [task("ohlcv", f"c{n}", parameters={"timeframe": "1m", "limit": 5}) for n in range(3)]
    desk.have(*tasks)
    await desk.run(3)
    assert len(desk.client.asked) == 1
    start = desk.now() // MINUTE_MS * MINUTE_MS
    (result,) = desk.results("c0")
    assert _starts(result) == [start - n * MINUTE_MS for n in (5, 4, 3, 2, 1)]
    assert result.source == "rest"

    def stream(end: int) -> None:
        desk.intake.on_events([candle(end - MINUTE_MS, closed=True)], end + 10)

    for _ in range(2):
        end = (desk.now() // MINUTE_MS + 1) * MINUTE_MS
        await desk.run((end - desk.now()) / 1000 + 0.1)
        stream(end)
        await desk.run(2)
    assert [_starts(one) for one in desk.results("c1")][1:] == [[start], [start + MINUTE_MS]]
    assert desk.results("c1")[-1].source == "stream"
    assert len(desk.client.asked) == 1
    assert desk.tasks.counts()["running"] == 3
    await desk.run(300, desk.quote)
    assert desk.failing()["c0"] == "no candle closed when one was due"


async def test_a_later_task_that_takes_more_gets_more_and_the_others_get_nothing_twice(
    desk: Desk,
) -> None:
    desk.clock.elapsed_s = 30
    few = task("ohlcv", "few", parameters={"timeframe": "1m", "limit": 2})
    many = task("ohlcv", "many", parameters={"timeframe": "1m", "limit": 30})
    desk.have(few)
    await desk.run(3)
    desk.have(few, many)
    await desk.run(3)
    assert len(desk.client.asked) == 2
    assert [len(_starts(one)) for one in desk.results("few")] == [2]
    assert [len(_starts(one)) for one in desk.results("many")] == [30]


async def test_candles_that_are_not_collected_are_asked_for_when_one_has_closed(
    desk: Desk,
) -> None:
    desk.clock.elapsed_s = 30

    async def fetch(symbol: str, timeframe: str, since: int, limit: int) -> Any:
        desk.client.asked.append((since, limit))
        span = 5 * MINUTE_MS
        first = -(-since // span) * span
        starts = range(first, desk.now(), span)
        rows = [candle(start)._replace(timeframe="5m") for start in starts]
        return desk.clock.monotonic(), rows[:limit]

    desk.client.fetch_candles = fetch
    parameters = {"timeframe": "5m", "limit": 3}
    desk.have(*(task("ohlcv", f"c{n}", 1 + n, parameters=parameters) for n in range(3)))
    await desk.run(600)
    assert len(desk.client.asked) == 3  # before, and soon after the end of each of two
    for n in range(3):
        starts = [start for one in desk.results(f"c{n}") for start in _starts(one)]
        assert starts == sorted(set(starts))
        assert len(starts) == 5
    assert desk.results()[-1].source == "rest"
    assert desk.tasks.counts()["running"] == 3
    for result in desk.results("c0"):
        assert all(one.closed and result.at >= one.end + 2000 for one in _candles(result))


async def test_a_corrected_candle_is_handed_out_again(desk: Desk) -> None:
    desk.clock.elapsed_s = 30
    desk.have(task("ohlcv", parameters={"timeframe": "1m", "limit": 1}))
    await desk.run(2)
    end = (desk.now() // MINUTE_MS + 1) * MINUTE_MS
    await desk.run((end - desk.now()) / 1000 + 0.1)
    for volume in (1.0, 2.0):
        desk.intake.on_events([candle(end - MINUTE_MS, closed=True, volume=volume)], end + 10)
        await desk.run(2)
    *_, first, second = desk.results()
    assert [candle.rev for one in (first, second) for candle in _candles(one)] == [0, 1]
    assert _starts(first) == _starts(second) == [end - MINUTE_MS]


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


async def test_a_task_with_another_content_starts_again_and_one_that_is_gone_ends(
    desk: Desk,
) -> None:
    desk.have(task(), task(task_id="other"))
    await desk.run(3, desk.quote)
    desk.have(task(interval=5), task(task_id="other"))
    before = len(desk.results("t")), len(desk.results("other"))
    await desk.run(10, desk.quote)
    assert 2 <= len(desk.results("t")) - before[0] <= 3
    assert 9 <= len(desk.results("other")) - before[1] <= 11
    assert {one.interval for one in desk.results("t")[before[0] :]} == {5.0}
    runs = desk.tasks.counts()["runs"]
    desk.have(task(task_id="other"))
    count = len(desk.results("t"))
    await desk.run(10, desk.quote)
    assert len(desk.results("t")) == count
    assert desk.tasks.counts()["runs"] >= runs + 9  # which never fall
    desk.have()
    assert desk.tasks.counts() == {}


async def test_a_task_ends_with_its_symbol_and_takes_its_questions_along(desk: Desk) -> None:
    desk.intake.set_markets([desk.market, Market(ETH, "ETH", 1.0)])
    tasks = [task(), task(task_id="eth", symbol=ETH), task("trades", "elsewhere", symbol="SOL")]
    desk.have(*tasks)
    await desk.run(4)
    assert desk.tasks.counts()["running"] == 2
    desk.intake.set_markets([desk.market])
    desk.have(*tasks)
    asked = len([one for one in desk.client.asked if ETH in one])
    assert asked >= 3
    await desk.run(5)
    assert len([one for one in desk.client.asked if ETH in one]) == asked
    assert desk.tasks.counts()["running"] == 1


async def test_a_symbol_that_is_gone_before_its_tasks_is_said(desk: Desk) -> None:
    desk.have(*(task(kind, kind) for kind in ("ticker", "orderbook", "trades", "funding")))
    desk.intake.set_markets([])
    await desk.run(3)
    assert set(desk.failing().values()) == {"its symbol is not collected"}
    assert desk.results() == []


async def test_a_sampled_task_keeps_its_pace_and_all_go_out_as_they_ask(desk: Desk) -> None:
    desk.have(
        task(task_id="s", delivery="sampled", sample_ms=3000),
        task(task_id="l", delivery="lossless"),
        task(task_id="n"),
    )
    await desk.run(12, desk.quote)
    assert 4 <= len(desk.results("s")) <= 5
    kinds = {fact.tail: fact.kind.label for fact in desk.facts if fact.kind.name == "task"}
    assert kinds == {"s": "task.latest", "l": "task", "n": "task.latest"}
    assert {fact.symbol for fact in desk.facts} == {BTC}


async def test_a_heartbeat_names_some_that_fail_and_counts_the_others(desk: Desk) -> None:
    desk.client.down = True
    desk.have(*(task(task_id=f"task-{n}" + 50 * "x") for n in range(30)))
    await desk.run(5)
    told = desk.tasks.counts()
    reasons = list(told["failing"].values())
    assert (told["running"], len(reasons) + told["more_failing"]) == (0, 30)
    assert 6 < len(reasons) < 30
    assert reasons == ["away"] * 5 + [""] * (len(reasons) - 5)
    assert len(str(told)) < 1000


def _ids(results: list[TaskResult]) -> list[list[str]]:
    found = []
    for one in results:
        assert isinstance(one.data, list)
        found.append([row.id for row in one.data if isinstance(row, Trade)])
    return found


def _named(first: int, last: int) -> list[str]:
    return [f"t{n}" for n in range(first, last + 1)]


def _candles(result: TaskResult) -> list[Ohlcv]:
    assert isinstance(result.data, list)
    return [row for row in result.data if isinstance(row, Ohlcv)]


def _starts(result: TaskResult) -> list[int]:
    return [one.start for one in _candles(result)]
