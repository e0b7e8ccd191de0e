"""Bringing trades back, against a venue of which a test knows all that happened."""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kinds import TRADES
from tests.recording import BTC, Recording
from tests.refilling import PLACE, RECEIVED, Desk, Venue, closed, ids, lost, repairing
from tests.waiting import eventually
from workers.collector.continuity.gaps import Closing, Gaps, Mark, Place
from workers.collector.events import Print
from workers.collector.parts import Parts


@pytest.mark.parametrize("dense", [True, False])
async def test_what_a_cut_cost_comes_back_once_and_the_gap_is_repaired(dense: bool) -> None:
    desk = Desk(Venue(dense))
    desk.live(5)
    desk.missed(23)
    desk.live(2)
    async with repairing(desk):
        await eventually(lambda: not len(desk.gaps))
    assert sorted(desk.published()) == sorted(ids(desk.venue.happened))
    opened, closed = desk.told()[0], desk.told()[-1]
    assert opened["id"] == closed["id"]
    assert (opened["rev"], opened["state"], closed["rev"]) == (1, "open", 2)
    assert (closed["state"], closed["recovered"], closed["missing"]) == ("repaired", 23, 0)
    assert opened["last_key"] == desk.venue.happened[4].id


async def test_beyond_the_reach_of_rest_the_gap_names_exactly_the_rest() -> None:
    desk = Desk(Venue(dense=True, reach=20))
    desk.live(5)
    desk.missed(40)
    desk.live(1)
    async with repairing(desk):
        await eventually(lambda: not len(desk.gaps))
    closed = desk.told()[-1]
    assert (closed["state"], closed["missing"]) == ("unrepairable", 21)
    assert len(set(desk.published())) == len(desk.published()) == 46 - 21


async def test_without_dense_numbers_the_rest_is_a_stretch_of_time() -> None:
    desk = Desk(Venue(dense=False, reach=20))
    desk.live(5)
    desk.missed(40)
    async with repairing(desk):
        await eventually(lambda: not len(desk.gaps))
    closed = desk.told()[-1]
    oldest = desk.venue.happened[-20]
    assert (closed["state"], closed["missing"]) == ("unrepairable", None)
    assert (closed["last_key"], closed["first_key"]) == (desk.venue.happened[4].id, oldest.id)
    assert set(desk.published()) == set(ids(desk.venue.happened[:5] + desk.venue.happened[-20:]))


async def test_numbers_that_were_never_given_are_absent_and_not_missing() -> None:
    desk = Desk(Venue(dense=True))
    desk.live(5)
    for number in (107, 110):
        desk.venue.happened.append(desk.venue.happened[-1]._replace(id=str(number)))
        desk.intake.on_events(desk.venue.happened[-1:], RECEIVED)
    async with repairing(desk):
        await eventually(lambda: not len(desk.gaps))
    closed = desk.told()[-1]
    assert (closed["state"], closed["absent"], closed["missing"]) == ("repaired", 4, 0)
    assert desk.published() == ids(desk.venue.happened)


async def test_a_venue_that_is_away_is_asked_again_and_the_gap_stays_open() -> None:
    desk = Desk(Venue(dense=True))
    desk.live(3)
    desk.missed(4)
    desk.venue.away = 1
    async with repairing(desk):
        await eventually(lambda: desk.venue.asked == 1)
        assert len(desk.gaps) == 1
        await eventually(lambda: not len(desk.gaps), 5)
    assert sorted(desk.published()) == ids(desk.venue.happened)


async def test_a_stream_that_is_gone_again_keeps_its_gap_open() -> None:
    desk = Desk(Venue(dense=False))
    desk.live(3)
    desk.missed(4)
    fetch = desk.venue.fetch_trades

    async def cut_meanwhile(symbol: str, older_than: Print | None = None) -> list[Print]:
        desk.up = False
        return await fetch(symbol, older_than)

    desk.venue.fetch_trades = cut_meanwhile  # type: ignore[method-assign]
    async with repairing(desk):
        await eventually(lambda: desk.venue.asked == 2)
        await asyncio.sleep(0.02)
    assert len(desk.gaps) == 1
    assert desk.told() == desk.told()[:1]


