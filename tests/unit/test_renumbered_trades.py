"""Venues that number their trades anew, and numbers that are slips."""

import pytest

from tests.recording import BTC
from tests.refilling import PLACE, RECEIVED, Desk, Venue, closed, ids, lost, stamped
from workers.collector.continuity.gaps import Mark
from workers.collector.events import Print


def renumbered(count: int, since: int) -> list[Print]:
    return [Print("BTC", str(n), 10.0, 1.0, "buy", since + n) for n in range(1, count + 1)]


@pytest.mark.parametrize("after_ms", [900, 4_000])
async def test_a_venue_that_numbers_anew_is_followed(after_ms: int) -> None:
    """A relisting, or a new engine: numbers that came before, on trades that did not."""
    desk = Desk(Venue(dense=True))
    desk.live(5)
    desk.venue.happened = renumbered(7, 1_052 + after_ms)
    desk.intake.on_events(desk.venue.happened[2:4], RECEIVED)
    gap = await closed(desk)
    if after_ms > 1_000:  # else they might have come late
        assert (gap["reason"], gap["state"]) == ("numbered anew", "unrepairable")
        assert gap["missing"] is None
    assert gap["last_key"] == "104"
    assert sorted(desk.published()[5:]) == ids(desk.venue.happened)
    following = Print("BTC", "8", 10.0, 1.0, "buy", 8_000)
    desk.intake.on_events([following], RECEIVED)
    assert desk.published()[-1] == "8"


async def test_new_numbers_that_only_rest_has_shown_are_followed() -> None:
    """The stream is silent, and a look finds the new numbers first."""
    desk = Desk(Venue(dense=True, limit=500, reach=1000))
    desk.live(150)
    desk.venue.happened = renumbered(160, 5_000)
    await desk.refill.look(BTC)
    assert desk.told()[-1]["reason"] == "numbered anew"
    gap = await closed(desk)
    assert gap["state"] == "unrepairable"
    assert not lost(desk)


async def test_new_numbers_beyond_the_old_ones_after_a_restart_end_nothing() -> None:
    desk = Desk(Venue(dense=True, limit=500, reach=1000))
    desk.trades.flow(BTC).resume(Mark("100", 1_050))
    desk.gaps.open(PLACE, "restart", Mark("100", 1_050))
    desk.venue.happened = renumbered(150, 5_000)
    gap = await closed(desk)
    assert (gap["state"], gap["missing"]) == ("unrepairable", None)
    assert not lost(desk)


async def test_one_corrupt_number_silences_nobody() -> None:
    desk = Desk(Venue(dense=True))
    desk.live(3)
    desk.intake.on_events([Print("BTC", str(10**12), 10.0, 1.0, "buy", 1_060)], RECEIVED)
    for _ in range(6):
        desk.intake.on_events([stamped(desk.venue, 1_061 + len(desk.venue.happened))], RECEIVED)
    await closed(desk)
    assert not lost(desk)


async def test_a_repeat_with_another_time_is_a_repeat() -> None:
    desk = Desk(Venue(dense=True))
    desk.live(5)
    repeat = desk.venue.happened[1]._replace(timestamp=1_090)
    desk.intake.on_events([repeat], RECEIVED)
    desk.intake.on_events([stamped(desk.venue, 1_091)], RECEIVED)
    gap = await closed(desk)
    assert (gap["state"], gap["recovered"]) == ("repaired", 0)
    assert desk.published() == ids(desk.venue.happened)
