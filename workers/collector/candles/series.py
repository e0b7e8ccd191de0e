"""The candles of one symbol and timeframe: which are closed, which are missing, which changed.

Decides only; nothing here waits, asks or publishes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isclose
from typing import NamedTuple

from shared.backoff import Backoff
from shared.messages import Ohlcv
from workers.collector.events import Candle

#: Published candles whose values are remembered, to know a correction. A check looks back on two.
_KEPT = 8
#: The same sum of trades, added up in another order, is the same volume.
_VOLUME_TOLERANCE = 1e-9

Values = tuple[float, float, float, float, float]


class Published(NamedTuple):
    """What went out for a start."""

    values: Values
    rev: int


class Missing(NamedTuple):
    """Starts of the first and the last candle that nobody could give."""

    first: int
    last: int


@dataclass(slots=True, eq=False)
class CandleSeries:
    """Closed candles leave it in order of their start, each once, and again with rev + 1 where
    their values changed. Times are milliseconds of the venue's clock."""

    symbol: str
    timeframe: str
    span_ms: int
    unit: float = 1.0  # base currency units that the venue's volume counts in
    due: int | None = None  # start of the candle that is published as closed next
    awaited: int | None = None  # when it was subscribed to, until one of its candles comes
    open: Candle | None = None  # newest frame of a candle that is not closed
    open_received_at: int = 0
    fresh: bool = False  # a frame of it was neither published nor counted yet
    sent_at: float = float("-inf")  # when an open candle last went out, monotonic seconds
    check_at: int | None = None  # when REST is asked whether it agrees
    ask_after: int = 0  # no fill before
    attempts: int = 0  # fills that brought nothing, since one that did
    backoff: Backoff = field(default_factory=lambda: Backoff(1.0, 60.0))  # between those
    _waiting: dict[int, Ohlcv] = field(default_factory=dict)  # closed; something before is missing
    _published: dict[int, Published] = field(default_factory=dict)

    @property
    def last_closed(self) -> int | None:
        return None if self.due is None else self.due - self.span_ms

    def waits(self, start: int) -> bool:
        """Whether the closed candle of `start` waits for others before it."""
        return start in self._waiting

    def begin(self, start: int) -> None:
        """Start with the candle of `start`, unless it was published before a pause."""
        if self.due is None and start > max(self._published, default=-1):
            self.due = start

    def subscribed(self, now_ms: int) -> None:
        """Its candles are to come from now on."""
        if self.due is None or (self.open is None and not self._published):
            self.awaited = now_ms

    def seen(self, start: int) -> None:
        """The venue has a candle of `start`, closed or not."""
        self.begin(start)
        if self.due is not None:
            self.awaited = None

    def silent(self, now_ms: int) -> bool:
        """Whether it was subscribed to before `now_ms`, and none of its candles came."""
        return self.awaited is not None and self.awaited <= now_ms

    def pause(self) -> None:
        """Nobody collects the symbol any more: what comes meanwhile is not missing."""
        self.due = self.open = self.check_at = self.awaited = None
        self.attempts = self.ask_after = 0
        self._waiting.clear()

    def behind(self, now_ms: int) -> bool:
        """Whether the candle that is due has ended before `now_ms`."""
        return self.due is not None and self.due + self.span_ms <= now_ms

    def close(self, candle: Ohlcv) -> list[Ohlcv]:
        """What may be published now that `candle` is closed, in order."""
        self.begin(candle.start)
        if self.due is None or candle.start < self.due:
            return self._corrected(candle)
        known = self._waiting.get(candle.start)
        if known is None or not _same(_values(known), _values(candle)):
            self._waiting[candle.start] = candle
        return self._ready()

    def answer(self, candles: Iterable[Ohlcv]) -> tuple[list[Ohlcv], list[Missing]]:
        """Take final candles of a REST answer which begins at `due` or before, in order: what may
        be published, and what the venue leaves out between them."""
        ready: list[Ohlcv] = []
        missing: list[Missing] = []
        for candle in candles:
            self.begin(candle.start)
            while self.due is not None and candle.start > self.due:
                missing += self._skip_to(min((candle.start, *self._waiting)))
                ready += self._ready()
            ready += self.close(candle)
        return ready, missing

    def give_up(self) -> tuple[list[Ohlcv], list[Missing]]:
        """Go on without what is missing before the candles that wait."""
        if not self._waiting:
            return [], []
        missing = self._skip_to(min(self._waiting))
        return self._ready(), missing

    def _skip_to(self, start: int) -> list[Missing]:
        assert self.due is not None
        first, self.due = self.due, start
        last = start - self.span_ms
        return [Missing(first, last)] if last >= first else []

    def _ready(self) -> list[Ohlcv]:
        ready = []
        while self.due is not None and (candle := self._waiting.pop(self.due, None)) is not None:
            self._remember(candle)
            self.due += self.span_ms
            ready.append(candle)
        if self.open is not None and self.due is not None and self.open.start < self.due:
            self.open = None
        return ready

    def _corrected(self, candle: Ohlcv) -> list[Ohlcv]:
        known = self._published.get(candle.start)
        if known is None or _same(known.values, _values(candle)):
            return []
        corrected = candle.model_copy(update={"rev": known.rev + 1})
        self._remember(corrected)
        return [corrected]

    def _remember(self, candle: Ohlcv) -> None:
        self._published[candle.start] = Published(_values(candle), candle.rev)
        while len(self._published) > _KEPT:
            del self._published[min(self._published)]


def _values(candle: Ohlcv) -> Values:
    return candle.open, candle.high, candle.low, candle.close, candle.volume


def _same(one: Values, other: Values) -> bool:
    return one[:4] == other[:4] and isclose(one[4], other[4], rel_tol=_VOLUME_TOLERANCE)
