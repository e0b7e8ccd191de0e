"""Recorded answers to questions that are not quite the recorded ones, and frames that wait."""

import asyncio
from typing import Any

import orjson
import pytest

from simulator import delivery
from simulator.answers import Answers
from simulator.capture import Body
from simulator.delivery import Delivery
from simulator.recorded import RECORDED

PATH = "/fapi/v1/klines"
NOON_MS = 1_799_928_000_000


def body(data: str, at_s: float, asked_s: float | None = None, **query: object) -> Body:
    asked = at_s - 0.1 if asked_s is None else asked_s
    texts = {name: str(value) for name, value in query.items()}
    return Body(PATH, texts, data.encode(), at_s=at_s, asked_s=asked)


def answers(*bodies: Body, whole: bool = True) -> Answers:
    learned = Answers(RECORDED["binance"](), whole)
    for one in bodies:
        learned.learn(one)
    return learned


def said(found: Body | None) -> str | None:
    return found.data.decode() if found else None


def test_the_answer_is_the_latest_whose_time_has_come_and_at_first_the_first() -> None:
    bodies = [body(f"{n}", at_s=100.0 + n, symbol="A") for n in range(3)]
    learned = answers(*bodies)
    assert said(learned.find("GET", PATH, {"symbol": "A"})) == "0"
    for expected, one in zip("012", bodies, strict=True):
        learned.take(one)
        assert said(learned.find("GET", PATH, {"symbol": "A"})) == expected
    assert learned.find("GET", PATH, {"symbol": "B"}) is None
    assert learned.find("GET", PATH, {}) is None
    assert learned.find("POST", PATH, {"symbol": "A"}) is None
    assert learned.find("GET", "/fapi/v1/time", {"symbol": "A"}) is None


@pytest.mark.parametrize("digits", [1, 1000, 10**6, 10**9])
def test_a_question_with_another_time_or_number_of_rows_is_the_same(digits: int) -> None:
    since = NOON_MS // 1000 * digits
    learned = answers(
        body("a", 100, symbol="A", interval=5, startTime=since, limit=3),
        body("b", 100, symbol="A", interval=15, startTime=since, limit=3),
    )
    later = {"symbol": "A", "interval": "5", "startTime": str(since + 7), "limit": "3"}
    assert said(learned.find("GET", PATH, later)) == "a"
    assert said(learned.find("GET", PATH, later | {"limit": "99"})) == "a"
    assert said(learned.find("GET", PATH, later | {"interval": "15"})) == "b"
    assert learned.find("GET", PATH, later | {"interval": "1"}) is None


def test_the_very_question_comes_first() -> None:
    bodies = [body("of noon", 100, since=NOON_MS), body("of one", 101, since=NOON_MS + 3_600_000)]
    learned = answers(*bodies)
    for one in bodies:
        learned.take(one)
    assert said(learned.find("GET", PATH, {"since": str(NOON_MS)})) == "of noon"
    assert said(learned.find("GET", PATH, {"since": str(NOON_MS + 1)})) == "of one"


def test_answers_of_a_part_are_found_by_path_and_market_alone() -> None:
    learned = answers(body("a", 100, symbol="A", limit=1000), whole=False)
    assert said(learned.find("GET", PATH, {"symbol": "A", "limit": "5", "more": "x"})) == "a"
    assert learned.find("GET", PATH, {"symbol": "B"}) is None


async def test_who_asks_what_is_being_asked_gets_the_same_answer() -> None:
    old, new = body("old", 100.1, asked_s=100, symbol="A"), body("new", 109, 107, symbol="A")
    learned, query = answers(old, new), {"symbol": "A"}
    learned.take(old)
    async with asyncio.timeout(1):
        await learned.ripen("GET", PATH, query, now_s=106.4)  # nobody has asked again so far
    waiting = asyncio.create_task(learned.ripen("GET", PATH, query, now_s=106.6))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    learned.take(new)
    async with asyncio.timeout(1):
        await waiting
    assert said(learned.find("GET", PATH, query)) == "new"
    async with asyncio.timeout(1):
        await learned.ripen("GET", PATH, query, now_s=110)  # the last one
        await learned.ripen("GET", PATH, {"symbol": "B"}, now_s=100)


# --- frames


