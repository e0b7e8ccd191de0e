"""Whatever frames get lost, late or twice: each candle once a revision, in order."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.messages import Ohlcv
from tests.candles import World
from tests.recording import BTC

ACTIONS = st.lists(
    st.sampled_from(
        ["open", "open", "close", "next", "next", "skip", "repeat", "late", "invalid"]
        + ["correct", "look", "away", "back", "cut", "none"]
    ),
    max_size=40,
)


class Play:
    """A market that goes on, whose frames get lost, come twice or late, and whose candles change
    after their close; `world` hears of it what it hears."""

    def __init__(self, world: World, flagged: bool) -> None:
        self.world = world
        self.minute = 0
        self.price = 10.0
        self.none: set[int] = set()
        self._flagged = flagged

    async def act(self, action: str) -> None:
        acts: dict[str, Callable[[], None]] = {
            "open": self._open,
            "close": self._close,
            "next": self.next,
            "skip": lambda: self.next(3),
            "repeat": self._repeat,
            "late": lambda: self._say(self.minute - 2, self.price, False),
            "invalid": lambda: self.world.frame(self.minute, closed=self._flagged, low=99.0),
            "correct": self._correct,
            "away": lambda: setattr(self.world, "away", True),
            "back": lambda: setattr(self.world, "away", False),
            "cut": lambda: self.world.candles.lost(BTC, "1m"),
            "none": lambda: self.none.add(self.minute),
        }
        if action == "look":
            await self.world.until(self.world.clock.elapsed_s / 60 + 0.2, step_s=3)
            self.next(0)
        else:
            acts[action]()

    def _say(self, minute: int, close: float, closed: bool) -> None:
        self.world.frame(minute, close, closed=closed if self._flagged else None)

    def _open(self) -> None:
        self.price += 1
        self._say(self.minute, self.price, False)

    def _close(self) -> None:
        """The last frame of the minute, a moment after its end, of what the venue has as well."""
        if self.minute not in self.none:
            self._ended()
            self._say(self.minute, self.price, True)

    def _ended(self) -> None:
        self.world.clock.elapsed_s = max(self.world.clock.elapsed_s, 60.0 * (self.minute + 1))
        if self.minute not in self.none:
            self.world.has(self.minute, self.price)

    def next(self, minutes: int = 1) -> None:
        """On to a later minute; or to the one that it is by now."""
        now = int(self.world.clock.elapsed_s // 60)
        for _ in range(max(minutes, now - self.minute)):
            self._ended()
            self.minute += 1
        if minutes == 1 and self.minute not in self.none:
            self._say(self.minute, self.price, False)

    def _repeat(self) -> None:
        before = self.minute - 1
        if before in self.world.rows:
            self._say(before, self.world.rows[before].close, True)

    def _correct(self) -> None:
        before = self.minute - 1
        if before in self.world.rows:
            self.world.has(before, self.world.rows[before].close + 0.5)


@given(actions=ACTIONS, flagged=st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_interleaving_publishes_each_candle_once_a_revision_and_in_order(
    actions: list[str], flagged: bool
) -> None:
    async def play() -> World:
        world = World()
        market = Play(world, flagged)
        for action in actions:
            await market.act(action)
        world.away = False
        market.next()
        await world.until(market.minute + 6, step_s=3)
        return world

    world = asyncio.run(play())
    revisions: dict[int, list[int]] = defaultdict(list)
    for minute, rev, _ in world.closed():
        revisions[minute].append(rev)
    assert all(revs == list(range(len(revs))) for revs in revisions.values())
    first = [minute for minute, rev, _ in world.closed() if rev == 0]
    assert first == sorted(first)
    for body in world.bodies():
        Ohlcv.model_validate(body)
    assert len({fact.key for fact in world.facts if fact.key}) == len(world.closed())
    told = {minute for a, b in world.missing for minute in range(a, b + 1)}
    if first:
        due = set(range(first[0], first[-1] + 1))
        assert due <= set(first) | told
        assert not set(first) & told
        assert first[-1] >= max(world.rows, default=first[-1])
