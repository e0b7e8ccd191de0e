"""A pace holds on average, and jitter costs nobody a wait."""

import random
from itertools import pairwise

from shared.pace import Pace


def test_three_at_once_then_one_an_interval() -> None:
    pace, went = Pace(0.1), []
    for step in range(1000):  # one wish each millisecond
        now = step / 1000
        if not pace.wait_s("a", now):
            pace.use("a", now)
            went.append(step)
    assert went[:3] == [0, 1, 2]
    assert all(99 <= later - earlier <= 102 for earlier, later in pairwise(went[2:]))
    assert len(went) == 3 + 9


def test_a_source_of_the_same_pace_never_waits_for_its_jitter() -> None:
    pace, jitter = Pace(0.1), random.Random(7)
    for number in range(10_000):
        now = number / 10 + jitter.uniform(0, 0.19)
        assert pace.wait_s("a", now) == 0
        pace.use("a", now)


def test_keys_do_not_share_a_pace() -> None:
    pace = Pace(1.0)
    for _ in range(3):
        pace.use("a", 5.0)
    assert pace.wait_s("a", 5.0) == 1.0
    assert pace.wait_s("b", 5.0) == 0
