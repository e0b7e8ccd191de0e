"""Trades into messages."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recording import BTC, Recording
from workers.collector.continuity.gaps import Mark
from workers.collector.events import Print
from workers.collector.trades import Flow, Trades


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


def ids(recording: Recording) -> list[str]:
    return [body["id"] for body in recording.bodies()]


def test_a_missing_number_is_told_at_once_and_taken_when_it_comes(
    recording: Recording, dense: Trades
) -> None:
    told: list[Any] = []
    dense.on_jump = lambda symbol, before: told.append((symbol, before))
    recording.intake.on_events([trade("7"), trade("8", timestamp=6), trade("11", timestamp=9)], 7)
    assert told == [(BTC, ("8", 6))]
    assert dense.flow(BTC).holes == [(9, 10)]
    assert dense.refill([trade("9"), trade("8"), trade("10"), trade("11")], recording.parts) == 2
    assert dense.flow(BTC).holes == []
    assert ids(recording) == ["7", "8", "11", "9", "10"]
    assert [b["source"] for b in recording.bodies()] == ["stream"] * 3 + ["backfill"] * 2
    assert dense.flow(BTC).last == ("11", 9)


def test_fills_of_one_order_cover_all_their_numbers(recording: Recording, dense: Trades) -> None:
    recording.intake.on_events([trade("5"), trade("9", fills=4), trade("12", fills=2)], 7)
    assert dense.flow(BTC).holes == [(10, 10)]
    found = [trade(str(number)) for number in range(5, 13)]
    assert dense.refill(found, recording.parts) == 1
    assert ids(recording) == ["5", "9", "12", "10"]


def test_what_happens_while_a_symbol_is_not_collected_is_not_missing(
    recording: Recording, dense: Trades
) -> None:
    recording.intake.on_events([trade("5")], 7)
    dense.leave(BTC)
    recording.intake.on_events([trade("5"), trade("90"), trade("92")], 7)
    assert dense.flow(BTC).holes == [(91, 91)]
    assert ids(recording) == ["5", "90", "92"]


def test_a_run_goes_on_where_the_one_before_ended(recording: Recording, dense: Trades) -> None:
    dense.resume(BTC, Mark("5", 3))
    recording.intake.on_events([trade("5"), trade("8")], 7)
    assert dense.flow(BTC).holes == [(6, 7)]
    assert ids(recording) == ["8"]


@given(st.lists(st.integers(1, 30), max_size=40))
def test_holes_are_exactly_the_numbers_that_never_came(numbers: list[int]) -> None:
    flow, seen = Flow(), list[int]()
    for number in numbers:
        below = bool(seen) and number < seen[0] and number not in seen
        if below:
            continue  # before the first: nobody claims these
        assert flow.take_numbers(number, number) == (number not in seen)
        seen.append(number)
    missing = set(range(seen[0], max(seen))) - set(seen) if seen else set()
    assert {n for start, end in flow.holes for n in range(start, end + 1)} == missing
    assert flow.holes == sorted(flow.holes)


def test_a_number_that_is_none_is_set_aside(recording: Recording, dense: Trades) -> None:
    recording.intake.on_events([trade("x7"), trade("8")], 7)
    assert ids(recording) == ["8"]
    assert recording.ledger["trades"].invalid == 1
