"""One rate offered to one process for some seconds, and whether every message came out."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.processes import Cost
from bench.shelf import Shelf
from bench.source import Source
from bench.tally import Reader, Tally

_LOOK_S = 0.5
#: Behind by more than this at the end, or falling behind by this in the last half, is no holding.
_BEHIND_S = 0.5
_SETTLE_S = 2.0
_WARM_RATE, _WARM_S = 1000.0, 2.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one rate. `complaint` is empty where it held."""

    rate: float
    seconds: float
    frames: int
    complaint: str
    cpu_s: dict[str, float]
    late_ms: float

    @property
    def held(self) -> bool:
        return not self.complaint

    def shares(self) -> dict[str, float]:
        """Of one core, by process."""
        return {name: round(cpu / self.seconds, 2) for name, cpu in self.cpu_s.items()}

    def us_per_message(self) -> dict[str, float]:
        return {name: round(1e6 * cpu / self.frames, 1) for name, cpu in self.cpu_s.items()}

    def as_dict(self) -> dict[str, object]:
        return {
            "rate": round(self.rate),
            "held": self.held,
            "complaint": self.complaint,
            "cpu_share": self.shares(),
            "cpu_us_per_message": self.us_per_message(),
            "source_late_ms": self.late_ms,
        }

    def __str__(self) -> str:
        cpu = ", ".join(f"{name} {us} us" for name, us in self.us_per_message().items())
        return f"{self.rate:,.0f}/s for {self.seconds:g} s: {self.complaint or 'held'} ({cpu})"


@dataclass(slots=True)
class Bench:
    """A source, the queue at the other end, and the processes between them, by name."""

    source: Source
    shelf: Shelf
    reader: Reader
    pids: Mapping[str, int]
    _last: dict[str, int] = field(default_factory=dict)

    async def warm_up(self) -> None:
        """Caches, connections, the first messages of an epoch; nothing of it counts."""
        played = await self.source.play(_WARM_RATE, _WARM_S)
        await self.shelf.settled()
        await self.shelf.empty()
        self._last = played.last

    async def trial(self, rate: float, seconds: float) -> Trial:
        start_s = await self.source.start_play(rate, seconds)
        await asyncio.sleep(max(0.0, start_s - time.time()))
        before = Cost.now(self.pids)
        playing = asyncio.create_task(self.source.played(start_s, seconds))
        behind = await self._watch(rate, start_s, seconds)
        played = await playing
        cpu_s = Cost.now(self.pids).since(before)
        wrong = await self._check(played.frames, played.last)
        complaint = _growing(behind, rate) or wrong
        self._last = played.last
        return Trial(rate, seconds, played.frames, complaint, cpu_s, played.late_ms)

    async def _watch(self, rate: float, start_s: float, seconds: float) -> list[float]:
        """How many messages are not there yet that should be, each half second."""
        behind = []
        while (passed := time.time() - start_s) < seconds:
            behind.append(passed * rate - await self.shelf.depth())
            await asyncio.sleep(_LOOK_S)
        return behind

    async def _check(self, frames: int, last: dict[str, int]) -> str:
        """Counted first: what is not there in numbers need not be read."""
        depth = await self._arrived(frames)
        if depth != frames:
            await self.shelf.empty()
            return f"{frames} frames sent, {depth} messages arrived"
        tally = Tally(self.reader)
        await self.shelf.take_all(tally.take, depth)
        return tally.complaint(self._last, last)

    async def _arrived(self, frames: int) -> int:
        """The depth when all are there, or when nothing has come for a while."""
        before, depth = -1, await self.shelf.settled()
        while before < depth < frames:
            await asyncio.sleep(_SETTLE_S)
            before, depth = depth, await self.shelf.settled()
        return depth


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
