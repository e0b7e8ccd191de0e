"""Trades into messages."""

import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recording import BTC, Recording
from workers.collector.continuity.gaps import Mark
from workers.collector.events import Print
from workers.collector.trades.flow import NumberedFlow
from workers.collector.trades.numbers import NumberLine, Ranges
from workers.collector.trades.trades import Trades


@pytest.fixture
def recording() -> Recording:
    recording = Recording()
    recording.intake.route(
        Print, Trades(recording.publishing, dense=False, large={"default": 0.2, BTC: 0.15}).take
    )
    return recording


def trade(trade_id: str = "1", **changes: Any) -> Print:
    return Print("BTC", trade_id, 100.0, 2.0, "buy", 5)._replace(**changes)


def test_a_trade_becomes_a_fact_in_base_units(recording: Recording) -> None:
    recording.intake.on_events([trade()], 7)
    assert recording.bodies() == [
        {"exchange": "x", "symbol": BTC, "id": "1", "price": 100.0, "amount": 0.002, "side": "buy"}
        | {"timestamp": 5, "received_at": 7, "source": "stream", "fills": 1, "large": True}
    ]
    assert recording.facts[0].key == "1"
    last = recording.parts.last
    assert last is not None
    assert last.value == 100.0


def test_a_trade_that_comes_twice_goes_out_once(recording: Recording) -> None:
    recording.intake.on_events([trade("1"), trade("2"), trade("1")], 7)
    assert [body["id"] for body in recording.bodies()] == ["1", "2"]
    assert recording.ledger["trades"].deduplicated == 1


def test_ids_are_remembered_over_a_removal(recording: Recording) -> None:
    recording.intake.on_events([trade("1")], 7)
    recording.intake.set_markets([])
    recording.intake.on_events([trade("2")], 7)
    recording.intake.set_markets([recording.market])
    recording.intake.on_events([trade("1"), trade("3")], 7)
    assert [body["id"] for body in recording.bodies()] == ["1", "3"]
    assert recording.intake.unwanted == 1


@pytest.mark.parametrize(
    "bad",
    [
        trade(price=0.0),
        trade(price=float("nan")),
        trade(size=-1.0),
        trade(side="both"),
        trade(""),
        trade(timestamp=-1),
    ],
)
def test_what_does_not_validate_is_counted_and_set_aside(recording: Recording, bad: Print) -> None:
    recording.intake.on_events([bad, trade("good")], 7)
    assert [body["id"] for body in recording.bodies()] == ["good"]
    assert recording.ledger["trades"].invalid == 1
    assert recording.quarantine.total == 1


def test_a_trade_is_large_by_its_symbols_threshold(recording: Recording) -> None:
    recording.intake.on_events([trade("1", size=1.4), trade("2", size=1.6)], 7)
    assert [body["large"] for body in recording.bodies()] == [False, True]


@pytest.fixture
def dense(recording: Recording) -> Trades:
    trades = Trades(recording.publishing, dense=True)
    recording.intake.route(Print, trades.take)
    return trades


def holes(trades: Trades) -> list[tuple[int, int]]:
    flow = trades.flow(BTC)
    assert isinstance(flow, NumberedFlow)
    return flow.line.holes.stretches


def ids(recording: Recording) -> list[str]:
    return [body["id"] for body in recording.bodies()]


def test_a_missing_number_is_told_at_once_and_taken_when_it_comes(
    recording: Recording, dense: Trades
) -> None:
    told: list[Any] = []
    dense.on_jump = lambda *jump: told.append(jump)
    recording.intake.on_events([trade("7"), trade("8", timestamp=6), trade("11", timestamp=9)], 7)
    assert told == [(BTC, ("8", 6), "sequence")]
    assert holes(dense) == [(9, 10)]
    page = [trade("9"), trade("8"), trade("10"), trade("11")]
    assert len(dense.refill(page, recording.parts)) == 2
    assert holes(dense) == []
    assert ids(recording) == ["7", "8", "11", "9", "10"]
    assert [b["source"] for b in recording.bodies()] == ["stream"] * 3 + ["backfill"] * 2
    assert dense.flow(BTC).last == ("11", 9)


