"""Faults inside the simulator: what does not need a wire."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from simulator.clock import SKEW_MS
from simulator.faults.catalogue import FAULTS
from simulator.faults.fault import Refused
from simulator.faults.message import crossed
from simulator.faults.order import SwapDeltas
from simulator.frame import BINARY, Frame, payload, wire
from simulator.happening import Rates
from simulator.truth import Truth
from simulator.universe import instrument, instruments
from simulator.venue import Venue, open_venue
from simulator.venues import DIALECTS
from simulator.venues.htx.streams import zipped

BTC = "BTC/USDT:USDT"


def opened(name: str = "binance") -> Venue:
    return open_venue(DIALECTS[name], instruments(name, 3), 7, Rates(), Truth())


def started(venue: Venue, name: str, **parameters: object) -> str:
    made = FAULTS[name]
    fault = made(venue.faults.next_id(), venue, made.wishes.model_validate(parameters))
    venue.faults.start(fault)
    return fault.id


@pytest.mark.parametrize("size", [5, 126, 70_000])
def test_a_payload_comes_back_from_the_wire(size: int) -> None:
    text = b"a" * size
    assert payload(wire(text)) == text
    assert payload(wire(zipped(text), BINARY)) == text


def test_every_fault_has_its_own_name_and_one_line() -> None:
    assert len({fault.summary for fault in FAULTS.values()}) == len(FAULTS) == 26
    assert all("\n" not in fault.summary for fault in FAULTS.values())


def test_an_order_is_never_the_right_one_and_the_same_for_a_seed() -> None:
    orders = []
    for _ in range(2):
        venue = opened()
        wish = SwapDeltas.wishes.model_validate({"window": 3, "seed": 5})
        fault = SwapDeltas("binance-1", venue, wish)
        orders.append([fault._order(3) for _ in range(20)])
    assert orders[0] == orders[1]
    assert [0, 1, 2] not in orders[0]


def test_a_healed_fault_is_no_longer_asked() -> None:
    venue = opened()
    id_ = started(venue, "silent", seconds=60)
    assert list(venue.faults.active) == [id_]
    venue.faults.end(id_, "healed")
    assert not venue.faults.active


def test_a_burst_makes_trades_and_then_the_old_pace_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue = opened()
    market = venue.find(BTC)
    assert market is not None
    market.catch_up(venue.now_ms())
    id_ = started(venue, "burst", symbol=BTC, rate=500, seconds=1)
    before = market.last_trade_id
    market.catch_up(market.now_ms + 1000)
    assert market.last_trade_id - before == pytest.approx(500, abs=3)
    monkeypatch.setattr(venue, "now_ms", lambda: float(market.now_ms))
    venue.faults.end(id_, "time")
    calm = market.last_trade_id
    market.catch_up(market.now_ms + 10_000)
    assert market.last_trade_id - calm == pytest.approx(20, abs=3)


def test_a_delisted_market_stands_still_and_comes_back_now() -> None:
    venue = opened()
    market = venue.find("BTCUSDT")
    assert market is not None
    id_ = started(venue, "delist", symbol=BTC)
    assert venue.market("BTCUSDT") is None
    stood = market.now_ms
    market.catch_up(stood + 5000)
    assert market.now_ms == stood
    with pytest.raises(Refused):
        started(venue, "delist", symbol=BTC)
    venue.faults.end(id_, "healed")
    assert venue.market("BTCUSDT") is market
    assert abs(market.now_ms - venue.now_ms()) < 1500


def test_a_base_that_nobody_knows_gets_a_grid_that_fits() -> None:
    new = instrument("gate", "NEW", "0.037")
    assert (new.id, new.symbol) == ("NEW_USDT", "NEW/USDT:USDT")
    assert new.start_ticks == 37_000
    assert instrument("bybit", "BTC", "1").start_ticks == 640_000


def test_skewed_clocks_go_back() -> None:
    venue = opened()
    market = venue.find(BTC)
    assert market is not None
    id_ = started(venue, "clock_skew", ms=-90_000)
    assert venue.skew_ms == -90_000
    assert market.now_ms < venue.now_ms() + 1000
    venue.faults.end(id_, "healed")
    assert venue.skew_ms == 0
    assert SKEW_MS.get() == 0


def test_a_refused_fault_leaves_no_trace() -> None:
    venue = opened()
    for name, wrong in (("wrong_checksum", {}), ("silent", {"symbol": "NO/USDT:USDT"})):
        with pytest.raises(Refused):
            started(venue, name, **wrong)
    with pytest.raises(Refused):
        started(venue, "drop_delta", channel="trades")
    assert not venue.faults.active
    assert venue.truth.after(0, None)[1] == []


def test_start_and_end_are_in_the_truth() -> None:
    venue = opened()
    venue.faults.end(started(venue, "silent", symbol=BTC), "healed")
    lines = [orjson.loads(line) for line in venue.truth.after(0, None)[1]]
    assert [(line["event"], line["step"], line["id"]) for line in lines] == [
        ("fault", "start", "binance-1"),
        ("fault", "end", "binance-1"),
    ]


def test_a_bid_that_crosses_is_not_taken_back_by_the_change_that_brings_it() -> None:
    """The venue may end the level at that very price in the same message."""
    market = opened().markets[0]
    price = market.price_text(market.book.best_ask + 10)
    message = {"b": [[price, "0"], [market.price_text(5), "1"]], "a": []}
    topic: Any = SimpleNamespace(market=market, encode=lambda one: wire(orjson.dumps(one)))
    frame = Frame(wire(orjson.dumps(message)), '"channel":"","symbol":"","ids":{}}')
    found = crossed(topic, frame, 10)
    assert found is not None
    bids = orjson.loads(payload(found[0].wire))["b"]
    assert [level[0] for level in bids] == [price, market.price_text(5)]
    assert float(bids[0][1]) > 0
