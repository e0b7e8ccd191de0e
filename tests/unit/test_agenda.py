"""What is due when, and who goes first."""

import itertools
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.budget import RequestClass
from workers.collector.schedule.agenda import AGEING_S, CHORES_AT_ONCE, Agenda, Turn
from workers.collector.schedule.item import Chore, Item, Question
from workers.collector.schedule.tightness import MOST, Factors

NOW = 1000.0


async def _never_asked() -> bool:
    raise AssertionError("an agenda only decides")


def question(key: str, interval_s: float = 1.0, **more: Any) -> Question:
    return Question(key, interval_s, _never_asked, **more)


def chore(key: str, interval_s: float = 1.0, **more: Any) -> Chore:
    return Chore(key, interval_s, lambda: None, **more)


def agenda(*items: Item, at_once: int = 8, kept: int = 0, jitter: float = 0.0) -> Agenda:
    made = Agenda(at_once, kept)
    made.random = lambda: jitter
    for item in items:
        made.put(item, NOW)
    return made


def keys(turns: list[Turn]) -> list[str]:
    return [turn.item.key for turn in turns]


def asked(made: Agenda, now: float, took_s: float = 0.0, *, answered: bool = True) -> list[str]:
    """What is due, asked one after the other's end."""
    turns = made.take(now)
    for turn in turns:
        made.done(turn, now + took_s, answered=answered)
    return keys(turns)


def points(made: Agenda, until: float, step: float = 0.25) -> list[float]:
    """When something was asked, seconds after NOW."""
    times = []
    for n in range(round(until / step) + 1):
        if asked(made, NOW + n * step):
            times.append(n * step)
    return times


def test_the_first_priority_goes_first_and_of_equals_who_has_waited_longest() -> None:
    made = agenda(question("c", priority=5), question("a", priority=0), at_once=1)
    made.put(question("b", priority=5), NOW - 1)
    order = []
    for _ in range(3):
        (turn,) = made.take(NOW)
        order.append(turn.item.key)
        made.done(turn, NOW)
    assert order == ["a", "b", "c"]


def test_waiting_lifts_an_item_over_those_of_a_higher_priority() -> None:
    made = agenda(question("low", priority=3), at_once=1)
    made.put(question("high", priority=0), NOW + 3 * AGEING_S - 1)
    assert keys(made.take(NOW + 3 * AGEING_S - 1)) == ["high"]
    made = agenda(question("low", priority=3), at_once=1)
    made.put(question("high", priority=0), NOW + 3 * AGEING_S + 1)
    assert keys(made.take(NOW + 3 * AGEING_S + 1)) == ["low"]


def test_of_a_lane_one_is_asked_at_a_time() -> None:
    made = agenda(*(question(name, lane="l") for name in "abc"), question("other"))
    first = made.take(NOW)
    assert keys(first) == ["a", "other"]
    assert made.take(NOW) == []
    made.done(first[0], NOW + 0.1)
    assert keys(made.take(NOW + 0.1)) == ["b"]


def test_places_are_kept_for_the_first_priority_however_long_others_wait() -> None:
    made = agenda(*(question(f"low{n}", 9.0, priority=1) for n in range(4)), at_once=3, kept=1)
    assert len(made.take(NOW)) == 2
    made.put(question("high", priority=0), NOW)
    assert keys(made.take(NOW)) == ["high"]
    made = agenda(*(question(f"low{n}", 9.0, priority=1) for n in range(4)), at_once=3, kept=1)
    assert len(made.take(NOW + 100 * AGEING_S)) == 2


def test_what_is_still_asked_is_not_asked_again_and_its_points_are_skipped() -> None:
    made = agenda(question("a"))
    (turn,) = made.take(NOW)
    assert made.take(NOW + 2.5) == []
    made.done(turn, NOW + 2.5)
    assert made.skipped == 2
    assert made.next_at() == NOW + 3
    assert asked(made, NOW + 2.99) == []
    assert asked(made, NOW + 3) == ["a"]


def test_chores_take_no_place_and_go_in_portions() -> None:
    made = agenda(*(chore(f"c{n}") for n in range(CHORES_AT_ONCE + 5)), question("q"), at_once=1)
    first = made.take(NOW)
    assert len(first) == CHORES_AT_ONCE + 1
    assert made.next_at() == float("-inf")
    assert len(made.take(NOW)) == 5


def test_wide_intervals_leave_points_out_and_come_back_at_once() -> None:
    made = agenda(question("a"))
    made.widen(Factors(process=4), NOW)
    assert points(made, 12) == [0, 4, 8, 12]
    assert made.skipped == 0
    made.widen(Factors(), NOW + 13.5)
    assert asked(made, NOW + 13.75) == []
    assert asked(made, NOW + 14) == ["a"]
    assert made.next_at() == NOW + 15


@pytest.mark.parametrize(
    ("factors", "widened"),
    [
        (Factors(process=2), {"live", "slow", "steady", "chore"}),
        (Factors(venue=2), {"live", "slow"}),
        (Factors(budget={RequestClass.REPAIR: 2}), {"slow"}),
    ],
)
def test_each_cause_widens_what_it_concerns(factors: Factors, widened: set[str]) -> None:
    items = (
        question("live"),
        question("slow", request_class=RequestClass.REPAIR),
        question("steady", steady=True),
        chore("chore"),
    )
    for item in items:
        made = agenda(item)
        made.widen(factors, NOW)
        expected = [0, 2, 4] if item.key in widened else [0, 1, 2, 3, 4]
        assert points(made, 4) == expected, item.key
    assert factors.largest == 2


