"""Recording raw traffic: from the tape to files, and back."""

import gzip
import logging
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard

from shared.clock import SystemClock
from simulator import recording
from simulator.capture import Body, Received
from simulator.recording import Recording, rows
from tests.fakes import FakeClock
from workers.collector.recording import writer as writing
from workers.collector.recording.shelf import Shelf
from workers.collector.recording.tape import Tape, Wire, weight
from workers.collector.recording.writer import Writer

HOUR_NS = 3_600_000_000_000
NOON_NS = 1_799_928_000 * 10**9  # 2027-01-14 12:00 UTC
WIRE = Wire(1, "wss://venue.test/ws")


def tape(waiting_bytes: int = 2**20) -> Tape:
    return Tape(FakeClock().now_ns, waiting_bytes)


def directions(of: Tape) -> list[str]:
    return [entry[2] for entry in of.entries]


# --- the tape


def test_a_tape_that_is_full_loses_entries_and_says_so_in_their_place() -> None:
    clock = FakeClock()
    full = Tape(clock.now_ns, waiting_bytes=1000)
    for _ in range(4):
        full.frame(WIRE, "recv", "x" * 100)
    began = clock.now_ns()
    for _ in range(3):
        full.frame(WIRE, "recv", "y" * 100)
        clock.elapsed_s += 1
    full.body(b"{}", {"url": "u"})
    full.event(WIRE, "close")
    assert directions(full) == ["recv"] * 4
    assert full.lost == 5

    for entry in list(full.entries):
        full.release(weight(entry))
    full.entries.clear()
    full.frame(WIRE, "recv", "z")
    full.frame(WIRE, "recv", "z")
    assert directions(full) == ["lost", "recv", "recv"]
    assert full.entries[0][4] == {"count": 5, "since": began}
    assert full.lost == 5


def test_what_is_lost_at_the_end_is_marked_as_well() -> None:
    full = tape(waiting_bytes=0)
    full.frame(WIRE, "recv", "x")
    full.frame(WIRE, "recv", "y")
    full.end()
    assert directions(full) == ["recv", "lost"]
    full.end()
    assert directions(full) == ["recv", "lost"]


def test_the_bound_is_the_same_after_a_long_time() -> None:
    """What is put is released by its weight, marks too."""
    bounded = tape(waiting_bytes=2000)
    kept = []
    for _ in range(500):
        lost = bounded.lost
        while bounded.lost == lost:
            bounded.frame(WIRE, "recv", b"\x00" * 30)
            bounded.body(b"x" * 20, {})
            bounded.event(WIRE, "open")
        kept.append(len(bounded.entries))
        while bounded.entries:
            bounded.release(weight(bounded.entries.popleft()))
    assert set(kept[1:]) == {kept[1]}
    assert kept[1] < 12


# --- the writer


def shelf(root: Path, max_bytes: int = 10**9) -> Shelf:
    return Shelf(root, "venue", max_bytes)


def files(root: Path) -> list[Path]:
    return Recording(root, "venue").files()


def lines(root: Path) -> list[dict[str, Any]]:
    return [row for file in files(root) for row in rows(file)]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BLOCK_S", 0.02)
    monkeypatch.setattr(writing, "_RETRY_S", 0.02)


def test_everything_is_written_as_it_was(tmp_path: Path) -> None:
    full = Tape(time.time_ns)
    began = time.time_ns()
    writer = Writer(full, shelf(tmp_path), SystemClock())
    writer.start()
    full.event(WIRE, "open")
    full.frame(WIRE, "send", '{"op":"subscribe"}')
    full.frame(WIRE, "recv", 'with "quotes", ünïcode and 币安人生')
    full.frame(WIRE, "recv", gzip.compress(b"binary"))
    full.body('{"price": "1"} 币'.encode(), {"url": "https://venue.test/a", "status": 200})
    full.body(b"\xff\xfe", {"url": "https://venue.test/b", "status": 200})
    full.event(WIRE, "close", code=1006, by="venue")
    writer.end()

    written = lines(tmp_path)
    assert [line["dir"] for line in written] == [
        *("open", "send", "recv", "recv", "rest", "rest", "close")
    ]
    times = [line["t"] for line in written]
    assert times == sorted(times)
    assert began <= times[0] <= times[-1] <= time.time_ns()
    assert [line["conn"] for line in written] == [1, 1, 1, 1, 0, 0, 1]
    assert written[1]["raw"] == '{"op":"subscribe"}'
    assert written[2]["raw"] == 'with "quotes", ünïcode and 币安人生'
    assert "raw" not in written[3]
    assert written[4]["raw"] == '{"price": "1"} 币'
    assert written[4]["url"] == "https://venue.test/a"
    assert "raw" not in written[5]
    assert (written[6]["code"], written[6]["by"]) == (1006, "venue")
    assert (writer.frames, writer.bodies) == (3, 2)
    assert writer.written == sum(file.stat().st_size for file in files(tmp_path))


