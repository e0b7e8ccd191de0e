"""Candles: when they are closed, their order, corrections, what is fetched and what is missing."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from shared.config import Collection
from shared.kinds import CANDLE, OPEN_CANDLE
from shared.messages import Ohlcv
from tests.candles import MINUTE, T0, World, start
from tests.recording import BTC
from workers.collector.candles.questions import MOST_CHECKS, CandleQuestions
from workers.collector.candles.series import CandleSeries


@pytest.fixture
def world() -> World:
    return World()


def test_the_venues_flag_closes_a_candle_at_once(world: World) -> None:
    world.frame(0, 11, closed=False)
    world.frame(0, 12, closed=True)
    assert world.closed() == [(0, 0, 12)]
    fact = world.facts[-1]
    assert (fact.kind, fact.tail, fact.key) == (CANDLE, "1m", f"1m:{start(0)}:0")


def test_without_a_flag_the_next_candle_closes_the_one_before(world: World) -> None:
    world.frame(0, 11)
    world.frame(0, 12)
    assert world.closed() == []
    world.clock.elapsed_s = 60
    world.frame(1, 13)
    assert world.closed() == [(0, 0, 12)]


async def test_where_nothing_follows_rest_closes_it_two_seconds_after_its_end(
    world: World,
) -> None:
    world.frame(0, 11)
    world.has(0, 12)
    await world.until(1 + 1.9 / 60, step_s=0.1)
    assert world.asked == []
    await world.until(1 + 6.2 / 60, step_s=0.1)
    assert world.closed() == [(0, 0, 12)]
    assert world.bodies()[-1]["source"] == "backfill"


async def test_a_flag_that_got_lost_is_made_up_for_by_rest_and_not_guessed(world: World) -> None:
    world.frame(0, 11, closed=False)
    world.frame(1, 13, closed=False)
    assert world.closed() == []
    world.has(0, 12)
    await world.until(1.2)
    assert world.closed() == [(0, 0, 12)]


async def test_rest_is_believed_by_the_venues_clock(world: World) -> None:
    """Its clock is 30 s behind ours: what ended by our clock has not ended there."""
    world.frame(0, 11, timestamp=world.clock.now_ms() - 30_000)
    world.has(0, 12)
    await world.until(1.4)
    assert world.closed() == []
    await world.until(1.7)
    assert world.closed() == [(0, 0, 12)]


def test_the_same_values_again_are_nothing_and_other_values_a_revision(world: World) -> None:
    world.frame(0, 11, closed=True)
    world.clock.elapsed_s = 61
    world.frame(0, 11, closed=True)
    world.frame(0, 12, closed=True)
    world.frame(0, 12, closed=True)
    world.frame(0, 13, closed=True, volume=3.0)
    assert world.closed() == [(0, 0, 11), (0, 1, 12), (0, 2, 13)]
    assert world.ledger[CANDLE.label].deduplicated == 2
    assert len({fact.key for fact in world.facts}) == 3


def test_a_late_frame_of_before_the_end_corrects_nothing(world: World) -> None:
    world.frame(0, 11)
    old = world.candle(0, 9)
    world.clock.elapsed_s = 61
    world.frame(1, 12)
    world.intake.on_events([old], world.clock.now_ms())
    world.frame(0, 8, closed=False)
    assert world.closed() == [(0, 0, 11)]
    assert world.ledger[CANDLE.label].deduplicated == 2


async def test_rest_confirms_what_was_closed_and_publishes_what_changed(world: World) -> None:
    world.frame(0, 11)
    world.has(0, 11)
    world.has(1, 12)
    await world.until(1)
    world.frame(1, 12)
    await world.until(1.3)
    assert world.closed() == [(0, 0, 11)]
    assert len(world.asked) == 1
    await world.until(2)
    world.frame(2, 13)
    world.has(1, 12, volume=5.0)
    await world.until(2.3)
    assert world.closed() == [(0, 0, 11), (1, 0, 12), (1, 1, 12)]
    assert world.bodies()[-1]["volume"] == 5.0
    assert world.candles.counts["corrections"] == 1


async def test_what_is_missing_between_is_fetched_and_goes_out_first(world: World) -> None:
    world.frame(0, 10, closed=True)
    for minute, close in ((1, 11), (2, 12), (3, 13)):
        world.has(minute, close)
    world.clock.elapsed_s = 240
    world.frame(3, 13, closed=True)
    assert world.closed() == [(0, 0, 10)]
    await world.until(4.2)
    assert world.closed() == [(0, 0, 10), (1, 0, 11), (2, 0, 12), (3, 0, 13)]
    sources = [body["source"] for body in world.bodies()]
    assert sources == ["stream", "backfill", "backfill", "stream"]
    assert world.missing == []


async def test_what_the_venue_leaves_out_is_told_and_not_invented(world: World) -> None:
    world.frame(0, closed=True)
    world.has(3)
    world.clock.elapsed_s = 300
    world.frame(4, closed=True)
    await world.until(5.2)
    assert [minute for minute, _, _ in world.closed()] == [0, 3, 4]
    assert world.missing == [(1, 2)]


async def test_a_venue_that_never_answers_holds_up_later_candles_for_a_while_only(
    world: World,
) -> None:
    world.frame(0, closed=True)
    world.away = True
    world.clock.elapsed_s = 240
    world.frame(3, closed=True)
    await world.until(4.1)
    assert [minute for minute, _, _ in world.closed()] == [0]
    await world.until(7)
    assert [minute for minute, _, _ in world.closed()] == [0, 3]
    assert world.missing == [(1, 2)]
    assert world.candles.counts["failures"] >= 6
    assert len(world.asked) < 20


async def test_a_silent_market_is_not_asked_about_all_the_time(world: World) -> None:
    world.frame(0)
    await world.until(60, step_s=5)
    assert len(world.asked) < 120


async def test_a_cut_makes_what_is_known_of_the_open_candle_worthless(world: World) -> None:
    world.frame(0, 11)
    world.candles.lost(BTC, "1m")
    world.frame(1, 13)
    assert world.closed() == []
    world.has(0, 12)
    await world.until(1.2)
    assert world.closed() == [(0, 0, 12)]


async def test_a_restart_goes_on_after_the_last_closed_candle(world: World) -> None:
    world.frame(0, closed=True)
    world.frame(1, closed=False)
    assert world.candles.last_closed() == {BTC: {"1m": start(0)}}
    after = World()
    after.clock.elapsed_s = 150
    after.candles.resume(BTC, "1m", start(0))
    for minute in range(2):
        after.has(minute)
    await after.until(2.6)
    assert [minute for minute, _, _ in after.closed()] == [1]
    assert after.bodies()[0]["source"] == "backfill"


async def test_more_than_a_page_is_fetched_page_by_page(world: World) -> None:
    world.candles.resume(BTC, "1m", start(-1))
    for minute in range(200):
        world.has(minute)
    world.clock.elapsed_s = 200 * 60
    await world.until(200.2)
    assert [minute for minute, _, _ in world.closed()] == list(range(200))
    assert max(limit for _, limit in world.asked) == 50


async def test_what_passes_while_a_symbol_is_not_collected_is_not_missing(world: World) -> None:
    world.frame(0, 11, closed=True)
    world.frame(1, 12, closed=False)
    world.candles.set_symbols([])
    await world.until(5)
    assert world.asked == []
    world.candles.set_symbols([world.parts])
    world.frame(0, 11, closed=True)
    world.frame(0, 9, closed=False)
    await world.until(5.1)
    world.frame(5, 13, closed=True)
    assert world.opened() == []
    assert world.closed() == [(0, 0, 11), (5, 0, 13)]
    assert world.missing == []


async def test_an_open_candle_goes_out_once_a_second_with_its_newest_frame(world: World) -> None:
    for close in range(10, 20):
        world.frame(0, close, closed=False)
    assert world.facts == []
    await world.until(0.9 / 60, step_s=0.25)
    assert world.opened() == [19]
    world.frame(0, 21, closed=False)
    await world.until(2 / 60, step_s=0.25)
    assert world.opened() == [19, 21]
    assert world.facts[-1].kind is OPEN_CANDLE
    counts = world.ledger[OPEN_CANDLE.label]
    assert (counts.received, counts.conflated) == (11, 9)


async def test_a_busy_candle_goes_out_no_faster(world: World) -> None:
    for quarter in range(20):
        world.frame(0, 10 + quarter, closed=False)
        await world.until((quarter + 1) / 4 / 60, step_s=0.25)
    assert 4 <= len(world.opened()) <= 5


async def test_every_frame_of_an_open_candle_is_counted(world: World) -> None:
    for close in (11, 12):
        world.frame(0, close)
    world.clock.elapsed_s = 60
    world.frame(1)
    world.frame(1, closed=True)
    world.clock.elapsed_s = 120
    world.frame(2)
    world.candles.lost(BTC, "1m")
    await world.until(2.01)
    counts = world.ledger[OPEN_CANDLE.label]
    assert counts.received == 4
    assert counts.conflated == 4
    assert [minute for minute, _, _ in world.closed()] == [0, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 10.5},
        {"high": 9.5},
        {"close": float("nan")},
        {"open": 0.0},
        {"volume": -1.0},
        {"volume": float("inf")},
    ],
)
async def test_an_invalid_candle_is_set_aside_and_fetched(world: World, wrong: Any) -> None:
    world.frame(0, closed=True, **wrong)
    assert world.closed() == []
    assert world.ledger[CANDLE.label].invalid == 1
    world.has(0, 12)
    await world.until(1.2)
    assert world.closed() == [(0, 0, 12)]


@pytest.mark.parametrize(("contracts", "volume"), [(True, 0.002), (False, 2.0)])
async def test_contracts_become_base_units_in_frames_and_by_rest(
    contracts: bool, volume: float
) -> None:
    world = World(contracts=contracts)
    world.frame(0, closed=True)
    world.has(0)
    world.has(1)
    await world.until(2.2)
    assert [body["volume"] for body in world.bodies()] == [volume, volume]
    assert world.candles.counts["corrections"] == 0


def test_the_model_refuses_what_is_no_candle(world: World) -> None:
    world.frame(0, closed=True)
    body = world.bodies()[0]
    assert Ohlcv.model_validate(body).rev == 0
    wrong: list[dict[str, Any]] = [
        {"end": body["end"] + 1},
        {"timeframe": "3m"},
        {"closed": False, "rev": 1},
        {"rev": -1},
        {"low": 10.1},
        {"high": 9.9},
    ]
    for changes in wrong:
        with pytest.raises(ValidationError):
            Ohlcv.model_validate(body | changes)


def test_a_timeframe_stands_in_the_configuration_once() -> None:
    assert Collection().timeframes == ("1m",)
    with pytest.raises(ValidationError):
        Collection(timeframes=("1m", "1m"))
    with pytest.raises(ValidationError):
        Collection.model_validate({"timeframes": ["2m"]})


async def test_fills_go_before_checks_and_checks_are_bounded() -> None:
    asked: list[str] = []

    async def ask(series: CandleSeries) -> None:
        asked.append(series.symbol)

    questions = CandleQuestions(ask)
    series = [CandleSeries(str(number), "1m", MINUTE) for number in range(MOST_CHECKS + 10)]
    for one in series:
        questions.check(one)
        questions.check(one)
    assert questions.skipped == 20
    late = CandleSeries("fill", "1m", MINUTE)
    questions.fill(late)
    task = asyncio.create_task(questions.run())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert asked[0] == "fill"
    assert asked[1:] == [one.symbol for one in series[:MOST_CHECKS]]


def test_who_asks_when_is_spread(world: World) -> None:
    checks = set()
    for number in range(100):
        series = CandleSeries(f"S{number}/USDT:USDT", "1m", MINUTE, due=T0)
        world.candles._filler.look([series])
        assert series.check_at is not None
        checks.add((series.check_at - start(1)) // 1000)
    assert min(checks) >= 4
    assert max(checks) < 15
    assert len(checks) >= 9


async def test_where_none_are_streamed_rest_brings_each_closed_candle() -> None:
    world = World(streamed=False)
    assert world.candles.awaited() == {BTC: "no candle yet: 1m"}
    for minute in range(-1, 4):
        world.has(minute, 10 + minute)
    await world.until(3.2)
    assert world.closed() == [(0, 0, 10), (1, 0, 11), (2, 0, 12)]
    assert world.candles.awaited() == {}
    assert world.opened() == []
    assert len(world.asked) <= 4  # one a candle, and the one that found the first of them


async def test_a_candle_that_rest_does_not_give_when_it_is_due_is_told() -> None:
    world = World(streamed=False)
    for minute in range(4):
        world.has(minute)
    await world.until(2.2)
    world.away = True
    await world.until(3.5)
    assert world.candles.awaited() == {BTC: "no candle yet: 1m"}
    world.away = False
    world.has(4)
    await world.until(5.2)
    assert world.candles.awaited() == {}
    assert [minute for minute, *_ in world.closed()] == [0, 1, 2, 3, 4]


async def test_streamed_candles_are_not_asked_for_before_they_are_subscribed_to() -> None:
    world = World()
    world.has(0)
    await world.until(3)
    assert world.asked == []
    assert world.candles.awaited() == {}
