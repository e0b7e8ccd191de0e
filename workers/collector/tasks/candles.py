"""Closed candles for tasks: from the live series where the timeframe is collected, else by REST."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import orjson

from shared.clock import Clock
from shared.messages import Ohlcv
from shared.timeframes import TIMEFRAMES_MS
from workers.collector.candles.filler import FINAL_MS, CandleClient
from workers.collector.events import Candle
from workers.collector.tasks.inquiry import Inquiry
from workers.collector.tasks.supply import Found, Lacking, Outcome, Quiet
from workers.collector.tasks.trades import DEFAULT_ROWS

#: While a candle is due that the venue does not list yet, it is asked for this often at most.
_AGAIN_MS = 10_000
#: A live series has a candle so long after its end, or the venue has none.
_GRACE_MS = 90_000


class ClosedCandles(Protocol):
    """What `workers.collector.candles.candles.Candles` knows of closed candles."""

    def closed(self, symbol: str, timeframe: str, rows: list[Candle]) -> list[Ohlcv]:
        """Rows as messages."""
        ...


class _Row(NamedTuple):
    """A closed candle, and which of all that came it was."""

    number: int
    candle: Ohlcv


class CandleRows:
    """The newest closed candles of one symbol and timeframe that tasks ask for."""

    def __init__(self, symbol: str, timeframe: str, *, live: bool) -> None:
        self.symbol, self.timeframe, self.live = symbol, timeframe, live
        self.span_ms = TIMEFRAMES_MS[timeframe]
        self.depth = 0  # how many REST was asked for
        self.asked_ms: int | None = None  # when, by the venue's clock
        self.most = 0  # that any task asks for
        self.count = 0  # in all
        self._rows: dict[int, _Row] = {}  # by start

    @property
    def newest(self) -> int | None:
        """The start of the latest."""
        return max(self._rows, default=None)

    def keep(self, most: int) -> None:
        """Remember so many from now on."""
        self.most = most
        self._trim()

    def add(self, candle: Ohlcv) -> None:
        """One that is new, or a correction: what is known already comes from REST as well."""
        known = self._rows.get(candle.start)
        if known is None or candle.rev > known.candle.rev:
            self.count += 1
            self._rows[candle.start] = _Row(self.count, candle)
            self._trim()

    def since(self, start: int, number: int) -> list[Ohlcv]:
        """Later ones than that of `start`, and those that were corrected after the `number`-th
        came; in order of their start."""
        return [
            row.candle
            for at, row in sorted(self._rows.items())
            if at > start or (row.candle.rev and row.number > number)
        ]

    def due(self, venue_ms: int) -> bool:
        """Whether REST has something that is not here, by all that is known."""
        if self.depth < self.most:
            return True
        if self.live or not self.behind(venue_ms, FINAL_MS):
            return False
        return self.asked_ms is None or venue_ms - self.asked_ms >= _AGAIN_MS

    def behind(self, venue_ms: int, grace_ms: int) -> bool:
        """Whether the candle after the latest ended so long ago, or more."""
        newest = self.newest
        return newest is None or newest + 2 * self.span_ms + grace_ms <= venue_ms

    def wanted_since(self, venue_ms: int) -> int:
        """The start from which REST is asked."""
        newest = self.newest
        if self.depth < self.most or newest is None:
            return max(0, venue_ms - (self.most + 2) * self.span_ms)  # the open one among them
        return newest + self.span_ms

    def _trim(self) -> None:
        while len(self._rows) > max(self.most, 1):
            del self._rows[min(self._rows)]


class CandleQuestions:
    """Asks the venue for what rows of candles lack."""

    def __init__(
        self,
        client: CandleClient,
        candles: ClosedCandles,
        page: int,
        venue_ms: Callable[[], int],
        clock: Clock,
    ) -> None:
        self._client, self._candles = client, candles
        self._page, self.venue_ms, self._clock = page, venue_ms, clock

    async def ask(self, rows: CandleRows) -> None:
        """Where something is due, page after page up to now. Raises ExchangeError."""
        now_ms = self.venue_ms()
        if not rows.due(now_ms):
            return
        most, since = rows.most, rows.wanted_since(now_ms)
        while since <= now_ms:  # venues give the oldest first, and so many at most
            limit = min(self._page, (now_ms - since) // rows.span_ms + 1)
            asked_at, answer = await self._client.fetch_candles(
                rows.symbol, rows.timeframe, since, limit
            )
            age_ms = round(1000 * (self._clock.monotonic() - asked_at))
            rows.asked_ms = self.venue_ms() - age_ms
            final = [row for row in answer if row.start + rows.span_ms + FINAL_MS <= rows.asked_ms]
            for candle in self._candles.closed(rows.symbol, rows.timeframe, final):
                rows.add(candle)
            last = max((row.start for row in answer), default=since)
            if limit < self._page or last < since + (limit // 2) * rows.span_ms:
                break  # there is no more: what is missing in between was not traded
            since = last + rows.span_ms
        rows.depth = max(rows.depth, most)


class CandleSupply:
    """Those that closed since the last that was handed out; at first the latest `limit`."""

    def __init__(
        self, rows: CandleRows, inquiry: Inquiry, limit: int | None, venue_ms: Callable[[], int]
    ) -> None:
        self._rows, self._inquiry = rows, inquiry
        self._limit, self._venue_ms = limit or DEFAULT_ROWS, venue_ms
        self._start: int | None = None  # of the last one that was handed out
        self._number = 0  # of the rows by then

    def look(self, now: float) -> Outcome:
        rows, venue_ms = self._rows, self._venue_ms()
        if rows.depth < self._limit:
            return Lacking("no candles yet", self._inquiry)
        new = self._new()
        if new:
            return self._found(new)
        if rows.due(venue_ms):
            return Lacking("the venue has no newer candle yet", self._inquiry)
        if rows.behind(venue_ms, _GRACE_MS):
            return Lacking("no candle closed when one was due")
        return Quiet()

    def _new(self) -> list[Ohlcv]:
        if self._start is None:
            return self._rows.since(-1, 0)
        came = self._rows.count > self._number
        return self._rows.since(self._start, self._number) if came else []

    def _found(self, new: list[Ohlcv]) -> Found:
        told = new[-self._limit :]
        skipped = 0 if self._start is None else len(new) - len(told)
        self._start = max(told[-1].start, self._start or 0)
        self._number = self._rows.count
        streamed = all(candle.source == "stream" for candle in told)
        body = orjson.dumps([candle.__dict__ for candle in told])
        return Found(body, "stream" if streamed else "rest", skipped)
