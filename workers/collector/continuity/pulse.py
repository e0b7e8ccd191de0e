"""How a stream beats: when it last said something, and when that was last news."""

from statistics import median

_KEPT = 16
#: A venue's clock that goes back further than this was set; less is an event out of order, or a
#: clock that has caught up again before the watchdog minds (after 4 s).
SET_BACK_MS = 3_000


class Pulse:
    """Of one stream of one symbol; `beat` is on the hot path."""

    __slots__ = (
        "_intervals",
        "answered",
        "asked_at",
        "at",
        "count",
        "event_time",
        "progress_at",
        "stuck",
    )

    def __init__(self, now: float) -> None:
        self.asked_at: float | None = None  # when its subscription was sent; None: not yet, or lost
        self.answered = False  # whether the venue has said that it took the subscription
        self.count = 0
        self.at = now  # of the last event, monotonic seconds
        self.progress_at = now  # of the last event whose venue time was news
        self.event_time = 0  # the venue's, milliseconds
        self.stuck = 0  # events since then
        self._intervals = [0.0] * _KEPT

    def beat(self, now: float, timestamp: int | None) -> None:
        if timestamp is None or timestamp > self.event_time:
            self._intervals[self.count % _KEPT] = now - self.progress_at
            self.count += 1
            self.progress_at, self.stuck = now, 0
            if timestamp is not None:
                self.event_time = timestamp
        elif timestamp < self.event_time - SET_BACK_MS:
            self.event_time = timestamp
        else:
            self.stuck += 1
        self.at = now

    def usual_s(self) -> float:
        """The median of the last intervals, 0 while there are none."""
        known = self._intervals[: min(self.count, _KEPT)]
        return median(known) if known else 0.0
