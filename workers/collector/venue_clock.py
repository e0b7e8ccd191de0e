"""How far a venue's clock is from ours, as NTP would find out, from the answers of its REST.

Nothing is corrected by it: a stamp stays what somebody said. It tells how much a difference
between a venue's stamps and ours is worth.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from shared.clock import Clock
from shared.errors import ExchangeError
from workers.collector.catalogue.row import ServerTime
from workers.collector.rest_trace import Passage

#: Clocks further apart than this are told of; they have to come closer than the other to be right
#: again, so that one that stays at the limit is one episode.
SKEWED_MS = 2000.0
_RIGHT_MS = 1500.0
#: Of so many seconds the best sample counts.
WINDOW_S = 180.0
_SAMPLES = 256
#: So many samples in a row that contradict the best one: a clock was set. One alone can be an
#: answer out of somebody's cache.
_CONTRADICTIONS = 3
#: What two clocks may drift apart within the window: 500 ppm, the most that NTP bears.
_DRIFT_MS = 90.0
#: Without an answer for so long, the venue is asked for its time: with the contradictions that it
#: takes, a clock that was set is known within a minute.
ASK_AFTER_S = 15.0
_LOOK_S = 2.5
_HTTP_DATE_MS = 1000.0  # what the header `Date` cuts off

log = logging.getLogger("main")


class Sample(NamedTuple):
    at: float  # monotonic seconds
    offset_ms: float  # the venue's clock minus ours
    uncertainty_ms: float  # the true offset is at most this far from it

    def contradicts(self, other: "Sample") -> bool:
        apart = abs(self.offset_ms - other.offset_ms)
        return apart > self.uncertainty_ms + other.uncertainty_ms + _DRIFT_MS


class VenueClock:
    """The offset by the sample with the least uncertainty of the last minutes."""

    def __init__(self, clock: Clock, source: ServerTime) -> None:
        #: Told when the clocks are found to be far apart, and when they are right again.
        self.on_change: Callable[[bool], None] = lambda _skewed: None
        self.skewed = False
        self._clock = clock
        self._source = source
        self._samples: deque[Sample] = deque(maxlen=_SAMPLES)
        self._contradictions: list[Sample] = []
        self._best: Sample | None = None
        self._heard_at = clock.monotonic()

    @property
    def offset_ms(self) -> float | None:
        """The venue's clock minus ours; None before the first answer."""
        return self._best.offset_ms if self._best else None

    @property
    def uncertainty_ms(self) -> float | None:
        """How far the true offset can be from `offset_ms` at most."""
        return self._best.uncertainty_ms if self._best else None

    def as_dict(self) -> dict[str, object]:
        """For heartbeats; empty before the first answer."""
        best = self._best
        if best is None:
            return {}
        age_s = self._clock.monotonic() - self._heard_at
        return {
            "offset_ms": round(best.offset_ms),
            "uncertainty_ms": round(best.uncertainty_ms),
            "skewed": self.skewed,
            "age_s": round(age_s),
        }

    def hear(self, passage: Passage | None, body: Any) -> None:
        """Take what an answer says of the time, if anything; `body` as JSON. Never raises."""
        if passage is None or passage.answered_at is None:
            return
        said = _said(self._source, passage.headers, body)
        if said is not None:
            self.add(*said, passage.sent_at, passage.answered_at)

    def add(self, said_ms: float, resolution_ms: float, sent_at: float, answered_at: float) -> None:
        """Take a sample: the venue's time somewhere between sending and answering (monotonic
        seconds), cut off to a multiple of its resolution."""
        now = self._clock.monotonic()
        middle_ms = self._clock.now_ms() - 1000 * (now - (sent_at + answered_at) / 2)
        doubt_ms = 500 * (answered_at - sent_at) + resolution_ms / 2
        self._take(Sample(now, said_ms + resolution_ms / 2 - middle_ms, doubt_ms))
        self._heard_at = now
        self._judge()

    async def run(self, ask: Callable[[], Awaitable[None]]) -> None:
        """Ask where nobody else does, for ever."""
        while True:
            await self._clock.sleep(_LOOK_S)
            if self._clock.monotonic() - self._heard_at < ASK_AFTER_S:
                continue
            try:
                await ask()
            except ExchangeError as error:
                log.debug("No time of the venue: %s", error)
                await self._clock.sleep(ASK_AFTER_S)

    def _take(self, sample: Sample) -> None:
        while self._samples and self._samples[0].at < sample.at - WINDOW_S:
            self._samples.popleft()
        best = min(self._samples, key=_uncertainty, default=None)
        if best is not None and sample.contradicts(best):
            self._contradictions.append(sample)
            if len(self._contradictions) < _CONTRADICTIONS:
                return
            self._samples.clear()
            self._samples.extend(self._contradictions)
        else:
            self._samples.append(sample)
        self._contradictions.clear()
        self._best = min(self._samples, key=_uncertainty)

    def _judge(self) -> None:
        best = self._best
        if best is None:
            return
        apart = abs(best.offset_ms)
        limit = _RIGHT_MS if self.skewed else SKEWED_MS
        # An offset within its own uncertainty may as well be none.
        skewed = apart > max(limit, best.uncertainty_ms)
        if skewed != self.skewed:
            self.skewed = skewed
            self.on_change(skewed)


def _uncertainty(sample: Sample) -> float:
    return sample.uncertainty_ms


def _said(source: ServerTime, headers: Mapping[str, str], body: Any) -> tuple[float, float] | None:
    """The venue's time in milliseconds, and how fine it is."""
    if source.field and isinstance(body, dict):
        value = _whole(body.get(source.field))
        if value is not None:
            return float(value), 1.0
    if source.header:
        value = _whole(headers.get(source.header))
        if value is not None:
            return value / 1000, 0.001
    try:
        return 1000 * parsedate_to_datetime(headers["Date"]).timestamp(), _HTTP_DATE_MS
    except (KeyError, ValueError, OverflowError):
        return None


def _whole(value: object) -> int | None:
    """Of a number, or of text as venues write numbers."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    return value if type(value) is int else None
