"""Answers that one worker asks for and others take."""

from pathlib import Path

import pytest

from shared.symbolset import Peer, Revision, SymbolSet
from tests.fakes import FakeClock
from tests.recording import BTC
from workers.collector.desired import DesiredSymbols
from workers.collector.events import Day, RestUpdate
from workers.collector.sharing.answers import Answers

UPDATE = RestUpdate(BTC, bid=1.0, ask=2.0, day=Day(1.0, None, None, None, 0.5, None, 9.0))


class Worker:
    def __init__(self, name: str, egress: str, directory: Path) -> None:
        self.clock = FakeClock()
        self.desired = DesiredSymbols(name, "v", "x", directory / f"{name}.json", [BTC])
        self.answers = Answers(name, "x", egress, self.desired, self.clock)
        self.taken: list[tuple[str, float, list[RestUpdate]]] = []
        self.answers.take = lambda *answer: self.taken.append(answer)

    def tell(self, **workers: str) -> None:
        peers = [Peer(worker=worker, egress=egress) for worker, egress in workers.items()]
        revision = Revision(registry="r", epoch=1, offset=1)
        self.desired.apply(
            SymbolSet(exchange="x", venue="v", revision=revision, symbols=[], workers=peers)
        )

    def passed_on(self) -> list[bytes]:
        return [self.answers._packed(call, *due) for call, due in self.answers._due.items()]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Worker, Worker]:
    one, two = Worker("a", "ip", tmp_path), Worker("b", "ip", tmp_path)
    for worker in (one, two):
        worker.tell(a="ip", b="ip")
    return one, two


def test_the_first_of_an_address_asks_and_the_others_take(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    assert one.answers.asks("tickers", 5)
    assert not two.answers.asks("tickers", 5)
    one.answers.told("tickers", one.clock.monotonic() - 0.5, [UPDATE])
    (body,) = one.passed_on()
    two.answers.hear(body)
    assert two.taken == [("tickers", two.clock.monotonic() - 0.5, [UPDATE])]
    one.answers.hear(body)
    assert one.taken == [], "what we passed on ourselves is no news"


def test_who_hears_nothing_asks_by_himself(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    assert not two.answers.asks("tickers", 5)
    two.clock.elapsed_s += 12
    assert not two.answers.asks("tickers", 5)
    two.clock.elapsed_s += 1
    assert two.answers.asks("tickers", 5)
    one.answers.told("tickers", one.clock.monotonic(), [UPDATE])
    two.answers.hear(one.passed_on()[0])
    assert not two.answers.asks("tickers", 5)


def test_behind_different_addresses_each_asks(tmp_path: Path) -> None:
    worker = Worker("b", "other", tmp_path)
    assert worker.answers.asks("tickers", 5)
    worker.tell(a="ip", b="other")
    assert worker.answers.asks("tickers", 5)
    worker.answers.told("tickers", 0.0, [UPDATE])
    assert worker.passed_on() == [], "nobody waits for it"


def test_what_is_not_sound_is_counted_and_not_taken(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    one.answers.told("tickers", one.clock.monotonic(), [UPDATE])
    (sound,) = one.passed_on()
    for body in (b"", b"{}", sound[:-9], sound[:20] + sound):
        two.answers.hear(body)
    assert two.taken == []
    assert two.answers.malformed == 4