def test_a_reader_gets_back_the_bytes_of_binary_frames_and_bodies(tmp_path: Path) -> None:
    full = Tape(time.time_ns)
    writer = Writer(full, shelf(tmp_path), SystemClock())
    writer.start()
    full.frame(WIRE, "recv", gzip.compress(b"binary"))
    full.frame(WIRE, "recv", b"binary, though it could be text")
    facts = {"url": "https://venue.test/a?x=%2B1", "method": "GET", "status": 200}
    full.body(b"\xff\xfe", facts | {"asked": NOON_NS, "headers": {"Date": "today"}})
    writer.end()
    frame, other, body = Recording(tmp_path, "venue").events()
    assert isinstance(other, Received)
    assert other.data == b"binary, though it could be text"
    assert isinstance(frame, Received)
    assert isinstance(body, Body)
    assert isinstance(frame.data, bytes)
    assert gzip.decompress(frame.data) == b"binary"
    assert body.data == b"\xff\xfe"
    assert (body.path, body.query, body.asked_s) == ("/a", {"x": "+1"}, NOON_NS / 1e9)


def test_a_recording_that_ends_too_full_says_so_in_its_last_line(tmp_path: Path) -> None:
    full = tape(waiting_bytes=100)
    for _ in range(5):
        full.frame(WIRE, "recv", "x")
    writer = Writer(full, shelf(tmp_path), SystemClock())
    writer.start()
    writer.end()
    assert [line.get("count") for line in lines(tmp_path)] == [None, 4]


def test_a_block_is_on_disk_while_the_recording_goes_on(tmp_path: Path, hasty: None) -> None:
    full = Tape(time.time_ns)
    writer = Writer(full, shelf(tmp_path), SystemClock())
    writer.start()
    full.frame(WIRE, "recv", "first")
    deadline = time.monotonic() + 5
    while writer.written == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [line["raw"] for line in lines(tmp_path)] == ["first"]
    writer.end()


