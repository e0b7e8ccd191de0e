"""The collector on recorded traffic of live venues, against what the raw frames say."""

from pathlib import Path
from typing import Any

import pytest

from tests.captures import DIRECTORY, Best, binance_books, gate_books, received
from tests.collecting import Fleet, collecting
from tests.venues import simulated_venues
from tests.waiting import eventually

BINANCE, GATE = "BINANCE_FUTURES", "GATEIO_FUTURES"
SPEED = "8"

pytestmark = [
    pytest.mark.skipif(not DIRECTORY.is_dir(), reason=f"no captures in {DIRECTORY}"),
    pytest.mark.deadline(90),
]


async def test_every_trade_of_binance_arrives_once_as_it_was_sent(
    broker_url: str, tmp_path: Path
) -> None:
    symbols = [f"{base}/USDT:USDT" for base in ("SUSHI", "AKRO", "KEEP", "CTK")]
    frames = [f["data"] for f in received(BINANCE) if f["data"]["e"] == "aggTrade"]
    arguments = ("replay", str(DIRECTORY), "--capture", BINANCE, "--speed", SPEED)
    async with simulated_venues(tmp_path, *arguments) as server:
        config = server.config(("binance",), symbols=symbols)
        async with collecting("binance", config, broker_url, tmp_path) as fleet:
            await _all_books(fleet, "binance", binance_books(BINANCE))
            await eventually(lambda: len(_trades(fleet)) >= len(frames), 10, "all trades")
    assert len(frames) == 91
    assert [_said(trade) for trade in _trades(fleet)] == [
        (f["s"], str(f["a"]), float(f["p"]), float(f["q"]), "sell" if f["m"] else "buy", f["T"])
        for f in sorted(frames, key=lambda f: (f["s"], f["a"]))
    ]
    assert fleet.collector.quarantine.total == 0
    _books_are_right(fleet, "binance", binance_books(BINANCE))
    # The capture answers 404 for what has no stream: the streams flow all the same.
    assert fleet.collector.bulk.failures > 0
    for body in fleet.consumer.bodies("futures.binance.SUSHIUSDT"):
        assert body["funding_rate"] is body["mark_price"] is body["ticker"]["volume_24h"] is None
    assert fleet.consumer.bodies("ticker.binance.SUSHIUSDT")


async def test_books_of_gate_are_the_ones_of_the_frames(broker_url: str, tmp_path: Path) -> None:
    rebuilt = gate_books(GATE)
    symbols = [market.replace("_", "/") + ":USDT" for market in rebuilt]
    arguments = ("replay", str(DIRECTORY), "--capture", GATE, "--speed", SPEED)
    async with simulated_venues(tmp_path, *arguments) as server:
        config = server.config(("gate",), symbols=symbols)
        async with collecting("gate", config, broker_url, tmp_path) as fleet:
            await _all_books(fleet, "gate", rebuilt)
    _books_are_right(fleet, "gate", rebuilt)
    assert fleet.collector.quarantine.total == 0


def _key(market: str) -> str:
    return market.replace("_", "")


def _trades(fleet: Fleet) -> list[Any]:
    keys = (k for k in fleet.consumer.routing_keys() if k.startswith("trades."))
    trades = [body for key in keys for body in fleet.consumer.bodies(key)]
    return sorted(trades, key=lambda trade: (trade["symbol"], int(trade["id"])))


def _said(trade: Any) -> tuple[Any, ...]:
    market = trade["symbol"].split(":")[0].replace("/", "")
    fields = ("id", "price", "amount", "side", "timestamp")
    return (market, *(trade[field] for field in fields))


async def _all_books(fleet: Fleet, venue: str, rebuilt: dict[str, dict[int, Best]]) -> None:
    """Until each book that the capture continues beyond its snapshot has come to its end."""

    def ended() -> set[str]:
        return {m for m, best in rebuilt.items() if len(best) > 1} - {
            market
            for market, best in rebuilt.items()
            for body in fleet.consumer.bodies(f"orderbook.{venue}.{_key(market)}")[-1:]
            if body["update_id"] == max(best)
        }

    await eventually(lambda: not ended(), 60, f"books that are not there: {ended()}")


def _books_are_right(fleet: Fleet, venue: str, rebuilt: dict[str, dict[int, Best]]) -> None:
    """Not only in the end: each message has the best prices of its update id."""
    compared = 0
    for market, best in rebuilt.items():
        for body in fleet.consumer.bodies(f"orderbook.{venue}.{_key(market)}"):
            assert (body["bids"][0][0], body["asks"][0][0]) == best[body["update_id"]]
            compared += 1
    assert compared > 30
