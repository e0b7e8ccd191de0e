"""Coverage rows and watermarks: what may be claimed, and what the next run is told."""

from pathlib import Path
from typing import Any

import orjson

from shared.completeness import Coverage
from shared.kinds import ORDERBOOK, TRADES, Kind
from shared.symbolset import Revision
from tests.recording import Recording
from workers.collector.continuity.coverage import Coverages
from workers.collector.continuity.watermarks import Watermarks


class Rows:
    def __init__(self) -> None:
        self.recording = Recording()
        self.broken: dict[str, str] = {}
        self.coverage = Coverages(
            self.recording.publishing, "w", "w/1", lambda kind: dict(self.broken)
        )
        self.revision: Revision | None = None

    def tell(self, *kinds: Kind) -> list[Any]:
        before = len(self.recording.facts)
        self.coverage.tell(kinds or (TRADES,), 3, self.revision)
        self.recording.clock.elapsed_s += 10
        return [orjson.loads(fact.body) for fact in self.recording.facts[before:]]


def test_a_row_grows_while_nothing_changes() -> None:
    rows = Rows()
    assert rows.tell() == []
    (first,), (second,) = rows.tell(), rows.tell()
    Coverage.model_validate(first)
    assert (first["until"] - first["from"], second["until"] - first["until"]) == (10_000, 10_000)
    assert second["from"] == first["from"]
    assert [fact.tail for fact in rows.recording.facts] == ["trades", "trades"]
    assert rows.recording.facts[0].key != rows.recording.facts[1].key


def test_a_break_of_a_moment_is_an_exception_of_its_window_alone() -> None:
    rows = Rows()
    rows.tell()
    (sound,) = rows.tell()
    rows.coverage.broke(TRADES, "BTC", "cut")
    (broken,), (after,) = rows.tell(), rows.tell()
    assert (sound["exceptions"], broken["exceptions"]) == ({}, {"BTC": "cut"})
    assert after["exceptions"] == {}
    assert (broken["from"], after["from"]) == (sound["until"], broken["until"])


def test_what_is_still_broken_stays_an_exception_and_kinds_are_apart() -> None:
    rows = Rows()
    rows.broken = {"BTC": "not subscribed"}
    rows.tell(TRADES, ORDERBOOK)
    rows.coverage.broke(TRADES, "ETH", "cut")
    trades, book = rows.tell(TRADES, ORDERBOOK)
    assert trades["exceptions"] == {"BTC": "not subscribed", "ETH": "cut"}
    assert book["exceptions"] == {"BTC": "not subscribed"}
    rows.broken = {}
    trades, book = rows.tell(TRADES, ORDERBOOK)  # it was broken until now
    assert trades["exceptions"] == {"BTC": "not subscribed"}
    trades, book = rows.tell(TRADES, ORDERBOOK)
    assert trades["exceptions"] == book["exceptions"] == {}


def test_another_set_of_symbols_begins_a_row() -> None:
    rows = Rows()
    rows.tell()
    (first,) = rows.tell()
    rows.revision = Revision(registry="r", epoch=1, offset=5)
    (second,) = rows.tell()
    assert second["from"] == first["until"]
    assert second["revision"]["offset"] == 5


class HandOutbox:
    """Settles when the test says so."""

    def __init__(self) -> None:
        self.now = 0
        self.settled = 0

    def mark(self) -> int:
        return self.now

    def settled_up_to(self, mark: int) -> bool:
        return self.settled >= mark


async def test_only_what_is_settled_is_written(tmp_path: Path) -> None:
    outbox, marks = HandOutbox(), {"trades": {"BTC": ["1", 5]}}
    path = tmp_path / "watermarks.json"
    watermarks = Watermarks(path, outbox, lambda: {"trades": dict(marks["trades"])})
    outbox.now = 1
    await watermarks.save()
    marks["trades"]["BTC"], outbox.now = ["2", 6], 2
    await watermarks.save()
    assert not path.exists()
    outbox.settled = 1
    await watermarks.save()
    assert orjson.loads(path.read_bytes()) == {"trades": {"BTC": ["1", 5]}}
    outbox.settled = 2
    await watermarks.save()
    assert orjson.loads(path.read_bytes()) == {"trades": {"BTC": ["2", 6]}}
    assert Watermarks(path, outbox, dict).former == {"trades": {"BTC": ["2", 6]}}


def test_a_file_that_is_none_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "watermarks.json"
    for content in (b"", b"[1]", b'{"trades": 5}', b"\xff"):
        path.write_bytes(content)
        assert Watermarks(path, HandOutbox(), dict).former == {}
