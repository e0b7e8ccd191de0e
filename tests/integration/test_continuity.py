"""A collector that is stopped and started, and what its faults cost others: counted on the wire."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from simulator.universe import quote_of
from tests.collecting import Consumer, Fleet, collecting, each_venue
from tests.venues import Simulator, listed, simulated_venues
from tests.waiting import eventually

BTC, ETH, DOGE = "BTC/USDT:USDT", "ETH/USDT:USDT", "DOGE/USDT:USDT"
SYMBOLS = (BTC, ETH, DOGE)
RATES = ("--ticker-rate", "2", "--book-rate", "2", "--trade-rate", "8", "--symbols", "4")
#: Venues whose stream begins with the trades before it.
REPEATING = ("bitget", "krakenfutures")
_AWAY_S = 4.0


class Wire:
    """All that several runs of one collector published."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.consumers: list[Consumer] = []

    def of(self, kind: str, symbol: str) -> list[dict[str, Any]]:
        key = f"{kind}.{self.venue}.{symbol.split('/')[0]}{quote_of(self.venue)}"
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
    played = await each_venue(_restarted, broker_url, tmp_path, *RATES)
    for venue, figures in played.items():
        record_property(venue, figures)


async def _restarted(
    venue: str, simulator: Simulator, broker_url: str, directory: Path
) -> dict[str, int]:
    symbols = [listed(venue, symbol) for symbol in SYMBOLS]
    config = simulator.config((venue,), symbols=symbols)
    wire = Wire(venue)
    async with collecting(venue, config, broker_url, directory) as fleet:
        wire.consumers.append(fleet.consumer)
        await eventually(lambda: all(len(wire.of("trades", s)) > 10 for s in SYMBOLS), 40, venue)
        await eventually(lambda: set(_marks(directory, venue)) == set(symbols), 10, venue)
    await asyncio.sleep(_AWAY_S)
    async with collecting(venue, config, broker_url, directory) as fleet:
        wire.consumers.append(fleet.consumer)
        await eventually(lambda: _restarts(wire) == 3, 40, f"{venue}: restarts repaired", 0.1)
        counts: Counter[str] = Counter()
        for symbol in symbols:
            counts += await _accounted(fleet, simulator, wire, symbol)
    if venue not in REPEATING:
        assert counts["backfill"] >= 3 * 8 * (_AWAY_S - 1) / 2, f"{venue}: {counts}"
    return dict(counts)


def _marks(directory: Path, venue: str) -> dict[str, list[Any]]:
    """By symbol, the key and time of the trade that a next run goes on from."""
    found = list(directory.rglob(f"collector-{venue}/watermarks.json"))
    return orjson.loads(found[0].read_bytes()).get("trades", {}) if found else {}


async def test_after_an_orderly_end_nothing_is_published_again(
    broker_url: str, tmp_path: Path
) -> None:
    async with simulated_venues(tmp_path, *RATES) as simulator:
        config = simulator.config(("binance",), symbols=list(SYMBOLS))
        wire = Wire("binance")
        async with collecting("binance", config, broker_url, tmp_path) as fleet:
            wire.consumers.append(fleet.consumer)
            await eventually(lambda: all(len(wire.of("trades", s)) > 10 for s in SYMBOLS), 40)
    last = {symbol: wire.of("trades", symbol)[-1]["id"] for symbol in SYMBOLS}
    assert {symbol: mark[0] for symbol, mark in _marks(tmp_path, "binance").items()} == last


def _restarts(wire: Wire) -> int:
    """How many gaps of a restart were closed, none of them without success."""
    gaps = [gap for gap in wire.latest_gaps().values() if gap["reason"] == "restart"]
    assert not [gap for gap in gaps if gap["state"] == "unrepairable"], gaps
    return sum(gap["state"] == "repaired" for gap in gaps)


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
    bodies = wire.of("trades", symbol)
    for body in bodies:
        if body["id"] in happened:
            _same(venue, body, happened[body["id"]])
    # A first refill may reach back before the subscription: nobody claims that.
    begin = happened[since[0]]["t"]
    _same_volume([b for b in bodies if b["timestamp"] >= begin], [happened[i] for i in since])
    counts = Counter(body["source"] for body in bodies)
    counts["twice"] = len(bodies) - len({body["id"] for body in bodies})
    return counts


def _same(venue: str, body: dict[str, Any], true: dict[str, Any]) -> None:
    said = (body["price"], body["side"], body["timestamp"])
    told = f"{venue}: {body} != {true}"
    assert said == (float(true["price"]), true["side"], true["t"]), told
    if (venue, body["source"]) != ("okx", "backfill"):  # there REST lists each fill of an order
        assert body["amount"] == pytest.approx(float(true["size"])), told


def _same_volume(bodies: list[dict[str, Any]], happened: list[dict[str, Any]]) -> None:
    end = happened[-1]["t"]  # more may have happened in that millisecond
    unique, covered = list[dict[str, Any]](), set[int | str]()
    # What came as one trade of several fills may come again as single ones (okx).
    for body in sorted(bodies, key=lambda body: -int(body["fills"])):
        last, fills = body["id"], body["fills"]
        ids = {last} if fills == 1 else {str(int(last) - n) for n in range(fills)}
        if body["timestamp"] < end and not ids & covered:
            unique.append(body)
            covered |= ids
    volume = sum(body["amount"] for body in unique)
    assert volume == pytest.approx(sum(float(t["size"]) for t in happened if t["t"] < end))
