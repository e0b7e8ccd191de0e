"""Recorded venue traffic, replayed to unmodified ccxt."""

import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from simulator.capture import JsonLines
from simulator.recorded import RECORDED
from simulator.replay import Replay
from simulator.truth import Truth
from tests.integration.test_simulator_ccxt import client, drive

HERE = Path(__file__).resolve().parents[2]
CAPTURES = Path(os.environ.get("FLEET_CAPTURES", HERE.parent / "shared" / "captures"))
SPEED = 200.0

pytestmark = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="no recorded captures here (FLEET_CAPTURES names a directory)"
)


@asynccontextmanager
async def replayed(name: str) -> AsyncIterator[Replay]:
    replay = Replay(JsonLines(CAPTURES, name), RECORDED[name](), Truth(), SPEED)
    await replay.listen("127.0.0.1", 0)
    try:
        yield replay
    finally:
        await replay.stop()


def recorded(name: str) -> list[Any]:
    with gzip.open(CAPTURES / "frames" / f"{name}.jsonl.gz") as lines:
        rows = [orjson.loads(line) for line in lines]
    return [orjson.loads(row["raw"]) for row in rows if row["dir"] == "recv"]


def best(book: dict[str, list[Any]]) -> tuple[float, float]:
    return book["bids"][0][0], book["asks"][0][0]


async def keep(watch: Any, symbol: str) -> None:
    while True:
        await watch(symbol)


async def test_binance_every_trade_and_four_books() -> None:
    frames = recorded("BINANCE_FUTURES")
    trades = [f["data"] for f in frames if f.get("stream", "").endswith("@aggTrade")]
    symbols = [f"{base}/USDT:USDT" for base in ("SUSHI", "AKRO", "KEEP", "CTK")]
    async with replayed("BINANCE_FUTURES") as replay:
        exchange = client("binance", replay.port)
        await exchange.load_markets()
        found: list[Any] = []
        tasks = [
            asyncio.create_task(drive(partial(exchange.watch_trades, symbol), found))
            for symbol in symbols
        ]
        for symbol in symbols:
            tasks.append(asyncio.create_task(keep(exchange.watch_order_book, symbol)))
        await asyncio.wait_for(replay.ended.wait(), 20)
        await asyncio.sleep(0.1)
        books = {symbol: best(exchange.orderbooks[symbol]) for symbol in symbols}
        await stop(tasks, exchange)
    assert len(trades) == 91
    received = [(t["symbol"].split("/")[0], t["id"], t["price"], t["amount"]) for t in found]
    expected = [
        (t["s"].removesuffix("USDT"), str(t["a"]), float(t["p"]), float(t["q"])) for t in trades
    ]
    assert sorted(received) == sorted(expected)
    assert all(bid < ask for bid, ask in books.values())
    assert books == {symbol: rebuilt_binance(frames, symbol) for symbol in symbols}


def rebuilt_binance(frames: list[Any], symbol: str) -> tuple[float, float]:
    """The best prices after all recorded deltas on top of the recorded snapshot."""
    id_ = symbol.split("/")[0] + "USDT"
    bodies = {(b.path, b.query.get("symbol")): b.data for b in captured("BINANCE_FUTURES")}
    snapshot = orjson.loads(bodies["/fapi/v1/depth", id_])
    sides = {side: dict(snapshot[side]) for side in ("bids", "asks")}
    for frame in frames:
        data = frame.get("data", {})
        if data.get("e") != "depthUpdate" or data["s"] != id_:
            continue
        if data["u"] < snapshot["lastUpdateId"]:
            continue
        sides["bids"].update(data["b"])
        sides["asks"].update(data["a"])
    left = {name: [float(p) for p, q in side.items() if float(q)] for name, side in sides.items()}
    return max(left["bids"]), min(left["asks"])


def captured(name: str) -> Any:
    return JsonLines(CAPTURES, name).bodies()


async def test_gate_nine_books_move() -> None:
    frames = recorded("GATEIO_FUTURES")
    updates = [f for f in frames if f["channel"] == "futures.order_book_update"]
    last = {f["result"]["s"]: f["result"]["u"] for f in updates if f["event"] == "update"}
    shots = {
        body.query["contract"]: orjson.loads(body.data)["id"]
        for body in captured("GATEIO_FUTURES")
        if body.path.endswith("/order_book")
    }
    async with replayed("GATEIO_FUTURES") as replay:
        exchange = client("gate", replay.port)
        await exchange.load_markets()
        symbols = {id_: exchange.markets_by_id[id_][0]["symbol"] for id_ in last}
        tasks = [
            asyncio.create_task(keep(exchange.watch_order_book, symbol))
            for symbol in symbols.values()
        ]
        await asyncio.wait_for(replay.ended.wait(), 20)
        await asyncio.sleep(0.3)
        reached = {id_: exchange.orderbooks[symbol] for id_, symbol in symbols.items()}
        nonces = {id_: book.get("nonce") for id_, book in reached.items()}
        tops = {id_: best(book) for id_, book in reached.items()}
        await stop(tasks, exchange)
    # Ten have updates; those of DIA_USDT all come before its recorded snapshot.
    assert sum(u > shots[id_] for id_, u in last.items()) == 9
    assert nonces == {id_: max(u, shots[id_]) for id_, u in last.items()}
    assert tops == {id_: rebuilt_gate(updates, id_) for id_ in last}


def rebuilt_gate(updates: list[Any], id_: str) -> tuple[float, float]:
    bodies = {b.query.get("contract"): b.data for b in captured("GATEIO_FUTURES")}
    snapshot = orjson.loads(bodies[id_])
    sides = {
        side: {float(level["p"]): level["s"] for level in snapshot[side]}
        for side in ("bids", "asks")
    }
    for update in (frame["result"] for frame in updates if frame["event"] == "update"):
        if update["s"] == id_ and update["u"] > snapshot["id"]:
            for side, short in (("bids", "b"), ("asks", "a")):
                sides[side].update({float(level["p"]): level["s"] for level in update[short]})
    left = {name: [price for price, size in side.items() if size] for name, side in sides.items()}
    return max(left["bids"]), min(left["asks"])


async def test_what_was_not_recorded_is_refused_in_the_venues_form() -> None:
    async with replayed("BINANCE_FUTURES") as replay:
        exchange = client("binance", replay.port)
        await exchange.load_markets()
        with pytest.raises(Exception, match="-5000"):
            await exchange.fetch_tickers()
        await exchange.close()


async def stop(tasks: list[asyncio.Task[None]], exchange: Any) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await exchange.close()
