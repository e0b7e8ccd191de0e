"""What time it is for a venue, by the frames of its candles, and which of them can be believed."""

from collections.abc import Callable

from shared.clock import Clock
from workers.collector.stamps import check_start

#: A frame dated so far ahead of both our clock and what the venue's REST says is refused. It is
#: what REST is given after the end of a candle: what a frame moves closes none early.
LEAD_MS = 2000
#: So many of these in a row, and none between them that is not, are no slip: the clock was set.
_AGREEING = 5
_DAY_MS = 86_400_000  # no clock is a day ahead, and no candle is longer


class VenueTime:
    """The venue's clock is where its newest frame says, within what its REST says."""

    def __init__(self, clock: Clock) -> None:
        #: The venue's clock minus ours by its REST; None while that said nothing.
        self.offset_ms: Callable[[], float | None] = lambda: None
        self._clock = clock
        self._ahead_ms: int | None = None  # by the newest frame
        self._odd: list[int] = []  # how far the last frames were ahead, where that was too far

    def now_ms(self) -> int:
        offset, ahead = self.offset_ms(), self._ahead_ms
        if ahead is None:
            ahead = round(offset or 0)
        elif offset is not None:
            ahead = round(max(offset - LEAD_MS, min(ahead, offset + LEAD_MS)))
        return self._clock.now_ms() + ahead

    def hear(self, start: int, timestamp: int | None, received_at: int) -> None:
        """Raises ValueError or TypeError for times that can not be true."""
        said = start if timestamp is None else timestamp
        # Nearly all frames are like this, and nothing more has to be checked of them.
        if not received_at - _DAY_MS <= start <= said <= received_at + LEAD_MS:
            check_start(start, timestamp, received_at)
            self._check_ahead(max(start, said), received_at)
        elif self._odd:
            self._odd.clear()
        if timestamp is not None:
            self._ahead_ms = timestamp - received_at

    def end_of(self, last_start: int, span_ms: int) -> int:
        """Of the candle that was the last to be closed; where it can not have ended yet, of the
        last before it that can. Which that is nobody knows before REST said what time it is."""
        end = last_start + span_ms
        lead_ms = _DAY_MS if self.offset_ms() is None else self._lead_ms()
        beyond = max(0, end - self._clock.now_ms() - lead_ms)
        return end - -(-beyond // span_ms) * span_ms

    def _check_ahead(self, said: int, received_at: int) -> None:
        ahead = said - received_at
        if ahead <= self._lead_ms():
            return
        if self._odd and abs(ahead - self._odd[0]) > LEAD_MS:
            self._odd.clear()
        self._odd.append(ahead)
        if len(self._odd) < _AGREEING:
            raise ValueError(f"a candle's frame of {ahead} ms ahead")
        del self._odd[_AGREEING:]

    def _lead_ms(self) -> int:
        """From our clock. Either clock may be the one that is right."""
        return max(0, round(self.offset_ms() or 0)) + LEAD_MS
