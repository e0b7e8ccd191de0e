"""Proofs under whatever REST may do while a gap is worked on."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import NetworkError
from tests.recording import BTC
from tests.refilling import Desk, Venue, repairing
from tests.waiting import eventually
from workers.collector.events import Print


class Moody(Venue):
    """Each answer in a mood of its own: late, none, or while the market moves or the stream ends."""

    def __init__(self, dense: bool, reach: int, pages: bool, moods: list[str]) -> None:
        super().__init__(dense, 7, reach, pages)
        self.desk: Desk
        self._moods = moods

    def trade(self) -> Print:
        """Times are not in order to the millisecond."""
        trade = super().trade()
        assert trade.timestamp is not None
        jitter_ms = 2 * (len(self.happened) % 3 == 0)
        self.happened[-1] = trade._replace(timestamp=trade.timestamp - jitter_ms)
        return self.happened[-1]

    async def fetch_trades(self, symbol: str, older_than: Print | None = None) -> list[Print]:
        mood = self._moods.pop() if self._moods else ""
        if mood == "away":
            raise NetworkError("away")
        found = await super().fetch_trades(symbol, older_than)
        if mood == "late" and older_than is None:
            found = found[:-2]
        elif mood == "busy":
            self.desk.live(3)
        elif mood == "rush":
            self.desk.live(12)
        elif mood == "cut":
            self.desk.missed(2)
            self.desk.live(1)
            self.desk.refill.want(BTC)
        return sorted(found, key=lambda trade: trade.timestamp or 0)


@settings(max_examples=150, deadline=None)
@given(
    st.booleans(),
    st.integers(15, 60),
    st.booleans(),
    st.lists(st.sampled_from(["", "late", "away", "busy", "rush", "cut"]), max_size=12),
    st.lists(st.integers(0, 20), min_size=1, max_size=4),
)
def test_whatever_the_mood_of_rest_no_gap_says_more_than_is_so(
    dense: bool, reach: int, pages: bool, moods: list[str], cuts: list[int]
) -> None:
    venue = Moody(dense, reach, pages, moods)
    venue.desk = Desk(venue)
    asyncio.run(moody(venue.desk, cuts))


async def moody(desk: Desk, cuts: list[int]) -> None:
    def at_once(symbol: str) -> None:
        asyncio.get_running_loop().call_soon(desk.refill.want, symbol)

    desk.refill._later = at_once  # type: ignore[method-assign]
    desk.live(2)
    for missed in cuts:
        desk.missed(missed)
        desk.live(2)
        async with repairing(desk):
            await eventually(lambda: not len(desk.gaps), 5)
    published = desk.published()
    assert len(published) == len(set(published))
    ends = [gap for gap in desk.told() if gap["state"] == "unrepairable"]
    for trade in desk.venue.happened:
        assert trade.id in published or any(
            end["last_time"] - 3 <= (trade.timestamp or 0) <= end["first_time"] + 3 for end in ends
        ), trade
    if desk.venue.feed.dense:
        assert sum(end["missing"] for end in ends) == len(
            {t.id for t in desk.venue.happened} - set(published)
        )
        assert not any(gap["absent"] for gap in desk.told())
