"""Candles: when they are closed, their order, corrections, what is fetched and what is missing."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.config import Collection
from shared.errors import NetworkError
from shared.kinds import CANDLE, OPEN_CANDLE
from shared.messages import Ohlcv
from tests.recording import BTC, Recording
from workers.collector.candles.candles import Candles
from workers.collector.candles.questions import MOST_CHECKS, CandleQuestions
from workers.collector.candles.series import CandleSeries
from workers.collector.catalogue.row import CandleFeed
from workers.collector.events import Candle

MINUTE = 60_000
T0 = 1_800_000_000_000  # where the fake clock starts: a whole minute


def start(minute: int) -> int:
    return T0 + minute * MINUTE


class World(Recording):
    """One symbol's candles of one minute, a venue whose REST has `rows`, and time to move."""

    def __init__(self, *, contracts: bool = False) -> None:
        super().__init__()
        self.rows: dict[int, Candle] = {}  # by minute
        self.asked: list[tuple[int, int]] = []
        self.away = False
        self.missing: list[tuple[int, int]] = []
        feed = CandleFeed(page=50, contracts=contracts)
        log = logging.getLogger("test")
        self.candles = Candles(feed, self.publishing, self, log)
        self.candles.on_missing(self._missing)
        self.candles.set_symbols([self.parts])
        self.intake.route(Candle, self.candles.take)

    def _missing(self, symbol: str, timeframe: str, first: int, last: int) -> None:
        assert (symbol, timeframe) == (BTC, "1m")
        self.missing.append(((first - T0) // MINUTE, (last - T0) // MINUTE))

    async def fetch_candles(
        self, symbol: str, timeframe: str, since: int, limit: int
    ) -> tuple[float, list[Candle]]:
        self.asked.append(((since - T0) // MINUTE, limit))
        if self.away:
            raise NetworkError("away")
        rows = [row for _, row in sorted(self.rows.items()) if row.start >= since]
        return self.clock.monotonic(), rows[:limit]

    def frame(self, minute: int, close: float = 10.0, **changes: Any) -> None:
        """A frame as the stream brings it, now."""
        self.intake.on_events([self.candle(minute, close, **changes)], self.clock.now_ms())

    def candle(self, minute: int, close: float = 10.0, **changes: Any) -> Candle:
        high, low = max(10.0, close), min(10.0, close)
        made = Candle("BTC", "1m", start(minute), 10.0, high, low, close, 2.0, None, None, 20.0)
        return made._replace(timestamp=self.clock.now_ms())._replace(**changes)

    def has(self, minute: int, close: float = 10.0, **changes: Any) -> None:
        """What REST says of a minute from now on."""
        self.rows[minute] = self.candle(minute, close, timestamp=None, **changes)

    async def until(self, minute: float, step_s: float = 1.0) -> None:
        """Move the clock, looking each `step_s`; questions are asked meanwhile."""
        async with asking(self.candles):
            while self.clock.now_ms() < start(0) + minute * MINUTE:
                self.clock.elapsed_s += step_s
                await self.candles.tick()
                for _ in range(8):
                    await asyncio.sleep(0)

    def closed(self) -> list[tuple[int, int, float]]:
        """Minute, revision and close of what was published as closed, in order."""
        return [
            ((body["start"] - T0) // MINUTE, body["rev"], body["close"])
            for body in self.bodies()
            if body["closed"]
        ]

    def opened(self) -> list[float]:
        return [body["close"] for body in self.bodies() if not body["closed"]]


@asynccontextmanager
async def asking(candles: Candles) -> AsyncIterator[None]:
    task = asyncio.create_task(candles._filler.questions.run())
    try:
        yield
    finally:
        assert not task.done(), "the workers ended"
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def world() -> World:
    return World()


def test_the_venues_flag_closes_a_candle_at_once(world: World) -> None:
    world.frame(0, 11, closed=False)
    world.frame(0, 12, closed=True)
    assert world.closed() == [(0, 0, 12)]
    fact = world.facts[-1]
    assert (fact.kind, fact.tail, fact.key) == (CANDLE, "1m", f"1m:{start(0)}:0")


def test_without_a_flag_the_next_candle_closes_the_one_before(world: World) -> None:
    world.frame(0, 11)
    world.frame(0, 12)
    assert world.closed() == []
    world.clock.elapsed_s = 60
    world.frame(1, 13)
    assert world.closed() == [(0, 0, 12)]


async def test_where_nothing_follows_rest_closes_it_two_seconds_after_its_end(
    world: World,
) -> None:
    world.frame(0, 11)
    world.has(0, 12)
    await world.until(1 + 1.9 / 60, step_s=0.1)
    assert world.asked == []
    await world.until(1 + 6.2 / 60, step_s=0.1)
    assert world.closed() == [(0, 0, 12)]
    assert world.bodies()[-1]["source"] == "backfill"


async def test_a_flag_that_got_lost_is_made_up_for_by_rest_and_not_guessed(world: World) -> None:
    world.frame(0, 11, closed=False)
    world.frame(1, 13, closed=False)
    assert world.closed() == []
    world.has(0, 12)
    await world.until(1.2)
    assert world.closed() == [(0, 0, 12)]


async def test_rest_is_believed_by_the_venues_clock(world: World) -> None:
    """Its clock is 30 s behind ours: what ended by our clock has not ended there."""
    world.frame(0, 11, timestamp=world.clock.now_ms() - 30_000)
    world.has(0, 12)
    await world.until(1.4)
    assert world.closed() == []
    await world.until(1.7)
    assert world.closed() == [(0, 0, 12)]


def test_the_same_values_again_are_nothing_and_other_values_a_revision(world: World) -> None:
    world.frame(0, 11, closed=True)
    world.clock.elapsed_s = 61
    world.frame(0, 11, closed=True)
    world.frame(0, 12, closed=True)
    world.frame(0, 12, closed=True)
    world.frame(0, 13, closed=True, volume=3.0)
    assert world.closed() == [(0, 0, 11), (0, 1, 12), (0, 2, 13)]
    assert world.ledger[CANDLE.label].deduplicated == 2
    assert len({fact.key for fact in world.facts}) == 3


def test_a_late_frame_of_before_the_end_corrects_nothing(world: World) -> None:
    world.frame(0, 11)
    old = world.candle(0, 9)
    world.clock.elapsed_s = 61
    world.frame(1, 12)
    world.intake.on_events([old], world.clock.now_ms())
    world.frame(0, 8, closed=False)
    assert world.closed() == [(0, 0, 11)]
    assert world.ledger[CANDLE.label].deduplicated == 2


async def test_rest_confirms_what_was_closed_and_publishes_what_changed(world: World) -> None:
    world.frame(0, 11)
    world.has(0, 11)
    world.has(1, 12)
    await world.until(1)
    world.frame(1, 12)
    await world.until(1.3)
    assert world.closed() == [(0, 0, 11)]
    assert len(world.asked) == 1
    await world.until(2)
    world.frame(2, 13)
    world.has(1, 12, volume=5.0)
    await world.until(2.3)
    assert world.closed() == [(0, 0, 11), (1, 0, 12), (1, 1, 12)]
    assert world.bodies()[-1]["volume"] == 5.0
    assert world.candles.counts["corrections"] == 1


async def test_what_is_missing_between_is_fetched_and_goes_out_first(world: World) -> None:
    world.frame(0, 10, closed=True)
    for minute, close in ((1, 11), (2, 12), (3, 13)):
        world.has(minute, close)
    world.clock.elapsed_s = 240
    world.frame(3, 13, closed=True)
    assert world.closed() == [(0, 0, 10)]
    await world.until(4.2)
    assert world.closed() == [(0, 0, 10), (1, 0, 11), (2, 0, 12), (3, 0, 13)]
    sources = [body["source"] for body in world.bodies()]
    assert sources == ["stream", "backfill", "backfill", "stream"]
    assert world.missing == []


async def test_what_the_venue_leaves_out_is_told_and_not_invented(world: World) -> None:
    world.frame(0, closed=True)
    world.has(3)
    world.clock.elapsed_s = 300
    world.frame(4, closed=True)
    await world.until(5.2)
    assert [minute for minute, _, _ in world.closed()] == [0, 3, 4]
    assert world.missing == [(1, 2)]


async def test_a_venue_that_never_answers_holds_up_later_candles_for_a_while_only(
    world: World,
) -> None:
    world.frame(0, closed=True)
    world.away = True
    world.clock.elapsed_s = 240
    world.frame(3, closed=True)
    await world.until(4.1)
    assert [minute for minute, _, _ in world.closed()] == [0]
    await world.until(7)
    assert [minute for minute, _, _ in world.closed()] == [0, 3]
    assert world.missing == [(1, 2)]
    assert world.candles.counts["failures"] >= 6
    assert len(world.asked) < 20


async def test_a_silent_market_is_not_asked_about_all_the_time(world: World) -> None:
    world.frame(0)
    await world.until(60, step_s=5)
    assert len(world.asked) < 120


async def test_a_cut_makes_what_is_known_of_the_open_candle_worthless(world: World) -> None:
    world.frame(0, 11)
    world.candles.lost(BTC, "1m")
    world.frame(1, 13)
    assert world.closed() == []
    world.has(0, 12)
    await world.until(1.2)
    assert world.closed() == [(0, 0, 12)]


async def test_a_restart_goes_on_after_the_last_closed_candle(world: World) -> None:
    world.frame(0, closed=True)
    world.frame(1, closed=False)
    assert world.candles.last_closed() == {BTC: {"1m": start(0)}}
    after = World()
    after.clock.elapsed_s = 150
    after.candles.resume(BTC, "1m", start(0))
    for minute in range(2):
        after.has(minute)
    await after.until(2.6)
    assert [minute for minute, _, _ in after.closed()] == [1]
    assert after.bodies()[0]["source"] == "backfill"


async def test_more_than_a_page_is_fetched_page_by_page(world: World) -> None:
    world.candles.resume(BTC, "1m", start(-1))
    for minute in range(200):
        world.has(minute)
    world.clock.elapsed_s = 200 * 60
    await world.until(200.2)
    assert [minute for minute, _, _ in world.closed()] == list(range(200))
    assert max(limit for _, limit in world.asked) == 50


async def test_what_passes_while_a_symbol_is_not_collected_is_not_missing(world: World) -> None:
    world.frame(0, 11, closed=True)
    world.frame(1, 12, closed=False)
    world.candles.set_symbols([])
    await world.until(5)
    assert world.asked == []
    world.candles.set_symbols([world.parts])
    world.frame(0, 11, closed=True)
    world.frame(0, 9, closed=False)
    await world.until(5.1)
    world.frame(5, 13, closed=True)
    assert world.opened() == []
    assert world.closed() == [(0, 0, 11), (5, 0, 13)]
    assert world.missing == []


async def test_an_open_candle_goes_out_once_a_second_with_its_newest_frame(world: World) -> None:
    for close in range(10, 20):
        world.frame(0, close, closed=False)
    assert world.facts == []
    await world.until(0.9 / 60, step_s=0.25)
    assert world.opened() == [19]
    world.frame(0, 21, closed=False)
    await world.until(2 / 60, step_s=0.25)
    assert world.opened() == [19, 21]
    assert world.facts[-1].kind is OPEN_CANDLE
    counts = world.ledger[OPEN_CANDLE.label]
    assert (counts.received, counts.conflated) == (11, 9)


async def test_a_busy_candle_goes_out_no_faster(world: World) -> None:
    for quarter in range(20):
        world.frame(0, 10 + quarter, closed=False)
        await world.until((quarter + 1) / 4 / 60, step_s=0.25)
    assert 4 <= len(world.opened()) <= 5


async def test_every_frame_of_an_open_candle_is_counted(world: World) -> None:
    for close in (11, 12):
        world.frame(0, close)
    world.clock.elapsed_s = 60
    world.frame(1)
    world.frame(1, closed=True)
    world.clock.elapsed_s = 120
    world.frame(2)
    world.candles.lost(BTC, "1m")
    await world.until(2.01)
    counts = world.ledger[OPEN_CANDLE.label]
    assert counts.received == 4
    assert counts.conflated == 4
    assert [minute for minute, _, _ in world.closed()] == [0, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 10.5},
        {"high": 9.5},
        {"close": float("nan")},
        {"open": 0.0},
        {"volume": -1.0},
        {"volume": float("inf")},
    ],
)
async def test_an_invalid_candle_is_set_aside_and_fetched(world: World, wrong: Any) -> None:
    world.frame(0, closed=True, **wrong)
    assert world.closed() == []
    assert world.ledger[CANDLE.label].invalid == 1
    world.has(0, 12)
    await world.until(1.2)
    assert world.closed() == [(0, 0, 12)]


@pytest.mark.parametrize(("contracts", "volume"), [(True, 0.002), (False, 2.0)])
async def test_contracts_become_base_units_in_frames_and_by_rest(
    contracts: bool, volume: float
) -> None:
    world = World(contracts=contracts)
    world.frame(0, closed=True)
    world.has(0)
    world.has(1)
    await world.until(2.2)
    assert [body["volume"] for body in world.bodies()] == [volume, volume]
    assert world.candles.counts["corrections"] == 0


def test_the_model_refuses_what_is_no_candle(world: World) -> None:
    world.frame(0, closed=True)
    body = world.bodies()[0]
    assert Ohlcv.model_validate(body).rev == 0
    wrong: list[dict[str, Any]] = [
        {"end": body["end"] + 1},
        {"timeframe": "3m"},
        {"closed": False, "rev": 1},
        {"rev": -1},
        {"low": 10.1},
        {"high": 9.9},
    ]
    for changes in wrong:
        with pytest.raises(ValidationError):
            Ohlcv.model_validate(body | changes)


def test_a_timeframe_stands_in_the_configuration_once() -> None:
    assert Collection().timeframes == ("1m",)
    with pytest.raises(ValidationError):
        Collection(timeframes=("1m", "1m"))
    with pytest.raises(ValidationError):
        Collection.model_validate({"timeframes": ["2m"]})


async def test_fills_go_before_checks_and_checks_are_bounded() -> None:
    asked: list[str] = []

    async def ask(series: CandleSeries) -> None:
        asked.append(series.symbol)

    questions = CandleQuestions(ask)
    series = [CandleSeries(str(number), "1m", MINUTE) for number in range(MOST_CHECKS + 10)]
    for one in series:
        questions.check(one)
        questions.check(one)
    assert questions.skipped == 20
    late = CandleSeries("fill", "1m", MINUTE)
    questions.fill(late)
    task = asyncio.create_task(questions.run())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert asked[0] == "fill"
    assert asked[1:] == [one.symbol for one in series[:MOST_CHECKS]]


def test_who_asks_when_is_spread(world: World) -> None:
    checks = set()
    for number in range(100):
        series = CandleSeries(f"S{number}/USDT:USDT", "1m", MINUTE, due=T0)
        world.candles._filler.look([series])
        assert series.check_at is not None
        checks.add((series.check_at - start(1)) // 1000)
    assert min(checks) >= 4
    assert max(checks) < 15
    assert len(checks) >= 9


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
