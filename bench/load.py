"""One rate offered to one process for some seconds, and whether every message came out."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.processes import Cost
from bench.shelf import Shelf
from bench.source import Source
from bench.tally import Reader, Tally, read_batch

_LOOK_S = 0.5
#: The last message may come so long after its frame was due; falling behind by this from the first
#: to the second half is no holding either.
_BEHIND_S = 0.5
#: A source that sends later than this has not offered the rate.
_LATE_MS = 250.0
_POLL_S = 0.05
_SETTLE_S = 2.0
_WARM_RATE, _WARM_S = 1000.0, 2.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one rate. `complaint` is empty where it held."""

    offered: float
    seconds: float  # from the first frame's due time to the last message
    frames: int
    complaint: str
    cpu_s: dict[str, float]
    late_ms: float

    @property
    def held(self) -> bool:
        return not self.complaint

    @property
    def rate(self) -> float:
        """Messages a second, as they came out."""
        return self.frames / self.seconds

    def shares(self) -> dict[str, float]:
        """Of one core, by process."""
        return {name: round(cpu / self.seconds, 2) for name, cpu in self.cpu_s.items()}

    def us_per_message(self) -> dict[str, float]:
        return {name: round(1e6 * cpu / self.frames, 1) for name, cpu in self.cpu_s.items()}

    def as_dict(self) -> dict[str, object]:
        return {
            "offered": round(self.offered),
            "rate": round(self.rate),
            "held": self.held,
            "complaint": self.complaint,
            "cpu_share": self.shares(),
            "cpu_us_per_message": self.us_per_message(),
            "source_late_ms": self.late_ms,
        }

    def __str__(self) -> str:
        cpu = ", ".join(f"{name} {us} us" for name, us in self.us_per_message().items())
        return f"{self.offered:,.0f}/s for {self.seconds:.1f} s: {self.complaint or 'held'} ({cpu})"


@dataclass(slots=True)
class Bench:
    """A source, the queue at the other end, and the processes between them, by name; `rows` is a
    queue of batches, which have to hold the same."""

    source: Source
    shelf: Shelf
    reader: Reader
    pids: Mapping[str, int]
    rows: Shelf | None = None
    _last: dict[str, int] = field(default_factory=dict)

    async def warm_up(self) -> None:
        """Caches, connections, the first messages of an epoch; nothing of it counts."""
        played = await self.source.play(_WARM_RATE, _WARM_S)
        await self.shelf.settled()
        await self._empty()
        self._last = played.last

    async def trial(self, rate: float, seconds: float) -> Trial:
        start_s = await self.source.start_play(rate, seconds)
        await asyncio.sleep(max(0.0, start_s - time.time()))
        before = Cost.now(self.pids)
        playing = asyncio.create_task(self.source.played(start_s, seconds))
        behind = await self._watch(rate, start_s, seconds)
        played = await playing
        depth, took_s = await self._arrived(played.frames, start_s)
        cpu_s = Cost.now(self.pids).since(before)
        wrong = await self._check(played.frames, depth, played.last)
        complaint = _growing([*behind, rate * (took_s - seconds)], rate) or wrong
        if played.late_ms > _LATE_MS:
            complaint = f"the source itself was {played.late_ms:.0f} ms late"
        self._last = played.last
        return Trial(rate, max(seconds, took_s), played.frames, complaint, cpu_s, played.late_ms)

    async def _watch(self, rate: float, start_s: float, seconds: float) -> list[float]:
        """How many messages are not there yet that should be, each half second."""
        behind = []
        while (passed := time.time() - start_s) < seconds:
            behind.append(passed * rate - await self.shelf.depth())
            await asyncio.sleep(_LOOK_S)
        return behind

    async def _arrived(self, frames: int, start_s: float) -> tuple[int, float]:
        """The depth when all are there, or when nothing has come for a while; seconds until the
        last growth."""
        depth, grown_s = await self.shelf.depth(), time.time()
        while depth < frames and time.time() < grown_s + _SETTLE_S:
            await asyncio.sleep(_POLL_S)
            if (now := await self.shelf.depth()) != depth:
                depth, grown_s = now, time.time()
        return depth, grown_s - start_s

    async def _check(self, frames: int, depth: int, last: dict[str, int]) -> str:
        """Counted first: what is not there in numbers need not be read."""
        depth = max(depth, await self.shelf.settled())  # more than there should be?
        if depth != frames:
            await self._empty()
            return f"{frames} frames sent, {depth} messages arrived"
        tally = Tally(self.reader)
        await self.shelf.take_all(tally.take, depth)
        complaint = tally.complaint(self._last, last)
        if complaint or self.rows is None:
            await self._empty()
            return complaint
        tally = Tally(read_batch)
        await self.rows.take_all(tally.take, await self.rows.settled())
        complaint = tally.complaint(self._last, last)
        return f"in batches: {complaint}" if complaint else ""

    async def _empty(self) -> None:
        await self.shelf.empty()
        if self.rows is not None:
            await self.rows.settled()
            await self.rows.empty()


def _growing(behind: list[float], rate: float) -> str:
    """Whether the process fell behind: at the end, or further in the last half than in the first.

    Depths are stale by the broker's own interval, so a fraction of a second is nothing.
    """
    half = len(behind) // 2
    if half == 0:
        return ""
    first, second = (sum(part) / len(part) for part in (behind[:half], behind[half:]))
    if behind[-1] > rate * _BEHIND_S:
        return f"{behind[-1] / rate:.1f} s behind at the end"
    if second - first > rate * _BEHIND_S:
        return f"falling behind, by {(second - first) / rate:.1f} s"
    return ""