def test_a_question_that_fails_again_and_again_is_asked_less_often_until_it_is_answered() -> None:
    made = agenda(question("a"))
    gaps = []
    for _ in range(7):
        at = made.next_at()
        assert at is not None
        assert asked(made, at, answered=False) == ["a"]
        gaps.append((made.next_at() or 0) - at)
    assert gaps == [1, 2, 4, 8, 8, 8, 8]
    at = made.next_at() or 0
    asked(made, at)
    assert made.next_at() == at + 1
    steady = agenda(question("a", steady=True))
    for n in range(5):
        assert asked(steady, NOW + n, answered=False) == ["a"]


def test_a_question_in_a_hurry_is_asked_soon_but_not_twice_in_half_an_interval() -> None:
    made = agenda(question("a", 10.0))
    assert asked(made, NOW) == ["a"]
    made.hasten("a", NOW + 1)
    assert asked(made, NOW + 4.9) == []
    assert asked(made, NOW + 5) == ["a"]
    made.hasten("a", NOW + 12)
    assert asked(made, NOW + 12) == ["a"]
    assert asked(made, NOW + 21.9) == []
    assert asked(made, NOW + 22) == ["a"]
    made.hasten("unknown", NOW)


def test_a_hurry_while_it_is_asked_counts_for_the_next_time() -> None:
    made = agenda(question("a", 10.0))
    (turn,) = made.take(NOW)
    made.hasten("a", NOW + 1)
    made.done(turn, NOW + 2)
    assert made.next_at() == NOW + 5
    (turn,) = made.take(NOW + 5)
    made.done(turn, NOW + 6)
    assert made.next_at() == NOW + 15


def test_what_is_put_again_keeps_its_grid_and_what_is_dropped_starts_anew() -> None:
    made = agenda(question("a", 10.0))
    asked(made, NOW)
    made.put(question("a", 2.0), NOW + 3)
    assert made.next_at() == NOW + 4
    made.put(question("a", 10.0), NOW + 3)
    assert made.next_at() == NOW + 10
    made.drop("a")
    assert made.next_at() is None
    made.put(question("a", 10.0), NOW + 3)
    assert asked(made, NOW + 3) == ["a"]


def test_what_is_replaced_while_it_is_asked_waits_for_its_end() -> None:
    made = agenda(question("a", 10.0))
    (former,) = made.take(NOW)
    made.drop("a")
    made.put(question("a", 10.0), NOW)
    assert made.take(NOW) == []
    made.done(former, NOW + 1)
    (turn,) = made.take(NOW + 1)
    assert turn is not former
    made.drop("a")
    made.done(turn, NOW + 2)
    assert made.next_at() is None


def test_questions_are_some_late_at_random_and_chores_are_not() -> None:
    made = agenda(question("a", 10.0), chore("c", 10.0), jitter=1.0)
    assert set(asked(made, NOW)) == {"a", "c"}
    assert asked(made, NOW + 10) == ["c"]
    assert asked(made, NOW + 10.49) == []
    assert asked(made, NOW + 10.51) == ["a"]
    assert asked(made, NOW + 20.51) == ["c", "a"]  # jitter does not add up


ITEMS = st.lists(
    st.tuples(
        st.floats(1, 20),  # interval
        st.integers(0, 9),  # priority
        st.floats(0, 6),  # how long it is asked
        st.sampled_from(["", "", "l", "m"]),  # lane
        st.booleans(),  # whether it is answered
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60)
@given(ITEMS, st.integers(1, 4), st.integers(0, 3), st.randoms(use_true_random=False))
def test_nothing_is_asked_twice_at_a_time_and_nothing_starves(
    items: list[tuple[float, int, float, str, bool]], at_once: int, kept: int, random: Any
) -> None:
    made = Agenda(at_once, min(kept, at_once - 1))
    made.random = random.random
    lasts = {str(n): item[2] for n, item in enumerate(items)}
    answers = {str(n): item[4] for n, item in enumerate(items)}
    for n, (interval_s, priority, _, lane, _) in enumerate(items):
        made.put(question(str(n), interval_s, priority=priority, lane=lane), NOW)
    running: list[tuple[float, Turn]] = []
    times: dict[str, list[float]] = defaultdict(list)
    now = NOW
    while now < NOW + 200:
        for end, turn in [one for one in running if one[0] <= now]:
            running.remove((end, turn))
            made.done(turn, now, answered=answers[turn.item.key])
        for turn in made.take(now):
            running.append((now + lasts[turn.item.key], turn))
            times[turn.item.key].append(now)
            steps = ((turn.last or 0) - NOW) / turn.item.interval_s
            assert steps == pytest.approx(round(steps), abs=1e-6)  # on its grid
            assert now >= turn.at
        assert len(running) <= at_once
        assert len({turn.lane for _, turn in running}) == len(running)
        ends = [end for end, _ in running]
        now = max(now + 0.001, min([*ends, made.next_at() or NOW + 200]))
    waits_s = 9 * AGEING_S + sum(lasts.values()) + max(lasts.values())
    for n, (interval_s, *_) in enumerate(items):
        gaps = [b - a for a, b in itertools.pairwise([NOW, *times[str(n)]])]
        # One that fails is due each eighth point, and is some late by chance.
        assert max(gaps) <= MOST * interval_s + 1 + lasts[str(n)] + waits_s + 0.1
