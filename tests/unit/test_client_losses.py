"""The client library's count of what did not come."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from futures_fleet import Missed
from futures_fleet.losses import Fate, Losses
from tests.facts import KEY, message

GRACE_S = 2.0
LATER = 10.0
A, B, C = "a@h/1", "b@h/1", "a@h/2"


def fed(losses: Losses, *seqs: int, at: float = 0.0, **more: Any) -> list[Fate]:
    return [losses.take(message(seq, **more), at) for seq in seqs]


def test_the_first_message_is_where_counting_begins() -> None:
    losses = Losses(GRACE_S)
    assert fed(losses, 7, 8, 9) == [Fate.NEW] * 3
    assert losses.due_in(0.0) is None
    assert list(losses.due(LATER)) == []


def test_a_hole_is_told_after_its_grace_and_once() -> None:
    losses = Losses(GRACE_S)
    fed(losses, 7, 10, at=1.0)
    assert list(losses.due(2.9)) == []
    assert losses.due_in(2.0) == 1.0
    assert losses.missed == 0
    assert list(losses.due(3.0)) == [Missed(KEY, A, 7, 2)]
    assert losses.missed == 2
    assert list(losses.due(LATER)) == []


def test_a_hole_that_is_filled_in_time_is_not_told() -> None:
    losses = Losses(GRACE_S)
    assert fed(losses, 1, 4, 3, 2) == [Fate.NEW, Fate.NEW, Fate.LATE, Fate.LATE]
    assert list(losses.due(LATER)) == []


def test_what_is_left_of_a_hole_is_told() -> None:
    losses = Losses(GRACE_S)
    fed(losses, 1, 9, 5, 8)
    assert list(losses.due(LATER)) == [Missed(KEY, A, 1, 3), Missed(KEY, A, 5, 2)]
    assert losses.missed == 5


def test_what_comes_after_it_was_told_counts_no_more() -> None:
    losses = Losses(GRACE_S)
    fed(losses, 1, 4)
    assert [missed.count for missed in losses.due(LATER)] == [2]
    assert fed(losses, 3, 3) == [Fate.LATE, Fate.REPEATED]
    assert losses.missed == 1


def test_a_number_that_came_is_a_repetition() -> None:
    losses = Losses(GRACE_S)
    assert fed(losses, 5, 6, 5, 6) == [Fate.NEW, Fate.NEW, Fate.REPEATED, Fate.REPEATED]


def test_what_is_older_than_the_first_is_late_once() -> None:
    losses = Losses(GRACE_S)
    assert fed(losses, 9, 5, 7, 7, 5) == [Fate.NEW, *[Fate.LATE] * 2, *[Fate.REPEATED] * 2]
    assert list(losses.due(LATER)) == []


def test_keys_and_runs_are_counted_apart() -> None:
    losses = Losses(GRACE_S)
    fed(losses, 1, 2)
    fed(losses, 11, 12, key="trades.binance.ETHUSDT")
    fed(losses, 1, 2, epoch=B)
    fed(losses, 3)
    assert list(losses.due(LATER)) == []


def test_a_run_says_how_the_one_before_it_ended() -> None:
    losses = Losses(GRACE_S)
    fed(losses, 1, 2)
    fed(losses, 1, epoch=C, previous=(A, 5))
    assert list(losses.due(LATER)) == [Missed(KEY, A, 2, 3)]
    fed(losses, 1, epoch="a@h/3", previous=(C, 1))
    fed(losses, 1, epoch="a@h/4", previous=("unknown", 900))
    assert list(losses.due(LATER)) == []


def test_what_a_run_said_of_its_end_before_it_ended_takes_nothing_back() -> None:
    """After a kill the number on disk is up to two seconds old."""
    losses = Losses(GRACE_S)
    fed(losses, 1, 2, 3, 4)
    fed(losses, 1, epoch=C, previous=(A, 2))
    assert fed(losses, 5, 3) == [Fate.NEW, Fate.REPEATED]
    assert list(losses.due(LATER)) == []


def test_late_messages_of_a_run_that_ended_fill_its_hole() -> None:
    losses = Losses(GRACE_S)
    fed(losses, 1, 2)
    fed(losses, 1, epoch=C, previous=(A, 4))
    assert fed(losses, 3, 4, 5) == [Fate.LATE, Fate.LATE, Fate.NEW]
    assert list(losses.due(LATER)) == []


def test_after_a_break_a_known_run_tells_the_hole_exactly() -> None:
    losses = Losses(GRACE_S)
    fed(losses, 1, 2)
    losses.broken()
    fed(losses, 6)
    assert list(losses.due(LATER)) == [Missed(KEY, A, 2, 3)]
    assert losses.breaks == 0


def test_after_a_break_a_run_that_nothing_links_is_told_without_a_count() -> None:
    losses = Losses(GRACE_S)
    fed(losses, 1, 2)
    losses.broken()
    fed(losses, 57, epoch=B)
    assert list(losses.due(0.0)) == [Missed(KEY, B, 0, None)]
    fed(losses, 58, epoch=B)
    fed(losses, 1, epoch=C)
    assert list(losses.due(LATER)) == []
    assert (losses.breaks, losses.missed) == (1, 0)


def test_a_run_whose_beginning_did_not_come_is_told_though_nothing_broke() -> None:
    """As where a queue that is full drops its head: that took the link too."""
    losses = Losses(GRACE_S)
    fed(losses, 9, 10)
    fed(losses, 2, epoch=B)
    assert list(losses.due(0.0)) == [Missed(KEY, B, 0, None)]


def test_after_a_break_a_link_is_proof_enough() -> None:
    losses = Losses(GRACE_S)
    fed(losses, 1, 2)
    losses.broken()
    fed(losses, 1, epoch=C, previous=(A, 2))
    assert list(losses.due(LATER)) == []
    assert losses.breaks == 0


def test_after_a_break_without_a_hole_a_key_is_whole_again() -> None:
    losses = Losses(GRACE_S)
    fed(losses, 1, 2)
    losses.broken()
    fed(losses, 3)
    fed(losses, 1, epoch=B)
    assert list(losses.due(LATER)) == []


def test_a_key_that_is_new_after_a_break_begins_there() -> None:
    losses = Losses(GRACE_S)
    fed(losses, 1)
    losses.broken()
    fed(losses, 30, key="trades.binance.ETHUSDT")
    assert list(losses.due(LATER)) == []


def test_what_is_owed_is_bounded() -> None:
    losses = Losses(GRACE_S)
    fed(losses, *range(1, 4001, 2))
    assert losses.due_in(0.0) == 0.0
    told = list(losses.due(0.0))
    assert len(told) == 1999 - 1000
    assert told[0] == Missed(KEY, A, 1, 1)
    # Those that are forgotten are late, not repeated, when they come.
    assert fed(losses, 2, 4) == [Fate.LATE, Fate.LATE]


@given(
    data=st.data(),
    count=st.integers(1, 60),
    grace=st.sampled_from([0.0, 3.0, 1000.0]),
)
def test_everything_is_handed_out_once_and_the_rest_is_missed(
    data: st.DataObject, count: int, grace: float
) -> None:
    """Numbers 1 … count in any order, some lost, some repeated, told at any time."""
    came = data.draw(st.lists(st.integers(1, count), min_size=1, max_size=100))
    losses, handed, told = Losses(grace), list[int](), 0
    for now, seq in enumerate(came):
        if losses.take(message(seq), float(now)) is not Fate.REPEATED:
            handed.append(seq)
        told += sum(missed.count or 0 for missed in losses.due(float(now)))
    told += sum(missed.count or 0 for missed in losses.due(1e9))
    assert sorted(handed) == sorted(set(came))
    # Counting begins with the first that came; before it nothing is known.
    assert losses.missed == len(set(range(came[0], max(came) + 1)) - set(came))
    assert losses.missed <= told
