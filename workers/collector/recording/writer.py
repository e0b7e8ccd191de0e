"""The thread that turns the tape into files: encodes, compresses, writes."""

import base64
import logging
import threading
from typing import Any

import orjson
import zstandard

from shared.clock import Clock
from workers.collector.recording.shelf import Shelf
from workers.collector.recording.tape import Entry, Tape, weight

#: A block is one zstd frame: so old or so large (of text) at most, then it is on disk as a whole.
BLOCK_S = 0.9
_BLOCK_BYTES = 2**20
#: Between two looks at the tape, and after an error of the disk.
_LOOK_S = 0.05
_RETRY_S = 1.0
#: Entries that are encoded in one go, some 100 µs; then the event loop may have the interpreter.
_AT_ONCE = 64
_YIELD_S = 0.0005
#: An end waits this long for the disk.
_END_S = 5.0
_LEVEL = 3
_FRAMES = ("recv", "send")

log = logging.getLogger("main")


class Writer:
    """Started once, ended once."""

    def __init__(self, tape: Tape, shelf: Shelf, clock: Clock) -> None:
        self.written = 0  # bytes on disk
        self.frames = 0  # of websockets, both directions
        self.bodies = 0
        self.bytes = 0  # of frames and bodies as they were received
        self.unwritten = (
            0  # entries that no line can hold, or that the disk did not take to the end
        )
        self._clock = clock
        self._tape = tape
        self._shelf = shelf
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._ending = threading.Event()
        self._yield = threading.Event()  # never set
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._lines: list[bytes] = []
        self._weight = 0
        self._size = 0
        self._first_ns = 0
        self._begun = 0.0
        self._failing = False

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Write what is left; waits for that, but not for ever."""
        self._ending.set()
        self._thread.join(_END_S)
        if self._thread.is_alive():
            log.error("The recording was not written to its end within %.0f s", _END_S)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._encode_all()
            wait_s = _LOOK_S
            if self._lines and self._age_s() >= BLOCK_S and not self._flush():
                wait_s = _RETRY_S
            self._ending.wait(wait_s)
        self._tape.end()
        self._flush()  # what the disk did not take before
        self._encode_all()
        self._flush()
        self.unwritten += len(self._lines) + len(self._tape.entries)
        self._shelf.close()

    def _encode_all(self) -> None:
        entries = self._tape.entries
        while entries and not self._failing:
            for _ in range(min(_AT_ONCE, len(entries))):
                self._encode(entries.popleft())
            if self._size >= _BLOCK_BYTES:
                self._flush()
            self._yield.wait(_YIELD_S)

    def _encode(self, entry: Entry) -> None:
        try:
            line = encoded(entry)
        except orjson.JSONEncodeError as error:
            log.error("An entry of the recording can not be written: %s", error)
            self.unwritten += 1
            self._tape.release(weight(entry))
            return
        if not self._lines:
            self._first_ns, self._begun = entry[0], self._clock.monotonic()
        self._lines.append(line)
        self.frames += entry[2] in _FRAMES
        self.bodies += entry[2] == "rest"
        self.bytes += len(entry[3])
        self._size += len(line)
        self._weight += weight(entry)

    def _age_s(self) -> float:
        """Of the block that is being made."""
        return self._clock.monotonic() - self._begun

    def _flush(self) -> bool:
        """Whether nothing waits any more; what the disk does not take is tried again."""
        if not self._lines:
            return True
        block = self._compressor.compress(b"".join(self._lines))
        try:
            self._shelf.append(block, self._first_ns)
        except OSError as error:
            if not self._failing:
                log.error("The recording can not be written: %s", error)
            self._failing = True
            return False
        if self._failing:
            log.info("The recording is written again; %d entries were lost", self._tape.lost)
        self._failing = False
        self.written += len(block)
        self._tape.release(self._weight)
        self._lines, self._weight, self._size = [], 0, 0
        return True


def encoded(entry: Entry) -> bytes:
    """The JSON line of an entry: text frames as `raw`, binary ones as `raw_b64`.

    Raises orjson.JSONEncodeError for text that is no Unicode.
    """
    at_ns, wire, direction, data, facts = entry
    line: dict[str, Any] = {"t": at_ns, "conn": wire.number, "dir": direction, "url": wire.url}
    if facts is not None:
        line |= facts
    if isinstance(data, str):
        line |= {"raw": data} if direction in _FRAMES else {}
    elif direction == "rest":
        line |= _raw(data)
    else:
        line |= _base64(data)
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _raw(body: bytes) -> dict[str, str]:
    """The body of an answer: as text where it is UTF-8."""
    try:
        return {"raw": body.decode()}
    except UnicodeDecodeError:
        return _base64(body)


def _base64(data: bytes) -> dict[str, str]:
    return {"raw_b64": base64.b64encode(data).decode()}
