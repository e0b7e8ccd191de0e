"""What collection tasks hand out of trades and candles."""

from typing import Any

import pytest

from shared.messages import Ohlcv, TaskResult, Trade
from tests.desk import MINUTE_MS, Desk, candle, task
from workers.collector.catalogue.row import StreamKind


@pytest.fixture
def desk() -> Desk:
    return Desk()


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