async def test_a_restart_goes_on_from_a_second_before_the_last_known_trade() -> None:
    """Trades do not come in the order of their times: some of that second came later, or did not."""
    venue = Venue(dense=False, limit=30)
    venue.ms_between = 300
    former = Desk(venue)
    former.live(6)
    late = venue.trade()
    former.live(1)
    last = former.trades.flow(BTC).last
    for _ in range(12):
        venue.trade()
    desk = Desk(venue)
    desk.trades.flow(BTC).resume(last)
    desk.gaps.open(PLACE, "restart", last)
    async with repairing(desk):
        await eventually(lambda: not len(desk.gaps))
    assert set(desk.published()) >= {late.id, *ids(venue.happened[8:])}
    # Those of the last second come twice, with the same ids; the last one itself need not.
    assert set(desk.published()) - set(ids(venue.happened[8:])) == set(ids(venue.happened[4:7]))


async def test_what_came_back_before_the_next_cut_is_not_asked_for_again() -> None:
    """Else a gap that is cut off again and again goes further back each time, without an end."""
    desk = Desk(Venue(dense=True, reach=10_000))
    desk.live(5)
    begin = desk.trades.flow(BTC).last
    for _ in range(6):
        desk.missed(100)
        desk.live(1)
        desk.venue.asked = 0
        looked, fetch = asyncio.Event(), desk.venue.fetch_trades

        async def cut_after_the_last_page(symbol: str, older_than: Print | None = None) -> Any:
            page = await fetch(symbol, older_than)  # noqa: B023
            if page and page[0].id <= str(int(desk.venue.happened[-1].id) - 100):
                desk.up = False
                looked.set()  # noqa: B023
            return page

        desk.venue.fetch_trades = cut_after_the_last_page  # type: ignore[method-assign]
        async with repairing(desk):
            await asyncio.wait_for(looked.wait(), 5)
            await eventually(lambda: not lost(desk), 5)
        desk.venue.fetch_trades, desk.up = fetch, True  # type: ignore[method-assign]
        assert desk.gaps.last(PLACE) == begin, "it is not proven yet"
        assert desk.venue.asked <= 12, "a hundred trades are ten pages"
    ended = await closed(desk)
    assert (ended["state"], ended["missing"]) == ("repaired", 0)


async def test_no_symbol_waits_for_the_second_look_of_others() -> None:
    desk = Desk(Venue(dense=False))
    symbols = [f"S{number}/USDT:USDT" for number in range(12)]
    desk.refill.set_symbols({symbol: Parts(symbol, 0.001) for symbol in symbols})
    asked, most, asking, go_on = list[str](), 0, 0, asyncio.Event()

    async def fetch(symbol: str, older_than: Print | None = None) -> list[Print]:
        nonlocal most, asking
        asked.append(symbol)
        asking += 1
        most = max(most, asking)
        await asyncio.sleep(0.001)
        asking -= 1
        return []

    async def sleep(seconds: float) -> None:
        await go_on.wait()

    desk.venue.fetch_trades = fetch  # type: ignore[method-assign]
    desk.clock.sleep = sleep  # type: ignore[method-assign]
    for symbol in symbols:
        desk.gaps.open(Place(TRADES, symbol), "cut", Mark(None, 1_000))
        desk.refill.want(symbol)
    repairing = asyncio.create_task(desk.refill.run())
    await eventually(lambda: sorted(asked) == sorted(symbols), message="each was asked once")
    assert most <= 3, "many thousand trades each"
    go_on.set()
    await eventually(lambda: not len(desk.gaps))
    repairing.cancel()


async def test_what_is_let_go_of_is_not_tried_again() -> None:
    desk = Desk(Venue(dense=False))
    desk.live(3)
    desk.missed(3)
    desk.venue.away = 1000
    async with repairing(desk):
        await eventually(lambda: desk.refill._timers)
        desk.refill.set_symbols({})
        asked = desk.venue.asked
        await asyncio.sleep(1.5)
        assert desk.venue.asked == asked
        assert not desk.refill._timers
        assert not desk.refill._tries


