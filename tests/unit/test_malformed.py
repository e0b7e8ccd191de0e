"""Events that no venue should send: what they end, what they must not, and how they count."""

import asyncio
import logging
from typing import Any

import pytest

from shared.kinds import TRADES
from tests.fakes import FakeClock
from tests.recording import BTC, Recording
from tests.waiting import eventually
from workers.collector.books.keeper import BookKeeper
from workers.collector.catalogue.row import BookFeed, Chain, Request
from workers.collector.events import MALFORMED, BookUpdate, Print, Quote
from workers.collector.numbers import number, price
from workers.collector.parts import Parts
from workers.collector.stamps import check_start, check_time
from workers.collector.trades.trades import Trades

NOW = 1_800_000_000_000
DAY_MS = 86_400_000
SNAPSHOT = BookUpdate("x", True, [[10, 1]], [[11, 1]], None, 6)
MALFORMED_UPDATES = (
    BookUpdate("x", False, [[9, 1], None], [], None, 7, 7, 6),  # type: ignore[list-item]
    BookUpdate("x", False, [[9, 1], ["9.5", []]], [], None, 7, 7, 6),
    BookUpdate("x", False, [[9, 1]], 5, None, 7, 7, 6),  # type: ignore[arg-type]
    BookUpdate("x", False, [[9, 1]], [], None, "7", 7, 6),  # type: ignore[arg-type]
    BookUpdate("x", False, [[9, 1]], [], None, 7.0, 7, 6),  # type: ignore[arg-type]
)


class Client:
    """Snapshots when the test gives them."""

    def __init__(self) -> None:
        self.snapshots: asyncio.Queue[BookUpdate] = asyncio.Queue()
        self.asked = 0

    async def afford_snapshot(self) -> None:
        self.asked += 1

    async def fetch_book(self, symbol: str) -> BookUpdate:
        return await self.snapshots.get()


@pytest.mark.parametrize("update", MALFORMED_UPDATES)
async def test_what_is_no_update_ends_the_book_in_that_call(update: BookUpdate) -> None:
    parts = Parts(BTC)
    feed = BookFeed(depth=5, source="", chain=Chain.PREVIOUS)
    keeper = BookKeeper(feed, Client(), FakeClock(), logging.getLogger("test"))
    keeper.set_symbols([parts])
    keeper.take(SNAPSHOT, parts, 0)
    assert parts.book is not None
    with pytest.raises(MALFORMED):
        keeper.take(update, parts, 0)
    assert parts.book is None


async def test_what_is_no_update_does_not_end_the_keeper_while_it_waits_for_a_snapshot() -> None:
    client, parts = Client(), Parts(BTC)
    feed = BookFeed(depth=5, source="", chain=Chain.PREVIOUS, snapshot=Request("", 1))
    keeper = BookKeeper(feed, client, FakeClock(), logging.getLogger("test"))
    keeper.set_symbols([parts])
    running = asyncio.create_task(keeper.run())
    try:
        keeper.subscribed(BTC)
        await eventually(lambda: client.asked == 1)
        keeper.take(MALFORMED_UPDATES[0], parts, 0)
        client.snapshots.put_nowait(SNAPSHOT)
        await eventually(lambda: client.asked == 2)
        assert parts.book is None
        client.snapshots.put_nowait(SNAPSHOT._replace(last=7))
        await eventually(lambda: parts.book)
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def trade(trade_id: str, timestamp: Any) -> Print:
    return Print("BTC", trade_id, 100.0, 2.0, "buy", timestamp)


@pytest.mark.parametrize("timestamp", ["5", [], NOW + 2 * DAY_MS, NOW * 1000, -NOW, 0])
def test_a_bad_row_costs_no_other_its_place(timestamp: Any) -> None:
    recording = Recording()
    trades = Trades(recording.publishing, dense=False)
    recording.intake.route(Print, trades.take)
    rows = [trade("1", NOW), trade("2", timestamp), trade("3", NOW)]
    recording.intake.on_events(rows, NOW)
    assert [body["id"] for body in recording.bodies()] == ["1", "3"]
    assert recording.ledger[TRADES.label].invalid == recording.quarantine.total == 1
    assert trades.flow(BTC).last.time == NOW


def test_a_quote_from_tomorrow_is_set_aside() -> None:
    recording, taken = Recording(), []
    recording.intake.route(Quote, lambda *one: taken.append(one))
    quote = Quote("BTC", 1.0, 2.0, 1.0, 1.0, None, NOW + 2 * DAY_MS)
    recording.intake.on_events([quote, quote._replace(timestamp=NOW)], NOW)
    assert len(taken) == recording.quarantine.total == 1


def test_times_of_candles() -> None:
    check_start(NOW, NOW, NOW)
    check_start(NOW - 7 * DAY_MS, None, NOW)
    for start, timestamp in ((NOW + DAY_MS // 2, NOW), (NOW + 2 * DAY_MS, None), (0, NOW)):
        with pytest.raises(ValueError, match=r"venue time|candle"):
            check_start(start, timestamp, NOW)
    check_time(None, NOW)


def test_a_clock_that_was_set_back_takes_the_last_trade_with_it() -> None:
    """A gap begins there: what is missing after it has stamps of the clock as it is now."""
    recording = Recording()
    trades = Trades(recording.publishing, dense=False)
    recording.intake.route(Print, trades.take)
    recording.intake.on_events([trade("1", NOW + 120_000), trade("2", NOW)], NOW)
    assert trades.flow(BTC).last.time == NOW
    recording.intake.on_events([trade("3", NOW - 2000)], NOW)
    assert trades.flow(BTC).last.key == "2"  # out of order, no more


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "", None])
def test_what_is_no_finite_number_is_none(text: str | None) -> None:
    assert number(text) is price(text) is None
