"""Who joins and who is out, from what was heard."""

from collections.abc import Sequence
from dataclasses import replace

from coordinator.records import Members
from coordinator.verdicts import Sighting, verdicts
from shared.status import Heartbeat, State
from shared.symbolset import Peer

LONG = 60.0


def sighting(
    worker: str, silent_s: float = 0.0, state: State = "running", *, deaf_s: float = 0.0
) -> Sighting:
    """The venue is the worker's first word."""
    venue = worker.partition("-")[0]
    beat = Heartbeat(
        role="collector",
        exchange=venue,
        worker=worker,
        epoch="e",
        state=state,
        sent_at=1,
        revision=None,
        mailbox=None if deaf_s else "q",
        egress="x",
    )
    return Sighting(beat, venue, silent_s, deaf_s)


def members(*workers: str) -> dict[str, dict[str, Peer]]:
    enrolled: dict[str, dict[str, Peer]] = {}
    for worker in workers:
        peer = Peer(worker=worker, egress="x")
        enrolled.setdefault(worker.partition("-")[0], {})[worker] = peer
    return enrolled


def judged(
    enrolled: dict[str, dict[str, Peer]], seen: Sequence[Sighting], on_duty_s: float = LONG
) -> dict[str, Members]:
    return {op.exchange: op for op in verdicts(enrolled, seen, ["v", "w"], on_duty_s)}


def test_a_worker_that_is_heard_joins_once() -> None:
    found = judged({}, [sighting("v-0@a")])
    assert [peer.worker for peer in found["v"].joined] == ["v-0@a"]
    assert judged(members("v-0@a"), [sighting("v-0@a")]) == {}


def test_the_first_may_still_be_starting_and_another_has_to_run() -> None:
    assert judged({}, [sighting("v-0@a", state="starting")])["v"].joined
    assert judged(members("v-0@a"), [sighting("v-0@a"), sighting("v-0@b", state="starting")]) == {}
    assert judged(members("v-0@a"), [sighting("v-0@a"), sighting("v-0@b")])["v"].joined


def test_who_hears_nobody_does_not_join_and_is_out_in_time() -> None:
    assert judged({}, [sighting("v-0@a", deaf_s=1)]) == {}
    both = members("v-0@a", "v-0@b")
    assert judged(both, [sighting("v-0@a"), sighting("v-0@b", deaf_s=4)]) == {}
    found = judged(both, [sighting("v-0@a"), sighting("v-0@b", deaf_s=6)])
    assert found["v"].left == {"v-0@b": "deaf"}


def test_silence_is_borne_for_five_seconds() -> None:
    both = members("v-0@a", "v-0@b")
    assert judged(both, [sighting("v-0@a"), sighting("v-0@b", 4.9)]) == {}
    found = judged(both, [sighting("v-0@a"), sighting("v-0@b", 5.0)])
    assert found["v"].left == {"v-0@b": "silent"}


def test_a_goodbye_is_heeded_at_once() -> None:
    both = members("v-0@a", "v-0@b")
    seen = [sighting("v-0@a"), sighting("v-0@b", state="stopping")]
    assert judged(both, seen, on_duty_s=0.5)["v"].left == {"v-0@b": "goodbye"}


def test_the_last_of_a_venue_stays_its_owner() -> None:
    assert judged(members("v-0@a"), [sighting("v-0@a", 40)]) == {}
    assert judged(members("v-0@a"), [sighting("v-0@a", state="stopping")]) == {}
    found = judged(members("v-0@a", "v-0@b"), [sighting("v-0@a", 40), sighting("v-0@b", 45)])
    assert found["v"].left == {"v-0@b": "silent"}, "who was heard last is kept"


def test_one_that_comes_lets_the_last_one_go() -> None:
    found = judged(members("v-0@a"), [sighting("v-0@a", 40), sighting("v-0@b")])
    assert found["v"].left == {"v-0@a": "silent"}
    assert [peer.worker for peer in found["v"].joined] == ["v-0@b"]


def test_a_coordinator_that_has_just_come_judges_nobody() -> None:
    both = members("v-0@a", "v-0@b")
    assert judged(both, [sighting("v-0@a")], on_duty_s=9) == {}
    assert judged(both, [sighting("v-0@a")], on_duty_s=10)["v"].left == {"v-0@b": "silent"}


def test_one_of_two_hosts_is_out_and_most_of_a_fleet_at_once_is_not() -> None:
    four = members("v-0@a", "w-0@a", "v-0@b", "w-0@b")
    dead = [sighting("v-0@a"), sighting("w-0@a"), sighting("v-0@b", 6), sighting("w-0@b", 6)]
    assert {venue: op.left for venue, op in judged(four, dead).items()} == {
        "v": {"v-0@b": "silent"},
        "w": {"w-0@b": "silent"},
    }
    most = [replace(dead[0], silent_s=6.0), *dead[1:]]
    assert judged(four, most) == {}
    later = [replace(one, silent_s=31.0 if one.silent_s else 0.0) for one in most]
    assert set(judged(four, later)) == {"v", "w"}, "a broker is back sooner"


def test_who_is_gone_for_long_does_not_count_among_those_that_vanish_together() -> None:
    enrolled = members("v-0@a", "w-0@a", "v-0@b", "w-0@b", "x-0@b", "y-0@b", "z-0@b")
    seen = [sighting("v-0@a"), sighting("w-0@a"), sighting("v-0@b", 6), sighting("w-0@b", 6)]
    given_up = [sighting(f"{venue}-0@b", 4000) for venue in "xyz"]
    found = verdicts(enrolled, [*seen, *given_up], "vwxyz", LONG)
    assert {op.exchange: op.left for op in found if op.exchange in "vw"} == {
        "v": {"v-0@b": "silent"},
        "w": {"w-0@b": "silent"},
    }


def test_another_egress_is_a_change_of_the_member() -> None:
    moved = sighting("v-0@a")
    moved = replace(moved, heartbeat=moved.heartbeat.model_copy(update={"egress": "y"}))
    found = judged(members("v-0@a"), [moved])
    assert found["v"].joined == [Peer(worker="v-0@a", egress="y")]