async def test_a_look_that_ends_when_its_symbol_is_gone_opens_no_gap() -> None:
    desk = Desk(Venue(dense=True))
    desk.live(3)
    fetch = desk.venue.fetch_trades

    async def let_go_meanwhile(symbol: str, older_than: Print | None = None) -> list[Print]:
        desk.refill.set_symbols({})
        return await fetch(symbol, older_than)

    desk.venue.fetch_trades = let_go_meanwhile  # type: ignore[method-assign]
    desk.venue.happened = [desk.venue.trade() for _ in range(30)]
    assert await desk.refill.look(BTC) == []
    assert not len(desk.gaps)
    assert len(desk.published()) == 3


@pytest.mark.parametrize("dense", [True, False])
async def test_a_trade_that_found_no_way_out_is_fetched_again(dense: bool) -> None:
    desk = Desk(Venue(dense))
    desk.live(6)
    lost = desk.venue.happened[3]
    desk.trades.flow(BTC).unpublished(lost.id, 1)
    assert lost.timestamp is not None
    desk.gaps.open(PLACE, "dropped: spool_full", Mark(None, lost.timestamp - 1))
    ready = False
    desk.refill.ready = lambda: ready
    async with repairing(desk):
        await asyncio.sleep(0.05)
        assert desk.venue.asked == 0
        ready = True
        await eventually(lambda: not len(desk.gaps), 5)
    assert desk.published()[6:] == [lost.id]
    assert desk.told()[-1]["state"] == "repaired"


def test_a_killed_runs_gap_goes_on_in_the_next() -> None:
    first, second = Recording(), Recording()
    gaps = Gaps(first.publishing, "w", "w/1")
    gaps.open(PLACE, "cut", Mark("7", 5))
    heirs = Gaps(second.publishing, "w", "w/2")
    assert [heirs.adopt(PLACE, kept) for kept in gaps.kept().values()] == [True]
    assert not heirs.adopt(PLACE, {"id": 5})
    gaps.close(PLACE, Closing("repaired"))  # told, but the kill came before that was kept
    heirs.close(PLACE, Closing("repaired"))
    told = [orjson.loads(fact.body) for fact in (*first.facts, *second.facts)]
    assert len({gap["id"] for gap in told}) == 1
    assert [(gap["rev"], gap["state"]) for gap in told] == [
        (1, "open"),
        (2, "repaired"),
        (3, "open"),
        (4, "repaired"),
    ]
    assert len({fact.key for fact in (*first.facts, *second.facts)}) == 4


def test_gaps_that_begin_alike_are_told_apart_and_none_is_told_before_it_is_kept() -> None:
    recording = Recording()
    gaps = Gaps(recording.publishing, "w", "w/1")
    gaps.held = True
    for _ in range(2):
        gaps.open(PLACE, "cut", Mark("7", 5))
        assert len(gaps.kept()) == 1
        gaps.close(PLACE, Closing("repaired"))
    assert recording.facts == []
    gaps.release()
    assert len(recording.facts) == 3  # the last end came after what was kept
    gaps.kept()
    gaps.release()
    assert len({fact.key for fact in recording.facts}) == 4


STEP = st.sampled_from(["live", "live", "live", "cut", "drop", "repeat", "late"])


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.lists(st.tuples(STEP, st.integers(1, 9)), max_size=25))
def test_whatever_happens_each_trade_is_there_once_in_the_end(
    dense: bool, steps: list[tuple[str, int]]
) -> None:
    asyncio.run(_play(dense, steps))


async def _play(dense: bool, steps: list[tuple[str, int]]) -> None:
    desk = Desk(Venue(dense, limit=7, reach=1000))
    desk.live(1)
    for step, count in steps:
        if step == "live":
            desk.live(count)
        elif step == "cut":
            desk.missed(count)
            desk.live(1)
        elif step == "drop" and dense:  # without numbers a single lost trade shows to nobody
            desk.venue.trade()
            desk.live(1)
        elif step == "repeat":
            desk.intake.on_events(desk.venue.happened[-count:], 7) if not len(desk.gaps) else None
        elif step == "late" and dense:
            late = desk.venue.trade()
            desk.live(1)
            desk.intake.on_events([late], 7)
    async with repairing(desk):
        await eventually(lambda: not len(desk.gaps))
    assert sorted(desk.published()) == sorted(ids(desk.venue.happened))
    closed = [gap for gap in desk.told() if gap["state"] != "open"]
    assert all(gap["state"] == "repaired" for gap in closed)