def test_what_the_disk_refuses_is_tried_again(
    tmp_path: Path, hasty: None, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "venue"
    in_the_way.write_text("a file where the directory has to be")
    full = Tape(time.time_ns, waiting_bytes=3000)
    writer = Writer(full, shelf(tmp_path), SystemClock())
    writer.start()
    with caplog.at_level(logging.INFO, "main"):
        for number in range(100):
            full.frame(WIRE, "recv", str(number))
            time.sleep(0.002)
        in_the_way.unlink()
        deadline = time.monotonic() + 5
        while writer.written == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        full.frame(WIRE, "recv", "after")
        writer.end()
    assert len(caplog.records) == 2  # when it began and when it ended
    written = lines(tmp_path)
    kept = [line["raw"] for line in written if line["dir"] == "recv"]
    told = sum(line["count"] for line in written if line["dir"] == "lost")
    assert kept == [*map(str, range(len(kept) - 1)), "after"]
    assert 10 < len(kept) < 20
    assert told == full.lost == 101 - len(kept)
    assert writer.unwritten == 0


def test_what_could_not_be_written_at_the_end_is_counted(tmp_path: Path, hasty: None) -> None:
    (tmp_path / "venue").write_text("in the way")
    full = Tape(time.time_ns)
    writer = Writer(full, shelf(tmp_path), SystemClock())
    writer.start()
    for number in range(7):
        full.frame(WIRE, "recv", str(number))
    writer.end()
    assert writer.written == 0
    assert writer.unwritten == 7


def test_text_that_is_no_unicode_ends_no_recording(tmp_path: Path) -> None:
    full = Tape(time.time_ns, waiting_bytes=1000)
    writer = Writer(full, shelf(tmp_path), SystemClock())
    writer.start()
    for _ in range(9):
        full.event(WIRE, "close", reason="cut within a character: \udce5")
        deadline = time.monotonic() + 5
        while full.entries and time.monotonic() < deadline:
            time.sleep(0.01)
    full.frame(WIRE, "recv", "after")
    writer.end()
    assert [line["dir"] for line in lines(tmp_path)] == ["recv"]
    assert (writer.unwritten, full.lost) == (9, 0)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """As on a disk that gets full within a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_block_that_was_torn_is_written_again_in_another_file(tmp_path: Path) -> None:
    first, second = block("first"), block("second")
    stack = shelf(tmp_path)
    stack.append(first, NOON_NS)
    with files_up_to(len(first) + 9), pytest.raises(OSError, match="large"):
        stack.append(second, NOON_NS + 1)
    stack.append(second, NOON_NS + 1)
    stack.close()
    torn, whole = files(tmp_path)
    assert torn.stat().st_size == len(first) + 9
    assert [row["raw"] for row in rows(torn)] == ["first"]
    assert [row["raw"] for row in rows(whole)] == ["second"]


# --- files


def block(*frames: str) -> bytes:
    """As a writer makes it."""
    entries = tape()
    for frame in frames:
        entries.frame(WIRE, "recv", frame)
    packed = [writing.encoded(entry) for entry in entries.entries]
    return zstandard.ZstdCompressor().compress(b"".join(packed))


def test_each_hour_has_a_file_and_each_day_a_directory(tmp_path: Path) -> None:
    stack = shelf(tmp_path)
    times = (NOON_NS, NOON_NS + HOUR_NS - 1, NOON_NS + HOUR_NS, NOON_NS + 13 * HOUR_NS)
    for number, at_ns in enumerate(times):
        stack.append(block(str(number)), at_ns)
    stack.close()
    assert [str(file.relative_to(tmp_path)) for file in files(tmp_path)] == [
        "venue/2027-01-14/12-1799928000000.jsonl.zst",
        "venue/2027-01-14/13-1799931600000.jsonl.zst",
        "venue/2027-01-15/01-1799974800000.jsonl.zst",
    ]
    assert [line["raw"] for line in lines(tmp_path)] == ["0", "1", "2", "3"]
    assert stack.files == 3


def test_a_run_never_writes_into_the_file_of_another(tmp_path: Path) -> None:
    for frame in ("one run", "another"):
        stack = shelf(tmp_path)
        stack.append(block(frame), NOON_NS)
        stack.close()
    assert [line["raw"] for line in lines(tmp_path)] == ["one run", "another"]
    assert len(files(tmp_path)) == 2


def test_the_oldest_files_go_where_there_is_no_room(tmp_path: Path) -> None:
    bound, size = 8000, 100
    old = shelf(tmp_path)
    old.append(b"o" * size, NOON_NS - 24 * HOUR_NS)
    old.close()
    stack = shelf(tmp_path, bound)
    totals = []
    for number in range(500):
        stack.append(b"x" * size, NOON_NS + number * HOUR_NS // 100)
        totals.append(sum(file.stat().st_size for file in files(tmp_path)))
    stack.close()
    assert max(totals) <= bound
    assert min(totals[100:]) >= bound * 7 // 8, "no more goes than has to"
    assert stack.deleted > 0
    assert not (tmp_path / "venue" / "2027-01-13").exists()
    starts = [int(file.name[3:16]) for file in files(tmp_path)]
    assert starts == sorted(starts)
    assert starts[-1] > NOON_NS // 10**6 + 4 * 3_600_000  # the newest are there


def test_a_file_that_was_cut_off_is_read_up_to_its_last_whole_block(tmp_path: Path) -> None:
    first, second = block("a", "b"), block("c" * 300)
    file = tmp_path / "12-1.jsonl.zst"
    for cut in range(len(second)):
        file.write_bytes(first + second[:cut])
        assert [row["raw"] for row in rows(file)] == ["a", "b"], cut
    file.write_bytes(first + second + bytes(4096))  # blocks that a crash left empty
    assert [row["raw"] for row in rows(file)] == ["a", "b", "c" * 300]


def test_files_are_read_in_pieces_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "12-1.jsonl.zst"
    file.write_bytes(block("a", "b") + block("c" * 300) + block("d"))
    for piece in (1, 7, 100, 2**20):
        monkeypatch.setattr(recording, "_PIECE", piece)
        assert [row["raw"] for row in rows(file)] == ["a", "b", "c" * 300, "d"]