class Client:
    """Takes the place of a websocket."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.closed = False

    async def send_str(self, data: str) -> None:
        await asyncio.sleep(0)
        self.got.append(orjson.loads(data)["u"])

    async def close(self, *, code: int) -> None:
        self.closed = True


def frame(kind: str, number: int, market: str = "A") -> str:
    return orjson.dumps({"e": kind, "s": market, "u": number}).decode()


def delivering(*, for_snapshots: bool = True) -> tuple[Delivery, Any]:
    made = Delivery(RECORDED["binance"](), lambda *_: None, for_snapshots=for_snapshots)
    client: Any = Client()
    made.connected(client)
    return made, client


TRADES, BOOK = frozenset({"a@aggTrade"}), frozenset({"a@depth"})


async def test_frames_wait_for_who_follows_and_go_out_in_order() -> None:
    made, client = delivering()
    for number in range(3):
        await made.send(100 + number, frame("aggTrade", number))
    await made.send(103, frame("aggTrade", 99, market="B"))
    joining = asyncio.create_task(made.join(client, TRADES))
    await asyncio.sleep(0)
    await made.send(104, frame("aggTrade", 3))  # while the others are on their way
    await joining
    await made.send(105, frame("aggTrade", 4))
    assert client.got == [0, 1, 2, 3, 4]
    assert (made.sent, made.missed) == (5, 0)


async def test_what_came_between_two_connections_is_not_lost() -> None:
    made, client = delivering()
    await made.join(client, TRADES)
    await made.send(100, frame("aggTrade", 1))
    await made.drop(set(TRADES))
    assert client.closed
    await made.send(101, frame("aggTrade", 2))
    again: Any = Client()
    made.connected(again)
    await made.join(again, TRADES)
    assert (client.got, again.got) == ([1], [2])


async def test_a_stream_that_was_left_waits_again() -> None:
    made, client = delivering()
    await made.join(client, TRADES)
    made.leave(client, TRADES)
    await made.send(100, frame("aggTrade", 1))
    assert client.got == []
    await made.join(client, TRADES)
    assert client.got == [1]


async def test_only_connections_with_a_lost_stream_are_dropped() -> None:
    made, client = delivering()
    await made.join(client, TRADES)
    await made.drop({"a@depth"})
    assert not client.closed


async def test_updates_of_a_book_wait_for_the_question_about_its_beginning() -> None:
    made, client = delivering()
    await made.send(100, frame("depthUpdate", 1))
    await made.join(client, BOOK)
    await made.send(101, frame("depthUpdate", 2))
    assert client.got == []
    await made.snapshot("OTHER", 100.5)
    assert client.got == []
    await made.snapshot("A", 100.5)
    await made.send(102, frame("depthUpdate", 3))
    assert client.got == [1, 2, 3]


async def test_who_asks_late_gets_the_updates_since_the_snapshot_again() -> None:
    made, client = delivering()
    await made.join(client, BOOK)
    await made.snapshot("A", 99)
    for number in range(5):
        await made.send(100 + number, frame("depthUpdate", number))
    client.got.clear()
    await made.snapshot("A", 102)  # recorded then
    assert client.got == [2, 3, 4]


async def test_a_book_that_was_left_waits_for_the_question_again() -> None:
    made, client = delivering()
    await made.join(client, BOOK)
    await made.snapshot("A", 99)
    made.leave(client, BOOK)
    await made.join(client, BOOK)
    await made.send(100, frame("depthUpdate", 1))
    assert client.got == []
    await made.snapshot("A", 99)
    assert client.got == [1]


async def test_nobody_waits_for_ever_for_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "AWAITED_S", 0.0)
    made, client = delivering()
    await made.send(100, frame("depthUpdate", 1))
    await made.join(client, BOOK)
    await made.send(101, frame("depthUpdate", 2))
    assert client.got == [1, 2]


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "HELD_MAX_BYTES", 100)
    made, client = delivering()
    for number in range(10):
        await made.send(100, frame("aggTrade", number))
    await made.join(client, TRADES)
    assert client.got == [0, 1, 2]
    assert made.missed == 7
    made.leave(client, TRADES)
    await made.send(101, frame("aggTrade", 10))
    await made.join(client, TRADES)
    assert client.got == [0, 1, 2, 10]
