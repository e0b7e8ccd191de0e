"""Order books against everything that a venue's wire can do to them, on real connections."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulator.universe import quote_of
from tests.collecting import Fleet, collecting, each_venue
from tests.venues import Simulator, listed
from tests.waiting import eventually
from workers.collector.books.orderbook import OrderBook

BTC, ETH, DOGE = "BTC/USDT:USDT", "ETH/USDT:USDT", "DOGE/USDT:USDT"
RATE = 5.0  # pushes of depth a symbol and second: below the cap of the `orderbook` kind
#: The bars: a doubtful book is gone with the next update; a right one is there soon after.
NOTICED_S, RECOVERED_S = 1.0, 5.0
FAULTS: tuple[dict[str, Any], ...] = (
    {"fault": "drop_delta"},
    {"fault": "swap_deltas", "window": 3, "seed": 5},
    {"fault": "wrong_checksum"},
    {"fault": "crossed_book"},
    {"fault": "partial_json", "channel": "book"},
)
HARMLESS: tuple[dict[str, Any], ...] = (
    {"fault": "duplicate_delta", "count": 3},
    {"fault": "garbage", "channel": "book", "count": 3},
    {"fault": "unknown_symbol", "channel": "book", "count": 3},
)


class Watch:
    """When a symbol's book was lost and right again."""

    def __init__(self, fleet: Fleet, symbol: str) -> None:
        self.broken: list[float] = []
        self.live: list[float] = []
        books = fleet.collector.books
        self._chain(books, "on_broken", symbol, self.broken)
        self._chain(books, "on_live", symbol, self.live)

    @staticmethod
    def _chain(books: Any, name: str, symbol: str, times: list[float]) -> None:
        before: Callable[..., None] = getattr(books, name)

        def called(which: str, *rest: Any) -> None:
            if which == symbol:
                times.append(time.time())
            before(which, *rest)

        setattr(books, name, called)


@pytest.mark.deadline(180)
async def test_no_fault_makes_a_wrong_book_and_all_recover(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    rates = ("--book-rate", str(RATE), "--symbols", "4")
    played = await each_venue(_play, broker_url, tmp_path, *rates)
    for venue, figures in played.items():
        record_property(venue, figures)


async def _play(
    venue: str, simulator: Simulator, broker_url: str, directory: Path
) -> dict[str, dict[str, float]]:
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    config = simulator.config((venue,), symbols=[btc, eth, doge])
    figures: dict[str, dict[str, float]] = {}
    async with collecting(venue, config, broker_url, directory) as fleet:
        await eventually(lambda: len(_live(fleet)) == 3, 40, f"{venue}: all books")
        watch, unhurt = Watch(fleet, btc), [Watch(fleet, eth), Watch(fleet, doge)]
        others = {symbol: _count(fleet, venue, symbol) for symbol in (eth, doge)}
        began = time.monotonic()
        for fault in FAULTS:
            if fault["fault"] != "wrong_checksum" or venue in ("bitget", "okx"):
                figures[fault["fault"]] = await _broken(venue, simulator, fleet, watch, fault)
        before = len(watch.broken)
        for fault in HARMLESS:
            await simulator.fault(venue, symbol=btc, **fault)
        await asyncio.sleep(1.5)
        assert len(watch.broken) == before, f"{venue}: harmless"
        passed = time.monotonic() - began
        for symbol, count in others.items():
            rate = (_count(fleet, venue, symbol) - count) / passed
            assert rate >= 0.95 * RATE, f"{venue}: {symbol} has {rate:.2f} books a second"
        assert not any(other.broken for other in unhurt), f"{venue}: another symbol's book broke"
        await _equal(venue, simulator, fleet)
    for symbol in (btc, eth, doge):
        for body in fleet.consumer.bodies(_key("orderbook", venue, symbol)):
            assert body["bids"][0][0] < body["asks"][0][0]
    return figures


async def _broken(
    venue: str, simulator: Simulator, fleet: Fleet, watch: Watch, fault: dict[str, Any]
) -> dict[str, float]:
    """Play one fault; seconds from its application to the loss, and from there to a right book."""
    btc = listed(venue, BTC)
    known = len(watch.broken), len(watch.live)
    id_ = await simulator.fault(venue, symbol=btc, **fault)
    what = f"{venue}: {fault['fault']}"
    await eventually(lambda: len(watch.broken) > known[0], 5, f"{what} noticed")
    await eventually(lambda: len(watch.live) > known[1], 15, f"{what} recovered")
    broken, live = watch.broken[known[0]], watch.live[known[1]]

    def applied() -> list[float]:
        return [
            event["t"] / 1e9
            for event in simulator.events(venue, "fault")
            if event["id"] == id_ and event["step"] == "applied"
        ]

    await eventually(applied, 2)
    noticed_s, recovered_s = broken - applied()[0], live - broken
    assert noticed_s <= NOTICED_S, f"{what} noticed after {noticed_s:.1f} s"
    assert recovered_s <= RECOVERED_S, f"{what} recovered after {recovered_s:.1f} s"
    await eventually(lambda: len(_live(fleet)) == 3, 10)
    return {"noticed_s": round(noticed_s, 3), "recovered_s": round(recovered_s, 3)}


async def _equal(venue: str, simulator: Simulator, fleet: Fleet) -> None:
    """The whole book, level by level, at an update that both name."""
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    depth = fleet.collector.row.book.depth
    for symbol in (btc, eth, doge):
        market_id = fleet.collector.client.markets[symbol].id
        contract = fleet.collector.client.markets[symbol].contract_size

        async def same(
            symbol: str = symbol, market_id: str = market_id, contract: float = contract
        ) -> bool:
            truth = await simulator.book(venue, market_id, depth)
            book = fleet.collector.intake.parts[symbol].book
            for _ in range(20):
                if book is not None and book.update_id == truth["stream_id"]:
                    return _sides(book, contract, depth) == _true_sides(truth, book)
                await asyncio.sleep(0.005)
                book = fleet.collector.intake.parts[symbol].book
            return False

        await eventually(same, 10, f"{venue}: {symbol} bit-equal")


def _sides(book: OrderBook, contract: float, depth: int) -> list[list[tuple[float, float]]]:
    return [
        [(price, float(f"{size * contract:.12g}")) for price, size in side.top(depth)]
        for side in (book.bids, book.asks)
    ]


def _true_sides(truth: dict[str, Any], book: OrderBook) -> list[list[tuple[float, float]]]:
    """As far as the collector knows the book."""
    known = len(book.bids.keys), len(book.asks.keys)
    return [
        [(float(price), float(size)) for price, size in truth[side][:count]]
        for side, count in zip(("bids", "asks"), known, strict=True)
    ]


def _live(fleet: Fleet) -> list[str]:
    return [symbol for symbol, parts in fleet.collector.intake.parts.items() if parts.book]


def _key(kind: str, venue: str, symbol: str) -> str:
    return f"{kind}.{venue}.{symbol.split('/')[0]}{quote_of(venue)}"


def _count(fleet: Fleet, venue: str, symbol: str) -> int:
    return fleet.consumer.count(_key("orderbook", venue, symbol))
