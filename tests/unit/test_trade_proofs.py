"""Proofs against venues that answer late, out of order, with slips, or number anew."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from shared.errors import NetworkError
from tests.recording import BTC
from tests.refilling import PLACE, RECEIVED, Desk, Venue, closed, ids, lost, repairing, stamped
from tests.station import Station
from tests.waiting import eventually
from workers.collector.continuity.gaps import Mark
from workers.collector.events import Print
from workers.collector.trades.flow import NamedFlow

HOUR_MS = 3_600_000


def answering(desk: Desk, page: list[Print]) -> None:
    """REST says the same from now on."""

    async def fetch(symbol: str, older_than: Print | None = None) -> list[Print]:
        desk.venue.asked += 1
        await asyncio.sleep(0)
        return page if older_than is None else []

    desk.venue.fetch_trades = fetch  # type: ignore[method-assign]


@pytest.mark.parametrize("dense", [True, False])
async def test_a_trade_that_is_older_than_the_last_one_before_the_gap_comes_back(
    dense: bool,
) -> None:
    """Trades are not sorted by time to the millisecond."""
    desk = Desk(Venue(dense))
    desk.live(3)
    desk.intake.on_events([stamped(desk.venue, 1_100)], RECEIVED)
    desk.missed(0)
    late = stamped(desk.venue, 1_099)
    desk.intake.on_events([stamped(desk.venue, 1_101)], RECEIVED)
    gap = await closed(desk)
    assert (gap["state"], gap["recovered"], gap["absent"]) == ("repaired", 1, 0)
    assert late.id in desk.published()


@pytest.mark.parametrize("dense", [True, False])
async def test_a_slip_of_the_clock_hides_no_trade(dense: bool) -> None:
    """One trade that is dated hours ahead, as the last before a cut."""
    desk = Desk(Venue(dense))
    desk.live(3)
    desk.intake.on_events([stamped(desk.venue, RECEIVED + 20 * HOUR_MS)], RECEIVED)
    assert desk.trades.flow(BTC).last.time == RECEIVED
    desk.venue.happened[-1] = desk.venue.happened[-1]._replace(timestamp=1_051)
    desk.live(2)
    desk.missed(8)
    desk.live(1)
    gap = await closed(desk)
    assert (gap["state"], gap["recovered"]) == ("repaired", 8)
    assert not lost(desk)


async def test_a_clock_that_is_known_to_be_ahead_is_no_slip() -> None:
    desk = Desk(Venue(dense=False))
    desk.trades.venue_ahead = lambda: 120_000.0
    desk.intake.on_events([stamped(desk.venue, RECEIVED + 120_000)], RECEIVED)
    assert desk.trades.flow(BTC).last.time == RECEIVED + 120_000


@pytest.mark.parametrize("spoke_first", [True, False])
async def test_a_cut_before_the_first_trade_costs_none(spoke_first: bool) -> None:
    """Nothing numbers the begin of such a gap: it begins with the time of the subscription."""
    desk = Desk(Venue(dense=True))
    stamped(desk.venue, 900)
    desk.trades.flow(BTC).last = Mark(None, 1_000)
    desk.missed(8)
    desk.live(int(spoke_first))
    gap = await closed(desk)
    assert (gap["state"], gap["recovered"], gap["missing"]) == ("repaired", 8, 0)
    assert sorted(desk.published()) == ids(desk.venue.happened[1:])


async def test_a_restart_of_a_symbol_without_a_trade_costs_none(tmp_path: Path) -> None:
    former = Station(tmp_path, dense=True)
    former.up()
    await former.continuity.finish()
    station = Station(tmp_path, dense=True)
    for _ in range(8):
        station.venue.trade()
    station.up()
    station.live(1)
    running = asyncio.create_task(station.continuity.refill.run())
    await eventually(lambda: not len(station.continuity.gaps), 5)
    running.cancel()
    published = [body["id"] for body in station.bodies() if "price" in body]
    assert sorted(published) == ids(station.venue.happened)


async def test_pages_that_do_not_reach_a_begin_without_a_number_prove_nothing() -> None:
    desk = Desk(Venue(dense=True, limit=10, reach=20))
    desk.trades.flow(BTC).last = Mark(None, 1_000)
    desk.missed(100)
    gap = await closed(desk)
    assert (gap["state"], gap["missing"]) == ("unrepairable", None)
    assert gap["first_key"] == desk.venue.happened[-20].id


async def test_an_answer_out_of_a_cache_proves_nothing() -> None:
    """It lists nothing of what the stream brought since: the gap waits for one that does."""
    desk = Desk(Venue(dense=False))
    desk.live(5)
    fetch = desk.venue.fetch_trades
    answering(desk, list(desk.venue.happened))
    desk.missed(8)
    desk.live(2)
    async with repairing(desk):
        await eventually(lambda: desk.venue.asked >= 2)
        await asyncio.sleep(0.05)
        assert len(desk.gaps) == 1
        desk.venue.fetch_trades = fetch  # type: ignore[method-assign]
        await eventually(lambda: not len(desk.gaps), 5)
    assert desk.told()[-1]["state"] == "repaired"
    assert not lost(desk)


async def test_a_page_beyond_all_that_the_stream_told_at_first_is_fresh() -> None:
    desk = Desk(Venue(dense=False, limit=10, pages=False))
    desk.live(5)
    desk.missed(3)
    desk.live(40)
    gap = await closed(desk)
    assert gap["state"] == "unrepairable"
    assert len(lost(desk)) == 3


async def test_a_number_that_is_listed_later_than_the_next_is_not_absent() -> None:
    desk = Desk(Venue(dense=True))
    desk.live(5)
    desk.missed(1)
    late, following = desk.venue.trade(), desk.venue.trade()
    whole, calls = desk.venue.fetch_trades, 0

    async def fetch(symbol: str, older_than: Print | None = None) -> list[Print]:
        nonlocal calls
        calls += 1
        found = await whole(symbol, older_than)
        return [t for t in found if t is not late] if calls == 1 else found

    desk.venue.fetch_trades = fetch  # type: ignore[method-assign]
    gap = await closed(desk)
    assert (gap["recovered"], gap["absent"], calls) == (3, 0, 2)
    desk.intake.on_events([late, following], RECEIVED)
    assert desk.ledger["trades"].deduplicated == 2


async def test_a_number_that_was_absent_is_taken_when_the_stream_brings_it() -> None:
    desk = Desk(Venue(dense=True))
    desk.live(5)
    desk.missed(1)
    late, _ = desk.venue.trade(), desk.venue.trade()
    answering(desk, [t for t in desk.venue.happened if t is not late])
    gap = await closed(desk)
    assert (gap["state"], gap["absent"]) == ("repaired", 1)
    desk.intake.on_events([late], RECEIVED)
    assert late.id in desk.published()


async def test_a_listed_trade_that_is_unfit_is_missing_and_not_absent() -> None:
    desk = Desk(Venue(dense=True))
    desk.live(5)
    desk.missed(3)
    desk.live(1)
    desk.venue.happened[6] = desk.venue.happened[6]._replace(side="none")
    gap = await closed(desk)
    assert (gap["state"], gap["missing"], gap["absent"]) == ("unrepairable", 1, 0)


async def test_a_dropped_trade_that_nobody_lists_any_more_is_missing() -> None:
    desk = Desk(Venue(dense=False))
    desk.live(6)
    gone = desk.venue.happened.pop(3)
    desk.trades.flow(BTC).unpublished(gone.id, 1)
    assert gone.timestamp is not None
    desk.gaps.open(PLACE, "dropped: spool_full", Mark(None, gone.timestamp - 1))
    gap = await closed(desk)
    assert (gap["state"], gap["missing"]) == ("unrepairable", 1)


async def test_pages_may_be_shorter_than_the_first() -> None:
    """500 and then 100 each: a gap may be as long as others, in more pages."""
    desk = Desk(Venue(dense=True, limit=500, reach=10**6))
    desk.live(5)
    desk.missed(9_000)
    desk.live(1)
    fetch = desk.venue.fetch_trades

    async def short(symbol: str, older_than: Print | None = None) -> list[Print]:
        found = await fetch(symbol, older_than)
        return found if older_than is None else found[-100:]

    desk.venue.fetch_trades = short  # type: ignore[method-assign]
    gap = await closed(desk)
    assert (gap["state"], gap["recovered"]) == ("repaired", 9_000)


@pytest.mark.parametrize("dense", [True, False])
async def test_pages_that_meet_between_unsorted_trades_lose_none(dense: bool) -> None:
    """The newest of the older page is dated after the oldest of the newer one."""
    desk = Desk(Venue(dense, limit=10, reach=1000))
    desk.live(5)
    desk.missed(30)
    border = len(desk.venue.happened) - 10
    older, newer = desk.venue.happened[border - 1 : border + 1]
    assert newer.timestamp is not None
    desk.venue.happened[border - 1] = older._replace(timestamp=newer.timestamp + 1)
    gap = await closed(desk)
    assert (gap["state"], gap["recovered"]) == ("repaired", 30)
    assert not lost(desk)


async def test_what_is_beyond_reach_is_named_by_the_try_that_is_told() -> None:
    """A try whose end is not told, since more is wanted meanwhile, forgets nothing."""
    desk = Desk(Venue(dense=True, reach=20))
    desk.live(5)
    desk.missed(40)
    desk.live(1)
    fetch, wanted = desk.venue.fetch_trades, False

    async def wanted_again(symbol: str, older_than: Print | None = None) -> list[Print]:
        nonlocal wanted
        found = await fetch(symbol, older_than)
        if not wanted:
            wanted = True
            desk.refill.want(BTC)
        return found

    desk.venue.fetch_trades = wanted_again  # type: ignore[method-assign]
    gap = await closed(desk)
    assert (gap["state"], gap["missing"], gap["recovered"]) == ("unrepairable", 21, 19)


async def test_two_answers_with_a_seam_between_them_prove_nothing() -> None:
    """So much is traded in between that the second does not go back to the first."""
    desk = Desk(Venue(dense=False, limit=10, pages=False))
    desk.live(5)
    desk.missed(3)
    fetch, calls = desk.venue.fetch_trades, 0

    async def busy(symbol: str, older_than: Print | None = None) -> list[Print]:
        nonlocal calls
        calls += 1
        found = await fetch(symbol, older_than)
        if calls == 1:
            desk.venue.trade()  # neither listed yet nor told
            desk.live(15)
        return found

    desk.venue.fetch_trades = busy  # type: ignore[method-assign]
    gap = await closed(desk)
    assert gap["state"] == "unrepairable"
    assert len(lost(desk)) == 1


async def test_tries_of_a_long_gap_bring_back_each_trade_once() -> None:
    desk = Desk(Venue(dense=False, limit=1000, reach=20_000))
    desk.live(5)
    desk.missed(9_000)
    desk.live(2)
    fetch, failed = desk.venue.fetch_trades, False

    async def failing(symbol: str, older_than: Print | None = None) -> list[Print]:
        nonlocal failed
        if older_than is None and desk.venue.asked > 5 and not failed:
            failed = True
            raise NetworkError("the second look")
        return await fetch(symbol, older_than)

    desk.venue.fetch_trades = failing  # type: ignore[method-assign]
    gap = await closed(desk)
    assert failed
    assert (gap["state"], gap["recovered"]) == ("repaired", 9_000)
    assert sorted(desk.published()) == sorted(ids(desk.venue.happened))


async def test_drops_without_end_cost_one_timer_and_a_bounded_memory() -> None:
    desk = Desk(Venue(dense=False))
    desk.live(1)
    desk.refill.ready = lambda: False
    flow = desk.trades.flow(BTC)
    async with repairing(desk):
        desk.gaps.open(PLACE, "dropped: spool_full", flow.last)
        for number in range(20_000):
            flow.unpublished(f"uuid-{number}", 1)
            desk.refill.want(BTC)
            if not number % 100:
                await asyncio.sleep(0)
        assert len(desk.refill._timers) == 1
    assert isinstance(flow, NamedFlow)
    assert len(flow.unsent) + flow.unsent_beyond == 20_000
    assert len(flow.unsent) == 10_000


@pytest.mark.parametrize("dense", [True, False])
async def test_a_row_that_is_nothing_costs_no_page_and_no_worker(dense: bool) -> None:
    desk = Desk(Venue(dense, limit=10, reach=1000))
    desk.live(5)
    desk.missed(30)
    desk.live(1)
    bad: Any = Print("BTC", "x", None, None, "", None)  # type: ignore[arg-type]
    fetch = desk.venue.fetch_trades

    async def with_a_bad_row(symbol: str, older_than: Print | None = None) -> list[Print]:
        found = await fetch(symbol, older_than)
        return [*found[:3], bad._replace(timestamp=found[0].timestamp), *found[3:]]

    desk.venue.fetch_trades = with_a_bad_row  # type: ignore[method-assign]
    gap = await closed(desk)
    assert (gap["state"], gap["recovered"]) == ("repaired", 30)
