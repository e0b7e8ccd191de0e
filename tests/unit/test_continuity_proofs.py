"""That a gap is called repaired only when nothing can be missing, and what it names otherwise."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kinds import TRADES
from tests.recording import BTC
from tests.refilling import PLACE, Desk, Venue, closed, ids, repairing
from tests.waiting import eventually
from workers.collector.continuity.gaps import Closing, Mark
from workers.collector.events import Print


@pytest.mark.parametrize("dense", [True, False])
async def test_a_quiet_symbol_is_proven_without_any_new_trade(dense: bool) -> None:
    desk = Desk(Venue(dense))
    desk.live(5)
    desk.missed(0)
    gap = await closed(desk)
    assert (gap["state"], gap["recovered"], gap["missing"]) == ("repaired", 0, 0)
    assert desk.published() == ids(desk.venue.happened)


@pytest.mark.parametrize("dense", [True, False])
async def test_a_venue_that_lists_nothing_proves_nothing(dense: bool) -> None:
    desk = Desk(Venue(dense))
    desk.live(5)
    desk.missed(8)
    listed, desk.venue.happened = desk.venue.happened, []  # as after a restart of its caches
    async with repairing(desk):
        await eventually(lambda: desk.venue.asked >= 1)
        await asyncio.sleep(0.05)
        assert [gap["state"] for gap in desk.told()] != ["open", "repaired"]
        desk.venue.happened = listed
        await eventually(lambda: not len(desk.gaps), 5)
    assert sorted(desk.published()) == sorted(ids(desk.venue.happened))


async def test_a_second_cut_while_the_first_is_repaired_is_repaired_as_well() -> None:
    desk = Desk(Venue(dense=False, limit=10, reach=200))
    desk.live(5)
    desk.missed(3)
    desk.live(1)
    fetch, cut = desk.venue.fetch_trades, False

    async def cut_once(symbol: str, older_than: Print | None = None) -> list[Print]:
        nonlocal cut
        found = await fetch(symbol, older_than)
        if not cut:  # right after the first page more is missed than a page holds
            cut = True
            desk.missed(30)
            desk.live(1)
            desk.refill.want(BTC)
        return found

    desk.venue.fetch_trades = cut_once  # type: ignore[method-assign]
    await closed(desk)
    assert set(ids(desk.venue.happened)) == set(desk.published())


async def test_a_stream_back_while_the_last_page_is_on_its_way_is_asked_again() -> None:
    """The page was cut before the stream ran again: what happened in between is on none."""
    desk = Desk(Venue(dense=False))
    desk.live(5)
    desk.missed(3)
    fetch = desk.venue.fetch_trades

    async def late(symbol: str, older_than: Print | None = None) -> list[Print]:
        found = await fetch(symbol, older_than)
        if desk.venue.asked == 2:  # the second look
            desk.missed(2)
            desk.refill.want(BTC)  # what being up again does
        return found

    desk.venue.fetch_trades = late  # type: ignore[method-assign]
    await closed(desk)
    assert set(ids(desk.venue.happened)) == set(desk.published())


@pytest.mark.parametrize("dense", [True, False])
async def test_what_is_dropped_before_the_begin_of_an_open_gap_comes_back(dense: bool) -> None:
    """The disk filled up while a stream was cut: the gap begins with the earlier of the two."""
    desk = Desk(Venue(dense))
    desk.live(6)
    desk.missed(4)
    lost = desk.venue.happened[1]
    assert lost.timestamp is not None
    desk.trades.flow(BTC).unpublished(lost.id, 1)
    desk.gaps.open(PLACE, "dropped: spool_full", Mark(None, lost.timestamp - 1))
    await closed(desk)
    assert desk.published().count(lost.id) == 2
    assert desk.told()[-1]["absent"] == 0


@pytest.mark.parametrize("dense", [True, False])
async def test_what_came_while_pages_were_fetched_is_not_published_again(dense: bool) -> None:
    """A long cut: many thousand trades are brought back behind those that are live already."""
    desk = Desk(Venue(dense, limit=1000, reach=10_000))
    desk.live(5)
    desk.missed(6000)
    desk.live(5)
    await closed(desk)
    published = desk.published()
    assert len(published) == len(set(published))
    assert set(published) == set(ids(desk.venue.happened))


async def test_a_bad_id_of_rest_costs_no_worker_its_life() -> None:
    desk = Desk(Venue(dense=True))
    desk.live(3)
    desk.missed(2)
    bad = desk.venue.happened[-1]._replace(id="x1")
    desk.venue.happened.insert(-1, bad)
    running = asyncio.create_task(desk.refill.run())
    try:
        desk.refill.want(BTC)
        await eventually(lambda: desk.venue.asked >= 1)
        await asyncio.sleep(0.05)
        assert not running.done()
        assert {t.id for t in desk.venue.happened if t is not bad} == set(desk.published())
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_an_order_that_found_no_way_out_comes_back_with_all_its_fills() -> None:
    """REST lists each fill of an order that the stream told in one."""
    desk = Desk(Venue(dense=True))
    first = Print("BTC", "5", 10.0, 1.0, "buy", 5)
    together = first._replace(id="9", fills=4, size=4.0, timestamp=6)
    desk.intake.on_events([first, together], 7)
    desk.trades.flow(BTC).unpublished("9", 4)
    fills = [first._replace(id=str(number), timestamp=6) for number in range(6, 10)]
    desk.trades.refill(fills, desk.parts)
    came_back = [body["amount"] for body in desk.bodies()[2:]]
    assert sum(came_back) == pytest.approx(0.004)


async def test_beyond_reach_a_gap_names_the_first_trade_that_is_there_again() -> None:
    """Both sides of what is gone: a reader may take all before and all after it as complete."""
    desk = Desk(Venue(dense=True, reach=20))
    desk.live(5)
    desk.missed(40)
    gap, oldest = await closed(desk), desk.venue.happened[-20]
    assert (gap["last_key"], gap["missing"]) == (desk.venue.happened[4].id, 20)
    assert (gap["first_key"], gap["first_time"]) == (oldest.id, oldest.timestamp)


@pytest.mark.parametrize("state", ["repaired", "unrepairable"])
def test_two_gaps_that_begin_with_the_same_trade_are_told_apart(state: str) -> None:
    """A quiet symbol is cut twice: each message id names one fact for ever."""
    desk = Desk(Venue(dense=False))
    for _ in range(2):
        desk.gaps.open(PLACE, "cut", Mark("7", 5))
        desk.clock.elapsed_s += 60
        desk.gaps.close(PLACE, Closing("repaired" if state == "repaired" else "unrepairable"))
    keys = [fact.key for fact in desk.facts]
    assert len(set(keys)) == len(keys) == 4
    latest = max(desk.told(), key=lambda gap: (gap["id"] == desk.told()[-1]["id"], gap["rev"]))
    assert latest == desk.told()[-1]


def test_of_a_stream_at_most_one_gap_is_open_and_each_ends_once() -> None:
    desk = Desk(Venue(dense=True))
    desk.gaps.open(PLACE, "cut", Mark("7", 5))
    desk.gaps.open(PLACE, "silent", Mark("9", 6))
    desk.gaps.forget(BTC)
    desk.gaps.close(PLACE, Closing("repaired"))
    assert [(gap["reason"], gap["state"]) for gap in desk.told()] == [
        ("cut", "open"),
        ("cut", "unrepairable"),
    ]
    assert desk.gaps.reasons(TRADES) == {}


STEP = st.sampled_from(["live", "live", "cut", "cut", "repeat", "repair"])


@settings(max_examples=80, deadline=None)
@given(
    st.booleans(),
    st.integers(5, 25),
    st.booleans(),
    st.lists(st.tuples(STEP, st.integers(1, 15)), min_size=3, max_size=25),
)
def test_what_is_not_there_lies_in_a_gap_that_says_so(
    dense: bool, reach: int, pages: bool, steps: list[tuple[str, int]]
) -> None:
    """Within reach each trade is there once; beyond it gaps name exactly the rest."""
    asyncio.run(_play(Desk(Venue(dense, 7, reach, pages)), steps))


async def _play(desk: Desk, steps: list[tuple[str, int]]) -> None:
    desk.live(1)
    for step, count in [*steps, ("repair", 1)]:
        if step == "live":
            desk.live(count)
        elif step == "cut" and not len(desk.gaps):
            desk.missed(count)
            desk.live(1)
        elif step == "repeat" and not len(desk.gaps):
            known = set(desk.published())
            desk.intake.on_events([t for t in desk.venue.happened[-count:] if t.id in known], 7)
        elif step == "repair":
            async with repairing(desk):
                await eventually(lambda: not len(desk.gaps), 5)
    _judge(desk)


def _judge(desk: Desk) -> None:
    published = desk.published()
    assert len(published) == len(set(published))
    ended = [gap for gap in desk.told() if gap["state"] != "open"]
    lost = [t for t in desk.venue.happened if t.id not in set(published)]
    if desk.venue.feed.dense:
        assert sum(gap["missing"] for gap in ended) == len(lost)
        assert not any(gap["absent"] for gap in ended)
    gone = [gap for gap in ended if gap["state"] == "unrepairable"]
    for trade in lost:
        assert trade.timestamp is not None
        assert any(g["last_time"] <= trade.timestamp <= g["first_time"] for g in gone), trade
