"""The offset of a venue's clock, with clocks that the test moves."""

import asyncio
from email.utils import formatdate
from itertools import pairwise

import pytest

from shared.errors import NetworkError
from tests.fakes import FakeClock
from workers.collector.catalogue.row import ServerTime
from workers.collector.rest_trace import Passage
from workers.collector.venue_clock import ASK_AFTER_S, SKEWED_MS, WINDOW_S, VenueClock

_TIME = ServerTime(field="time")


class Venue:
    """Answers requests, `ahead_ms` ahead of our clock."""

    def __init__(self, source: ServerTime = _TIME) -> None:
        self.time = FakeClock()
        self.ahead_ms = 0.0
        self.clock = VenueClock(self.time, source)
        self.changes: list[bool] = []
        self.clock.on_change = self.changes.append

    def now_ms(self) -> float:
        return self.time.now_ms() + self.ahead_ms

    def answer(self, there_s: float = 0.01, back_s: float = 0.01, every_s: float = 5.0) -> None:
        """One request that took so long, and then a pause."""
        sent_at = self.time.monotonic()
        self.time.elapsed_s += there_s
        said = self.now_ms()
        self.time.elapsed_s += back_s
        self.clock.add(said, 1.0, sent_at, self.time.monotonic())
        self.time.elapsed_s += every_s


def test_nothing_is_known_before_the_first_answer() -> None:
    clock = Venue().clock
    assert (clock.offset_ms, clock.uncertainty_ms, clock.skewed) == (None, None, False)
    assert clock.as_dict() == {}


@pytest.mark.parametrize("ahead_ms", [0.0, 300.0, -1200.0, 45_000.0])
def test_the_true_offset_is_within_the_uncertainty(ahead_ms: float) -> None:
    venue = Venue()
    venue.ahead_ms = ahead_ms
    for there_s, back_s in ((0.2, 0.02), (0.01, 0.3), (0.03, 0.01), (0.4, 0.4)):
        venue.answer(there_s, back_s)
        assert venue.clock.offset_ms is not None
        assert venue.clock.uncertainty_ms is not None
        assert abs(venue.clock.offset_ms - ahead_ms) <= venue.clock.uncertainty_ms + 1
    assert venue.clock.uncertainty_ms == pytest.approx(20.5, abs=1)  # of the quickest answer


def test_an_answer_counts_for_some_minutes_only() -> None:
    venue = Venue()
    venue.answer(0.001, 0.001)
    for _ in range(int(WINDOW_S / 5) - 2):
        venue.answer(0.1, 0.1)
    assert venue.clock.uncertainty_ms == pytest.approx(1.5, abs=1)
    for _ in range(4):
        venue.answer(0.1, 0.1)
    assert venue.clock.uncertainty_ms == pytest.approx(100.5, abs=1)


@pytest.mark.parametrize("ahead_ms", [2600.0, -5000.0, 60_000.0])
def test_a_skew_that_appears_is_flagged_within_a_minute_and_told_once(ahead_ms: float) -> None:
    venue = Venue()
    for _ in range(40):
        venue.answer()
    venue.ahead_ms, appeared = ahead_ms, venue.time.monotonic()
    for _ in range(3):
        assert not venue.clock.skewed
        venue.answer(every_s=ASK_AFTER_S)
    assert venue.clock.skewed
    assert venue.time.monotonic() - ASK_AFTER_S - appeared <= 60
    for _ in range(40):
        venue.answer()
    assert venue.changes == [True]
    venue.ahead_ms = 0.0
    for _ in range(3):
        venue.answer()
    assert venue.changes == [True, False]
    assert venue.clock.offset_ms == pytest.approx(0, abs=15)


def test_one_old_answer_from_a_cache_changes_nothing() -> None:
    venue = Venue()
    for number in range(50):
        venue.ahead_ms = -30_000.0 if number % 5 == 3 else 0.0
        venue.answer()
    assert venue.changes == []
    assert venue.clock.offset_ms == pytest.approx(0, abs=15)


