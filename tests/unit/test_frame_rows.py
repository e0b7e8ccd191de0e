"""Frames of several rows: a row that is not as expected costs no other its place, and counts once."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from shared.kinds import CANDLE, LIQUIDATION, TRADES, Kind
from shared.timeframes import TIMEFRAMES_MS
from tests.recording import Recording
from workers.collector.events import Candle, Event, Liquidated, Print
from workers.collector.stamps import check_start
from workers.collector.venues.bitget import Bitget
from workers.collector.venues.bybit import Bybit
from workers.collector.venues.coinbaseinternational import Coinbaseinternational
from workers.collector.venues.gate import Gate
from workers.collector.venues.krakenfutures import KrakenFutures
from workers.collector.venues.okx import Okx

NOW = 1_800_000_000_000  # a whole minute


class Rows(NamedTuple):
    """How a venue puts rows of a kind into a frame, and fields by which a row is a bad one."""

    venue: Callable[[Any], Any]
    kind: Kind
    frame: Callable[[list[Any]], dict[str, Any]]
    good: Any
    wrong: dict[Any, Any]


def _okx(channel: str) -> Callable[[list[Any]], dict[str, Any]]:
    return lambda rows: {"arg": {"channel": channel, "instId": "BTC"}, "data": rows}


def _bybit(topic: str) -> Callable[[list[Any]], dict[str, Any]]:
    return lambda rows: {"topic": topic, "data": rows}


def _gate(channel: str) -> Callable[[list[Any]], dict[str, Any]]:
    channel = f"futures.{channel}"
    return lambda rows: {"event": "update", "channel": channel, "time_ms": NOW, "result": rows}


def _bitget(channel: str) -> Callable[[list[Any]], dict[str, Any]]:
    return lambda rows: {
        "arg": {"channel": channel, "instId": "BTC"},
        "ts": str(NOW),
        "data": rows,
    }


def _coinbaseinternational(channel: str) -> Callable[[list[Any]], dict[str, Any]]:
    return lambda rows: {"method": "subscription", "params": {"channel": channel, "data": rows}}


def _okx_contract(rows: list[Any]) -> dict[str, Any]:
    return _okx("liquidation-orders")([{"instId": "BTC", "details": rows}])


FORCED = {"bkPx": "100", "sz": "1", "side": "sell", "ts": str(NOW)}
CANDLE_ROW = [str(NOW), "10", "12", "9", "11", "2", "2", "20"]
KINDS = {
    "okx liquidations of a contract": Rows(
        Okx, LIQUIDATION, _okx_contract, FORCED, {"bkPx": "", "sz": None, "ts": [], "side": ...}
    ),
    "okx liquidations of contracts": Rows(
        Okx,
        LIQUIDATION,
        _okx("liquidation-orders"),
        {"instId": "BTC", "details": [FORCED]},
        {"instId": ..., "details": None},
    ),
    "bybit liquidations": Rows(
        Bybit,
        LIQUIDATION,
        _bybit("allLiquidation.BTC"),
        {"s": "BTC", "S": "Buy", "p": "100", "v": "1", "T": NOW},
        {"s": ..., "p": "", "v": None, "T": str(NOW)},
    ),
    "gate liquidations": Rows(
        Gate,
        LIQUIDATION,
        _gate("public_liquidates"),
        {"contract": "BTC", "size": 1, "price": "100", "time_ms": NOW},
        {"price": None, "size": "1,0", "contract": ..., "time_ms": 2 * NOW},
    ),
    "okx candles": Rows(
        Okx, CANDLE, _okx("candle1m"), [*CANDLE_ROW, "0"], {0: "", 1: None, 6: "1,0", 7: ...}
    ),
    "bybit candles": Rows(
        Bybit,
        CANDLE,
        _bybit("kline.1.BTC"),
        {"start": NOW, "open": "10", "high": "12", "low": "9", "close": "11", "volume": "2"}
        | {"turnover": "20", "confirm": False, "timestamp": NOW},
        {"open": "", "turnover": None, "start": str(NOW), "confirm": ..., "timestamp": []},
    ),
    "gate candles": Rows(
        Gate,
        CANDLE,
        _gate("candlesticks"),
        {"t": NOW // 1000, "o": "10", "h": "12", "l": "9", "c": "11", "v": 2, "n": "1m_BTC"},
        {"o": "", "v": None, "t": str(NOW), "n": "7m_BTC", "c": ...},
    ),
    "bitget candles": Rows(
        Bitget, CANDLE, _bitget("candle1m"), CANDLE_ROW, {0: "", 1: None, 5: "1,0", 6: ...}
    ),
    "okx trades": Rows(
        Okx,
        TRADES,
        _okx("trades"),
        {"instId": "BTC", "tradeId": "1", "px": "1", "sz": "1", "side": "buy", "ts": str(NOW)},
        {"px": "", "tradeId": ..., "ts": None},
    ),
    "krakenfutures trades": Rows(
        KrakenFutures,
        TRADES,
        lambda rows: {"feed": "trade_snapshot", "product_id": "BTC", "trades": rows},
        {"product_id": "BTC", "uid": "1", "price": 1, "qty": 1, "side": "buy", "time": NOW},
        {"price": "", "uid": ..., "qty": None},
    ),
    "coinbaseinternational trades": Rows(
        Coinbaseinternational,
        TRADES,
        _coinbaseinternational("trades.BTC.100ms"),
        {"instrument_name": "BTC", "trade_seq": 1, "price": 1.0, "amount": 1.0}
        | {"direction": "buy", "timestamp": NOW},
        {"price": "", "trade_seq": ..., "amount": None, "instrument_name": ...},
    ),
}


def changed(row: Any, field: Any, value: Any) -> Any:
    """With another value there; with nothing there for `...`, and nothing behind it."""
    if isinstance(row, dict):
        return {k: v for k, v in (row | {field: value}).items() if v is not ...}
    return row[:field] + ([] if value is ... else [value, *row[field + 1 :]])


@pytest.mark.parametrize(
    ("rows", "field"), [(name, field) for name in KINDS for field in KINDS[name].wrong]
)
@pytest.mark.parametrize("place", [0, 1])
async def test_a_bad_row_costs_no_other_its_place_and_counts_once(
    rows: str, field: Any, place: int
) -> None:
    venue, kind, frame, good, wrong = KINDS[rows]
    recording, taken = Recording(), list[Event]()
    for event_type in (Print, Liquidated, Candle):
        recording.intake.route(event_type, lambda event, *_: _take(event, taken))
    peeler = venue({})
    peeler.sink, peeler.clock = recording.intake, recording.clock
    both = [good, good]
    both[place] = changed(good, field, wrong[field])
    peeler.handle_message(SimpleNamespace(error=None), frame(both))
    assert len(taken) == 1, recording.quarantine.kept
    counts = recording.ledger[kind.label]
    assert (counts.received, counts.invalid, recording.quarantine.total) == (1, 1, 1)
    assert recording.quarantine.counts == {kind.label: 1}
    assert set(recording.ledger.as_dict()) == {kind.label}


def _take(event: Event, taken: list[Event]) -> None:
    """As takers refuse what is of another type than it should be."""
    if isinstance(event, Candle):
        check_start(event.start, event.timestamp, NOW)
        _ = TIMEFRAMES_MS[event.timeframe]
    taken.append(event)


async def test_a_first_push_of_many_candles_has_the_last_two_in_order() -> None:
    bitget: Any = Bitget({})
    minutes = [NOW - 60_000 * n for n in (3, 0, 5, 1, 2)]
    rows = [[str(start), *CANDLE_ROW[1:]] for start in minutes]
    candles = bitget.peel(_bitget("candle1m")(rows))
    assert [candle.start for candle in candles] == [NOW - 60_000, NOW]
