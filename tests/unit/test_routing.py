"""Which venue is asked first, by each strategy."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.routing import POOR, Candidate, ConnectionStrategy, Router

A = Candidate("a", weight=300, latency_s=0.3, in_flight=2)
B = Candidate("b", weight=100, latency_s=0.1, in_flight=1)
C = Candidate("c", weight=100, latency_s=0.2, in_flight=1)


def firsts(strategy: ConnectionStrategy, times: int, *candidates: Candidate) -> list[str]:
    router = Router(strategy)
    return [router.order(candidates)[0].exchange for _ in range(times)]


def test_round_robin_takes_each_in_turn() -> None:
    assert firsts(ConnectionStrategy.ROUND_ROBIN, 6, C, A, B) == ["a", "b", "c"] * 2


def test_least_latency_and_who_is_not_known_yet_is_tried() -> None:
    assert firsts(ConnectionStrategy.LEAST_LATENCY, 1, A, B, C) == ["b"]
    unknown = Candidate("d")
    assert firsts(ConnectionStrategy.LEAST_LATENCY, 1, A, B, unknown) == ["d"]


def test_weighted_turns_are_by_weight_and_smooth() -> None:
    chosen = firsts(ConnectionStrategy.WEIGHTED_ROUND_ROBIN, 500, A, B, C)
    assert Counter(chosen) == {"a": 300, "b": 100, "c": 100}
    assert max(len(run) for run in "".join(chosen).replace("b", " ").replace("c", " ").split()) <= 3


def test_weighted_turns_are_by_health_as_well() -> None:
    ill = Candidate("a", weight=300, score=0.5)
    chosen = Counter(firsts(ConnectionStrategy.WEIGHTED_ROUND_ROBIN, 350, ill, B, C))
    assert chosen == {"a": 150, "b": 100, "c": 100}


def test_failover_keeps_to_the_heaviest() -> None:
    router = Router(ConnectionStrategy.FAILOVER)
    assert [one.exchange for one in router.order([C, B, A])] == ["a", "b", "c"]


def test_least_connections() -> None:
    idle = Candidate("z", in_flight=0)
    assert firsts(ConnectionStrategy.LEAST_CONNECTIONS, 1, A, B, C, idle) == ["z"]


@pytest.mark.parametrize("strategy", ConnectionStrategy)
@given(
    st.lists(
        st.builds(
            Candidate,
            exchange=st.sampled_from("abcdefgh"),
            weight=st.floats(0.1, 1000),
            score=st.floats(0, 1),
            latency_s=st.floats(0, 10),
            in_flight=st.integers(0, 100),
        ),
        unique_by=lambda one: one.exchange,
    )
)
def test_all_are_asked_once_and_those_of_poor_health_last(
    strategy: ConnectionStrategy, candidates: list[Candidate]
) -> None:
    router = Router(strategy)
    for _ in range(3):
        order = router.order(candidates)
        assert sorted(one.exchange for one in order) == sorted(c.exchange for c in candidates)
        poor = [one.score < POOR for one in order]
        assert poor == sorted(poor)