def test_a_skew_that_stays_at_the_limit_is_one_episode() -> None:
    venue = Venue()
    for number in range(60):
        venue.ahead_ms = SKEWED_MS + (150 if number % 2 else -150)
        venue.answer(0.001 * (number % 7), 0.001)
        venue.time.elapsed_s += WINDOW_S  # each counts alone
    assert venue.changes == [True]


def test_a_slow_answer_is_no_proof_of_a_skew() -> None:
    venue = Venue()
    venue.answer(there_s=0.1, back_s=9.0)  # looks like 4.5 s
    assert not venue.clock.skewed
    assert venue.clock.uncertainty_ms == pytest.approx(4550, abs=2)


def passage(venue: Venue, **headers: str) -> Passage:
    sent_at = venue.time.monotonic()
    venue.time.elapsed_s += 0.02
    return Passage(sent_at, 0, venue.time.monotonic(), 200, headers)


@pytest.mark.parametrize(
    ("source", "headers", "body", "uncertainty_ms"),
    [
        (ServerTime(field="ts"), {}, {"ts": "{now}"}, 10.5),
        (ServerTime(field="ts"), {}, {"ts": "{now_text}"}, 10.5),
        (ServerTime(header="X-Out-Time"), {"X-Out-Time": "{now}000"}, [], 10),
        (ServerTime(field="ts"), {"Date": "{date}"}, [], 510),
        (ServerTime(), {"Date": "{date}"}, {"ts": 1}, 510),
        (ServerTime(header="X-Out-Time"), {"X-Out-Time": "soon", "Date": "{date}"}, None, 510),
        (ServerTime(field="ts"), {"Date": "yesterday"}, {"ts": True}, None),
        (ServerTime(), {}, "", None),
    ],
)
def test_what_an_answer_says(
    source: ServerTime, headers: dict[str, str], body: object, uncertainty_ms: float | None
) -> None:
    venue = Venue(source)
    venue.ahead_ms = 7000
    now = int(venue.now_ms())
    said = {"{now}": now, "{now_text}": str(now)}
    if isinstance(body, dict):
        body = {name: said.get(value, value) for name, value in body.items()}
    date = formatdate(now / 1000, usegmt=True)
    filled = {k: v.replace("{now}", str(now)).replace("{date}", date) for k, v in headers.items()}
    venue.clock.hear(passage(venue, **filled), body)
    assert venue.clock.uncertainty_ms == (
        uncertainty_ms if uncertainty_ms is None else pytest.approx(uncertainty_ms, abs=1)
    )
    if uncertainty_ms is not None:
        assert venue.clock.offset_ms is not None
        assert abs(venue.clock.offset_ms - 7000) <= uncertainty_ms
        assert venue.clock.skewed


def test_an_answer_without_its_moments_is_left_alone() -> None:
    venue = Venue()
    venue.clock.hear(None, {"time": 1})
    venue.clock.hear(Passage(1.0, 0), {"time": 1})
    assert venue.clock.offset_ms is None


async def test_where_nobody_asks_the_venue_is_asked() -> None:
    venue, asked = Venue(), []

    async def ask() -> None:
        asked.append(venue.time.elapsed_s)
        if len(asked) == 2:
            raise NetworkError("away")
        if len(asked) == 5:
            raise asyncio.CancelledError
        venue.answer(every_s=0)

    with pytest.raises(asyncio.CancelledError):
        await venue.clock.run(ask)
    assert asked[0] == ASK_AFTER_S
    pauses = [late - early for early, late in pairwise(asked)]
    assert all(ASK_AFTER_S <= pause <= ASK_AFTER_S + 6 for pause in pauses), pauses
    assert 3 * (ASK_AFTER_S + 2.5) < 60  # as many answers as it takes
