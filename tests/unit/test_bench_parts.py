"""The parts of the benchmark that decide: what counts as lost, which rate is next, what is met."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.latency import Delays, _complaint, quantile
from bench.load import _growing
from bench.report import Bar, Figure, Row, table
from bench.search import Search
from bench.soak import grown, slope_an_hour
from bench.stacks import functions
from bench.tally import Tally, read_batch, read_cryptofeed, read_fleet
from bench.tape import QUOTE, TRADE, Stream, render

SENT = {"S000USDT@bookTicker": 4, "S000USDT@aggTrade": 3}


def tally(quotes: list[int], trades: list[int]) -> Tally:
    made = Tally(read_fleet)
    for number in quotes:
        body = orjson.dumps({"bid": 1_000_000.1 + number})
        made.take("ticker.binance.S000USDT", body)
    for number in trades:
        body = orjson.dumps({"id": str(1_000_000_000 + number)})
        made.take("trades.binance.S000USDT", body)
    return made


def test_a_tally_is_silent_where_each_number_came_once_in_any_order() -> None:
    assert tally([4, 2, 3], [3, 2]).complaint(dict.fromkeys(SENT, 1), SENT) == ""


@pytest.mark.parametrize(
    ("quotes", "trades", "complaint"),
    [
        ([1, 2, 4], [1, 2, 3], "1 lost or conflated, 0 repeated, 0 that nobody sent"),
        ([1, 2, 3, 4], [1, 2, 2, 3], "0 lost or conflated, 1 repeated, 0 that nobody sent"),
        ([1, 2, 3, 4, 5], [1, 2, 3], "0 lost or conflated, 0 repeated, 1 that nobody sent"),
        ([1, 2, 3, 4], [], "3 lost or conflated, 0 repeated, 0 that nobody sent"),
    ],
)
def test_a_tally_says_what_is_wrong(quotes: list[int], trades: list[int], complaint: str) -> None:
    assert tally(quotes, trades).complaint({}, SENT) == complaint


def test_a_peers_messages_are_read_by_what_they_hold() -> None:
    trade = {"symbol": "S007-USDT-PERP", "side": "sell", "id": "1000000012"}
    quote = {"symbol": "S007-USDT-PERP", "bid": 1_000_012.1, "ask": 1_000_012.2}
    assert read_cryptofeed("cryptofeed", orjson.dumps(trade)) == [("S007USDT@aggTrade", 12)]
    assert read_cryptofeed("cryptofeed", orjson.dumps(quote)) == [("S007USDT@bookTicker", 12)]


def test_a_batch_is_read_row_by_row() -> None:
    rows = [{"symbol": "S007/USDT:USDT", "id": str(1_000_000_000 + n)} for n in (4, 5)]
    body = orjson.dumps({"kind": "trades", "rows": rows})
    assert read_batch("lossless.trades.binance", body) == [
        ("S007USDT@aggTrade", 4),
        ("S007USDT@aggTrade", 5),
    ]


def test_a_sample_of_delays_says_what_is_not_in_it() -> None:
    delays = Delays()
    for seq in (5, 6, 9, 9, 8):
        delays.take("trades.x.A", b"{}", {"epoch": "w/1", "seq": seq}, 7.0)
    delays.take("trades.x.A", b"{}", {"epoch": "w/2", "seq": 1}, 7.0)
    assert (delays.lost, delays.repeated) == (2, 2)
    sound = {"lost on the way": 0, "gaps": 0, "conflated": 60}
    assert _complaint(sound, 60_000, 2_000) == ""
    assert _complaint(sound | {"conflated": 61}, 60_000, 2_000) == "61 of 60000 were conflated"
    assert _complaint(sound | {"gaps": 2}, 60_000, 2_000) == "2 gaps"
    assert _complaint(sound | {"conflated": 0}, 58_000, 1_930) == "1,930 msg/s came"


def test_only_what_was_due_in_the_window_is_a_delay() -> None:
    delays = Delays(from_ms=1000, until_ms=2000)
    for seq, due_ms in enumerate((999, 1000, 1999, 2000)):
        body = orjson.dumps({"timestamp": due_ms})
        delays.take("ticker.x.A", body, {"epoch": "w/1", "seq": seq}, 2.5)
    assert delays.by_kind == {"ticker": [1500, 501]}


def test_growth_is_a_slope_or_a_step() -> None:
    at_s = [float(10 * n) for n in range(100)]
    assert slope_an_hour(at_s, [2 * t / 3600 for t in at_s]) == pytest.approx(2)
    step = [80.0] * 50 + [100.0] * 50
    assert grown(step) == 20
    assert grown([80.0] * 100) == slope_an_hour(at_s, [80.0] * 100) == 0


@given(rate=st.floats(10, 50_000), streams=st.integers(1, 7), seconds=st.floats(0.01, 0.3))
def test_a_tape_holds_every_frame_once_and_none_early(
    rate: float, streams: int, seconds: float
) -> None:
    made = [(Stream(f"S{i:03d}USDT", QUOTE if i % 2 else TRADE, False), i) for i in range(streams)]
    tape = render(made, rate, seconds, start_s=1_700_000_000.0)
    assert sum(stream.number for stream, _ in made) == tape.frames == int(rate * seconds)
    for number, tick in enumerate(tape.ticks[:-1], start=1):
        for _, data in tick:
            for frame in frames(data):
                assert frame["E"] <= 1_700_000_000_000 + 2 * number


@pytest.mark.parametrize("combined", [False, True])
def test_a_frame_says_how_long_it_is(combined: bool) -> None:
    stream = Stream("S000USDT", TRADE, combined)
    data = stream.render(1_700_000_000_000) + stream.render(1_700_000_000_001)
    bodies = frames(data)
    trades = [body["data"] if combined else body for body in bodies]
    assert [trade["a"] for trade in trades] == [1_000_000_001, 1_000_000_002]


def frames(data: bytes) -> list[dict[str, Any]]:
    """The bodies of unmasked websocket text frames of 126 bytes and more."""
    bodies = []
    while data:
        assert data[:2] == b"\x81\x7e"
        size = int.from_bytes(data[2:4])
        bodies.append(orjson.loads(data[4 : 4 + size]))
        data = data[4 + size :]
    return bodies


@given(limit=st.floats(100, 50_000), start=st.floats(1_000, 20_000))
def test_a_search_ends_below_the_limit_and_near_it(limit: float, start: float) -> None:
    search = Search(start, steps=60, halves=60)
    while not search.over:
        search.record(search.next_rate, search.next_rate <= limit)
    assert search.best is not None
    assert limit / 1.07 <= search.best <= limit


def test_a_rate_that_falls_behind_does_not_hold() -> None:
    assert _growing([10.0, 20.0, 10.0, 15.0], rate=1000) == ""
    assert "behind at the end" in _growing([0.0, 100.0, 500.0, 900.0], rate=1000)
    assert "falling behind" in _growing([0.0, 0.0, 1200.0, 450.0], rate=1000)


def test_quantiles_are_values_that_were_measured() -> None:
    ordered = [float(n) for n in range(1, 101)]
    assert quantile(ordered, 0.5) == 51
    assert quantile(ordered, 0.99) == quantile(ordered, 1.0) == 100


def test_rows_say_how_far_they_are() -> None:
    rate = Figure(9_000, "msg/s", Bar(12_000))
    late = Figure(30, "ms", Bar(25, at_most=True), what="p99")
    assert Row("a", (rate,)).verdict == "msg/s: 25 % short"
    assert Row("b", (late,)).verdict == "p99: 20 % over"
    assert Row("c", (Figure(13_000, "msg/s", Bar(12_000)),)).verdict == "met"
    assert Row("d", why="3 lost").verdict == "no figure: 3 lost"
    printed = table([Row("a", (Figure(0.5, what="of bare"), rate))])
    assert "0.5 of bare" in printed
    assert "9,000 msg/s" in printed


def test_stacks_add_up_by_function_whatever_the_line() -> None:
    text = "main (a.py:1);work (b.py:2) 3\nmain (a.py:9);work (b.py:5) 4\nmain (a.py:9) 1\n"
    hot, samples = functions(text)
    assert samples == 8
    assert {(one.name, one.own, one.total) for one in hot} == {
        ("main (a.py)", 1, 8),
        ("work (b.py)", 7, 7),
    }
