"""Quotes, and what is known besides, into `ticker` messages."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config import Collection, MaxAge
from shared.config.live import Live
from shared.messages import BestPrices, Overview, Ticker
from tests.recording import BTC, Recording
from workers.collector.events import Day, Quote, RestUpdate, Summary
from workers.collector.overview.overview import Overviews
from workers.collector.parts import Part, Parts
from workers.collector.quotes import Quotes

DAY = Day(99.0, 110.0, 90.0, 1.0, 1.01, 5000.0, 500_000.0)


@pytest.fixture
def recording() -> Recording:
    recording = Recording()
    recording.intake.route(Quote, Quotes(recording.publishing).take)
    overviews = Overviews(recording.publishing, Live(Collection()), ())
    recording.intake.route(Summary, overviews.take)
    return recording


def quote(**changes: Any) -> Quote:
    return Quote("BTC", 100.0, 100.5, 20.0, 30.0, None, 5)._replace(**changes)


def test_a_quote_becomes_a_ticker_in_base_units(recording: Recording) -> None:
    recording.intake.on_events([quote()], 7)
    (body,) = recording.bodies()
    assert (body["bid"], body["ask"]) == (100.0, 100.5)
    assert (body["bid_size"], body["ask_size"]) == (0.02, 0.03)
    assert (body["timestamp"], body["received_at"]) == (5, 7)
    assert (body["last"], body["stats_at"], body["open"]) == (None, None, None)
    assert recording.parts.quote is not None
    assert recording.parts.quote.value == (100.0, 100.5)


def test_the_last_price_is_the_newest_of_trades_bodies_and_quotes(recording: Recording) -> None:
    recording.parts.last = Part(100.2, 0.0, "rest")
    recording.intake.on_events([quote(), quote(last=100.3), quote()], 7)
    assert [body["last"] for body in recording.bodies()] == [100.2, 100.3, 100.3]


def test_what_bodies_and_frames_say_goes_out_with_the_next_quote(recording: Recording) -> None:
    clock = recording.clock
    clock.elapsed_s = 10
    overviews = Overviews(recording.publishing, Live(Collection()), ())
    update = RestUpdate(BTC, day=DAY, mark_price=100.1)
    overviews.apply(recording.parts, update, clock.monotonic() - 2)
    recording.intake.on_events([quote()], 7)
    said = {"index_price": 100.2, "day": DAY._replace(high=111.0)}
    recording.intake.on_events([Summary("BTC", said), quote()], 7)
    first, second = map(Ticker.model_validate, recording.bodies())
    assert (first.open, first.high, first.low, first.change) == (99.0, 110.0, 90.0, 1.0)
    assert (first.percentage, first.base_volume, first.quote_volume) == (1.01, 5000.0, 500_000.0)
    assert (first.mark_price, first.index_price) == (100.1, None)
    assert first.stats_at == clock.now_ms() - 2000
    assert (second.high, second.mark_price, second.index_price) == (111.0, 100.1, 100.2)
    assert second.stats_at == clock.now_ms()


async def test_mark_prices_that_nobody_renews_become_null(recording: Recording) -> None:
    overviews = Overviews(recording.publishing, Live(Collection()), ())
    now = recording.clock.monotonic()
    overviews.apply(recording.parts, RestUpdate(BTC, day=DAY, mark_price=100.1), now)
    recording.clock.elapsed_s = MaxAge().mark_price_s + 1
    with pytest.raises(StopAfter):
        await overviews.run(StopAfter(recording.parts))
    recording.intake.on_events([quote()], 7)
    (body,) = recording.bodies()
    assert body["mark_price"] is None
    assert body["high"] == 110.0


class StopAfter(Exception):
    """Gives the parts once, and ends the loop that asks a second time."""

    def __init__(self, parts: Parts) -> None:
        self._left = [{BTC: parts}]

    def __call__(self) -> Any:
        if not self._left:
            raise self
        return self._left.pop()


@pytest.mark.parametrize(
    "bad",
    [
        quote(bid=101.0),
        quote(ask=float("inf")),
        quote(bid=0.0),
        quote(bid_size=-1.0),
        quote(last=float("nan")),
        quote(timestamp=-1),
    ],
)
def test_a_quote_that_does_not_validate_changes_nothing(recording: Recording, bad: Quote) -> None:
    recording.parts.last = Part(100.2, 0.0, "rest")
    recording.intake.on_events([bad], 7)
    assert recording.bodies() == []
    assert recording.ledger["ticker"].invalid == 1
    assert recording.parts.quote is None
    assert recording.parts.last.value == 100.2


def test_a_body_that_does_not_validate_leaves_what_was_known(recording: Recording) -> None:
    overviews = Overviews(recording.publishing, Live(Collection()), ())
    overviews.apply(recording.parts, RestUpdate(BTC, day=DAY), 0.0)
    wrong = DAY._replace(base_volume=-1.0)
    overviews.apply(recording.parts, RestUpdate(BTC, day=wrong), 1.0)
    recording.intake.on_events([quote()], 7)
    assert recording.bodies()[0]["base_volume"] == 5000.0
    assert recording.ledger["ticker"].invalid == 1


def test_both_halves_are_the_whole_ticker() -> None:
    halves = {*BestPrices.model_fields, *Overview.model_fields}
    assert halves == set(Ticker.model_fields)
    assert len(halves) == len(BestPrices.model_fields) + len(Overview.model_fields)


PRICES = st.none() | st.floats(min_value=1e-9, max_value=1e9)
RATIOS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
SIZES = st.none() | st.floats(min_value=0, max_value=1e15)


@given(
    day=st.builds(Day, PRICES, PRICES, PRICES, RATIOS, RATIOS, SIZES, SIZES),
    bid=st.floats(min_value=1e-9, max_value=1e6),
    spread=st.floats(min_value=0, max_value=10),
    size=SIZES,
    mark=PRICES,
)
def test_every_body_parses_back(
    day: Day, bid: float, spread: float, size: float | None, mark: float | None
) -> None:
    recording = Recording()
    recording.intake.route(Quote, Quotes(recording.publishing).take)
    overviews = Overviews(recording.publishing, Live(Collection()), ())
    update = RestUpdate(BTC, day=day, mark_price=mark)
    overviews.apply(recording.parts, update, recording.clock.monotonic())
    event = quote(bid=bid, ask=bid + spread, bid_size=size)
    recording.intake.on_events([event], 7)
    (fact,) = recording.facts
    ticker = Ticker.model_validate_json(fact.body)
    assert (ticker.bid, ticker.ask, ticker.mark_price) == (bid, bid + spread, mark)
    assert ticker.model_dump() == orjson.loads(fact.body)
