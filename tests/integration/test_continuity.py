"""A collector that is stopped and started, and what its faults cost others: counted on the wire."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.books import VENUES
from tests.collecting import Consumer, Fleet, collecting
from tests.venues import Simulator, simulated_venues
from tests.waiting import eventually

BTC, ETH, DOGE = "BTC/USDT:USDT", "ETH/USDT:USDT", "DOGE/USDT:USDT"
SYMBOLS = (BTC, ETH, DOGE)
RATES = ("--ticker-rate", "2", "--book-rate", "2", "--trade-rate", "8", "--symbols", "4")
_AWAY_S = 4.0


class Wire:
    """All that several runs of one collector published."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.consumers: list[Consumer] = []

    def of(self, kind: str, symbol: str) -> list[dict[str, Any]]:
        key = f"{kind}.{self.venue}.{symbol.split('/')[0]}USDT"
        return [body for consumer in self.consumers for body in consumer.bodies(key)]

    def latest_gaps(self) -> dict[str, dict[str, Any]]:
        """Of trades, by id, as they are told last."""
        gaps: dict[str, dict[str, Any]] = {}
        for symbol in SYMBOLS:
            for gap in self.of("gap", symbol):
                if gap["kind"] == "trades":
                    gaps[gap["id"]] = gap
        return gaps


@pytest.mark.deadline(180)
async def test_what_happens_while_a_collector_is_away_arrives_and_is_as_if_streamed(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with simulated_venues(tmp_path, *RATES) as simulator, asyncio.TaskGroup() as tasks:
        played = {}
        for venue in VENUES:
            (tmp_path / venue).mkdir()
            playing = _restarted(venue, simulator, broker_url, tmp_path / venue)
            played[venue] = tasks.create_task(playing)
    for venue, task in played.items():
        record_property(venue, task.result())


async def _restarted(
    venue: str, simulator: Simulator, broker_url: str, directory: Path
) -> dict[str, int]:
    config = simulator.config((venue,), symbols=list(SYMBOLS))
    wire = Wire(venue)
    async with collecting(venue, config, broker_url, directory) as fleet:
        wire.consumers.append(fleet.consumer)
        await eventually(lambda: all(len(wire.of("trades", s)) > 10 for s in SYMBOLS), 40, venue)
    await asyncio.sleep(_AWAY_S)
    async with collecting(venue, config, broker_url, directory) as fleet:
        wire.consumers.append(fleet.consumer)
        await eventually(lambda: _restarts(wire, "repaired") == 3, 40, f"{venue}: repaired", 0.1)
        counts: Counter[str] = Counter()
        for symbol in SYMBOLS:
            counts += await _accounted(fleet, simulator, wire, symbol)
    assert counts["backfill"] >= 3 * 8 * (_AWAY_S - 1), f"{venue}: {counts}"
    return dict(counts)


def _restarts(wire: Wire, state: str) -> int:
    gaps = wire.latest_gaps().values()
    return sum(gap["reason"] == "restart" and gap["state"] == state for gap in gaps)


async def _accounted(fleet: Fleet, simulator: Simulator, wire: Wire, symbol: str) -> Counter[str]:
    """Each trade from the first one on is there, and says what happened at the venue."""
    venue, market_id = wire.venue, fleet.collector.client.markets[symbol].id
    happened = {str(t["id"]): t for t in await simulator.trades(venue, market_id)}
    order = list(happened)
    since = order[order.index(wire.of("trades", symbol)[0]["id"]) :]

    def missing() -> set[str]:
        bodies = wire.of("trades", symbol)
        return set(since) - {body["id"] for body in bodies}

    await eventually(lambda: not missing(), 10, f"{venue} {symbol}: {missing()}", 0.1)
    counts: Counter[str] = Counter()
    for body in wire.of("trades", symbol):
        counts[body["source"]] += 1
        if (true := happened.get(body["id"])) is not None:
            _same(venue, body, true)
    ids = [body["id"] for body in wire.of("trades", symbol)]
    counts["twice"] = len(ids) - len(set(ids))
    return counts


def _same(venue: str, body: dict[str, Any], true: dict[str, Any]) -> None:
    assert set(body) == {
        *("exchange", "symbol", "id", "price", "amount", "side", "timestamp"),
        *("received_at", "source", "large"),
    }
    said = (body["price"], body["amount"], body["side"], body["timestamp"])
    told = f"{venue} {body['source']}: {said} != {true}"
    assert body["price"] == pytest.approx(true["price"]), told
    assert body["amount"] == pytest.approx(true["size"]), told
    assert (body["side"], body["timestamp"]) == (true["side"], true["t"]), told
