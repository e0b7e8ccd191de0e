"""Who collects what: even, sticky, the same everywhere."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from coordinator.assignment import assign

SYMBOLS = [f"S{number}/USDT:USDT" for number in range(200)]
workers = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True)
symbols = st.lists(st.sampled_from(SYMBOLS), max_size=120, unique=True)


def shares(owners: dict[str, str], of: list[str]) -> list[int]:
    counted = Counter(owners.values())
    return [counted[worker] for worker in of]


def moved(before: dict[str, str], after: dict[str, str]) -> int:
    return sum(after[symbol] != owner for symbol, owner in before.items() if symbol in after)


def test_nobody_owns_anything_without_workers() -> None:
    assert assign(SYMBOLS, [], {SYMBOLS[0]: "gone"}) == {}


@given(symbols, workers, st.dictionaries(st.sampled_from(SYMBOLS), st.sampled_from("abxy")))
def test_each_symbol_has_one_owner_and_shares_are_even(
    desired: list[str], of: list[str], before: dict[str, str]
) -> None:
    owners = assign(desired, of, before)
    assert list(owners) == desired
    assert set(owners.values()) <= set(of)
    counts = shares(owners, of)
    assert max(counts) - min(counts) <= max(1, len(desired) // (10 * len(of)))


@given(symbols, workers)
def test_what_is_settled_stays(desired: list[str], of: list[str]) -> None:
    owners = assign(desired, of, {})
    assert assign(desired, of, owners) == owners
    assert assign(list(reversed(desired)), list(reversed(of)), owners) == owners


@given(symbols, workers, st.randoms())
def test_it_depends_on_what_is_given_and_on_no_order(
    desired: list[str], of: list[str], random: object
) -> None:
    owners = assign(desired, of, {})
    assert assign(desired, sorted(of), dict(sorted(owners.items()))) == owners


def test_two_hosts_have_half_each_and_a_third_takes_a_third() -> None:
    for count in (10, 40, 199, 200):
        desired = SYMBOLS[:count]
        one = assign(desired, ["a"], {})
        two = assign(desired, ["a", "b"], one)
        assert max(shares(two, ["a", "b"])) <= 1.1 * count / 2 + 1
        three = assign(desired, ["a", "b", "c"], two)
        assert moved(two, three) <= count / 3
        assert min(shares(three, ["a", "b", "c"])) >= 0.9 * count / 3 - 1
        left = assign(desired, ["a", "c"], three)
        assert moved(three, left) == shares(three, ["b"])[0], "only what lost its owner moves"


@given(symbols, workers, st.sampled_from(SYMBOLS))
def test_one_symbol_more_moves_no_other(desired: list[str], of: list[str], new: str) -> None:
    owners = assign(desired, of, {})
    after = assign([*desired, *([new] if new not in desired else [])], of, owners)
    assert moved(owners, after) == 0
