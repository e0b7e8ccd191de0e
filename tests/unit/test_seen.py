"""Which trades were met lately, and how many are remembered."""

from workers.collector.trades.seen import SeenIds

LAST = 2000


def met(seen: SeenIds, first: int, end: int) -> list[bool]:
    return [seen.add(str(number)) for number in range(first, end)]


def remembered(seen: SeenIds, end: int) -> list[int]:
    return [number for number in range(end) if str(number) in seen]


def test_each_of_the_last_ids_is_known_and_no_more_than_a_generation_beyond() -> None:
    seen = SeenIds()
    for end in range(1, 6000):
        assert seen.add(str(end - 1))
        if end % 97 == 0:
            known = remembered(seen, end)
            assert known == list(range(known[0], end))
            assert min(LAST, end) <= len(known) <= LAST * 1.25


def test_an_id_that_is_met_again_and_again_is_never_forgotten() -> None:
    seen = SeenIds()
    for number in range(10_000):
        seen.add(str(number))
        assert not seen.add("0")


def test_nothing_is_forgotten_while_it_is_held() -> None:
    seen = SeenIds()
    met(seen, 0, 100)
    seen.hold()
    met(seen, 100, 50_000)
    assert not any(met(seen, 0, 50_000))
    seen.release()
    met(seen, 50_000, 60_000)
    assert len(remembered(seen, 60_000)) <= LAST * 1.25


def test_what_is_held_for_long_is_bounded_too() -> None:
    seen = SeenIds()
    for first in range(0, 500_000, 50_000):
        seen.hold()
        met(seen, first, first + 50_000)
        seen.release()
    assert len(remembered(seen, 500_000)) <= 200_000
    seen.hold()
    met(seen, 500_000, 1_000_000)
    assert len(remembered(seen, 1_000_000)) <= 200_000


def test_what_is_discarded_is_new_again() -> None:
    seen = SeenIds()
    met(seen, 0, 1000)
    for number in (3, 999):
        seen.discard(str(number))
        assert str(number) not in seen
        assert seen.add(str(number))