def test_fills_of_one_order_cover_all_their_numbers(recording: Recording, dense: Trades) -> None:
    recording.intake.on_events([trade("5"), trade("9", fills=4), trade("12", fills=2)], 7)
    assert holes(dense) == [(10, 10)]
    found = [trade(str(number)) for number in range(5, 13)]
    assert len(dense.refill(found, recording.parts)) == 1
    assert ids(recording) == ["5", "9", "12", "10"]


def test_what_happens_while_a_symbol_is_not_collected_is_not_missing(
    recording: Recording, dense: Trades
) -> None:
    recording.intake.on_events([trade("5")], 7)
    dense.flow(BTC).leave()
    recording.intake.on_events([trade("5"), trade("90"), trade("92")], 7)
    assert holes(dense) == [(91, 91)]
    assert ids(recording) == ["5", "90", "92"]


def test_a_run_goes_on_where_the_one_before_ended(recording: Recording, dense: Trades) -> None:
    dense.flow(BTC).resume(Mark("5", 3))
    recording.intake.on_events([trade("5"), trade("8")], 7)
    assert holes(dense) == [(6, 7)]
    assert ids(recording) == ["8"]


@given(st.lists(st.integers(1, 30), max_size=40))
def test_holes_are_exactly_the_numbers_that_never_came(numbers: list[int]) -> None:
    line, seen = NumberLine(), set[int]()
    for number in numbers:
        assert line.take(number, number) == (number not in seen)
        seen.add(number)
    missing = set(range(min(seen), max(seen))) - seen if seen else set()
    assert {n for start, end in line.holes.stretches for n in range(start, end + 1)} == missing
    assert len(line.holes) == len(missing)


STRETCH = st.tuples(st.integers(0, 30), st.integers(0, 8))


@given(st.lists(st.tuples(st.booleans(), STRETCH), max_size=30))
def test_ranges_are_sets_of_numbers_in_as_few_stretches_as_can_be(
    steps: list[tuple[bool, tuple[int, int]]],
) -> None:
    ranges, model = Ranges(), set[int]()
    for adds, (first, length) in steps:
        stretch = set(range(first, first + length + 1))
        if adds:
            ranges.add(first, first + length)
            model |= stretch
        else:
            removed = ranges.remove(first, first + length)
            assert {n for a, b in removed for n in range(a, b + 1)} == model & stretch
            model -= stretch
    stretches = ranges.stretches
    assert {n for a, b in stretches for n in range(a, b + 1)} == model
    assert all(one[1] + 1 < two[0] for one, two in pairwise(stretches))


def test_what_was_given_up_is_taken_when_it_comes_after_all() -> None:
    line = NumberLine()
    line.take(5, 5)
    line.take(9, 9)
    line.give_up(0, 7)
    assert line.holes.stretches == [(8, 8)]
    assert [line.take(6, 6), line.take(6, 6), line.take(5, 5)] == [True, False, False]


def test_a_run_that_goes_on_looks_for_nothing_below_its_start() -> None:
    line = NumberLine(50)
    assert not line.take(49, 49)
    assert line.take(52, 52)
    assert line.holes.stretches == [(51, 51)]


def test_many_thousand_drops_cost_no_time() -> None:
    """Each second one of 20,000, which no two stretches can stand for."""
    line = NumberLine()
    began = time.perf_counter()
    for number in range(20_000):
        line.take(number, number)
    for number in range(0, 20_000, 2):
        line.lose(number, number)
    for number in range(0, 20_000, 2):
        assert line.take(number, number)
    assert not line.holes
    assert time.perf_counter() - began < 2


def test_a_number_that_is_none_is_set_aside(recording: Recording, dense: Trades) -> None:
    recording.intake.on_events([trade("x7"), trade("8")], 7)
    assert ids(recording) == ["8"]
    assert recording.ledger["trades"].invalid == 1
