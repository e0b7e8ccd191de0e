"""The agent's book of errands: on disk, bounded, each id once; and what comes to its mailbox."""

from pathlib import Path

import pytest

from shared.broker import Broker
from shared.errands import MAX_AGE_S, Errand
from shared.topology import topology
from tests.fakes import FakeClock
from workers.agent.errand_book import MAX_WAITING, ErrandBook
from workers.agent.mailbox import Mailbox


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def book(home: Path, clock: FakeClock) -> ErrandBook:
    return ErrandBook(home / "errands.json", clock)


def restart(clock: FakeClock, id_: str, age_s: float = 0.0) -> Errand:
    sent_at = clock.now_ms() - round(age_s * 1000)
    return Errand(id=id_, action="restart", worker="gate-0@a", sent_at=sent_at)


def ids_waiting(subject: ErrandBook) -> list[str]:
    found = []
    while (waiting := subject.next()) is not None:
        found.append(waiting.errand.id)
        subject.finish(waiting, True, "done")
    return found


def test_errands_are_done_in_the_order_in_which_they_came(tmp_path: Path, clock: FakeClock) -> None:
    subject = book(tmp_path, clock)
    for id_ in ("b", "a", "c"):
        subject.take(restart(clock, id_))
    assert ids_waiting(subject) == ["b", "a", "c"]
    assert subject.counts["done"] == 3


def test_what_is_not_over_is_there_after_a_crash(tmp_path: Path, clock: FakeClock) -> None:
    before = book(tmp_path, clock)
    before.take(restart(clock, "a"))
    before.take(restart(clock, "b"))
    at_hand = before.next()
    assert at_hand is not None
    before.begin(at_hand, {"collector-gate": 17})
    after = book(tmp_path, clock)
    again = after.next()
    assert again is not None
    assert (again.errand.id, again.pids) == ("a", {"collector-gate": 17})
    assert ids_waiting(after) == ["a", "b"]
    assert ids_waiting(book(tmp_path, clock)) == []


def test_an_id_is_done_once_also_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    subject = book(tmp_path, clock)
    subject.take(restart(clock, "a"))
    subject.take(restart(clock, "a"))
    assert ids_waiting(subject) == ["a"]
    subject = book(tmp_path, clock)
    subject.take(restart(clock, "a"))
    assert subject.next() is None
    assert subject.counts["repeated"] == 1


def test_an_old_errand_is_refused_when_it_comes_and_when_its_turn_comes(
    tmp_path: Path, clock: FakeClock
) -> None:
    subject = book(tmp_path, clock)
    subject.take(restart(clock, "old", age_s=MAX_AGE_S + 1))
    assert subject.next() is None
    subject.take(restart(clock, "a"))
    clock.elapsed_s += MAX_AGE_S + 1
    assert subject.next() is None
    assert subject.counts["refused"] == 2
    told = subject.as_dict()["last"]
    assert [(outcome["id"], outcome["ok"]) for outcome in told] == [("old", False), ("a", False)]
    assert book(tmp_path, clock).next() is None


def test_what_was_begun_is_finished_however_late(tmp_path: Path, clock: FakeClock) -> None:
    """The program may have been stopped already."""
    subject = book(tmp_path, clock)
    subject.take(restart(clock, "a"))
    waiting = subject.next()
    assert waiting is not None
    subject.begin(waiting, {"collector-gate": 17})
    clock.elapsed_s += 10 * MAX_AGE_S
    assert ids_waiting(book(tmp_path, clock)) == ["a"]


def test_a_full_book_refuses_and_goes_on(tmp_path: Path, clock: FakeClock) -> None:
    subject = book(tmp_path, clock)
    for number in range(MAX_WAITING + 3):
        subject.take(restart(clock, str(number)))
    assert subject.counts["refused"] == 3
    assert len(ids_waiting(subject)) == MAX_WAITING
    subject.take(restart(clock, str(MAX_WAITING)))  # it was never done
    assert ids_waiting(subject) == [str(MAX_WAITING)]


def test_a_disk_that_refuses_costs_that_errand(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").touch()
    subject = ErrandBook(tmp_path / "file" / "errands.json", clock)
    subject.take(restart(clock, "a"))
    assert subject.next() is None
    assert subject.counts["refused"] == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"waiting": [{"errand": {}}]}'])
def test_a_damaged_book_starts_empty(tmp_path: Path, clock: FakeClock, content: bytes) -> None:
    (tmp_path / "errands.json").write_bytes(content)
    subject = book(tmp_path, clock)
    assert subject.next() is None
    subject.take(restart(clock, "a"))
    assert ids_waiting(subject) == ["a"]


def test_what_is_told_is_bounded(tmp_path: Path, clock: FakeClock) -> None:
    subject = book(tmp_path, clock)
    for number in range(20):
        subject.take(restart(clock, str(number)))
        waiting = subject.next()
        assert waiting is not None
        subject.finish(waiting, False, "x" * 10_000)
    told = subject.as_dict()
    assert [outcome["id"] for outcome in told["last"]] == ["15", "16", "17", "18", "19"]
    assert max(len(outcome["text"]) for outcome in told["last"]) <= 120
    assert told["failed"] == 20 and told["waiting"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[" * 10_000,
        b'{"id": "1"}',
        b'{"id": "1", "action": "format", "worker": "gate-0@a", "sent_at": 1}',
        b'{"id": "1", "action": "restart", "worker": "gate-0@a", "sent_at": 1e400}',
        b'{"id": "1", "action": "restart", "worker": "' + b"x" * 20_000 + b'", "sent_at": 1}',
    ],
)
def test_what_is_no_errand_is_counted_and_dropped(
    tmp_path: Path, clock: FakeClock, body: bytes
) -> None:
    subject = book(tmp_path, clock)
    broker = Broker("amqp://127.0.0.1:1/", "agent@a", topology("futures_data"), declares=True)
    mailbox = Mailbox(broker, "agent@a", subject)
    mailbox.take(body)
    assert subject.counts["malformed"] == 1
    mailbox.take(restart(clock, "a").model_dump_json().encode())
    assert ids_waiting(subject) == ["a"]
