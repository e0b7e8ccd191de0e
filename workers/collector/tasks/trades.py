"""Trades for tasks: from the stream, and from REST while that is not up."""

from collections import deque

from workers.collector.catalogue.row import StreamKind
from workers.collector.tasks.inquiry import LEAST_S, SERVES, Inquiry, Wanting
from workers.collector.tasks.supply import (
    GONE,
    Found,
    Lacking,
    Outcome,
    PartsOf,
    Quiet,
    Source,
)

#: Rows of a result where a task names no limit.
DEFAULT_ROWS = 100
#: A stream that is up again so soon needs no REST.
_PATIENCE_S = 5.0


class TradeRows:
    """The newest trades of one symbol, encoded, in the order in which they came."""

    def __init__(self) -> None:
        self.count = 0  # in all
        self._rows: deque[bytes] = deque(maxlen=0)

    def keep(self, most: int) -> None:
        """Remember so many from now on."""
        if most != self._rows.maxlen:
            self._rows = deque(self._rows, maxlen=most)

    def add(self, body: bytes) -> None:
        self.count += 1
        self._rows.append(body)

    def since(self, count: int, limit: int) -> list[bytes]:
        """The newest, at most `limit`, of those that came after the first `count`."""
        new = min(self.count - count, len(self._rows), limit)
        return list(self._rows)[len(self._rows) - new :]


class TradeSupply:
    """Those that were not handed out yet, the newest of them."""

    def __init__(
        self, who: Wanting, parts: PartsOf, rows: TradeRows, inquiry: Inquiry, limit: int | None
    ) -> None:
        self._who, self._parts, self._rows, self._inquiry = who, parts, rows, inquiry
        self._limit = limit or DEFAULT_ROWS
        self._serves_s = SERVES * max(who.interval_s, LEAST_S)
        self._count: int | None = None  # of the rows when it handed some out last
        self._down_since: float | None = None

    def look(self, now: float) -> Outcome:
        parts = self._parts()
        if parts is None:
            return GONE
        if StreamKind.TRADES not in parts.waiting:
            self._down_since = None
            return self._new("stream")
        if self._down_since is None:
            self._down_since = now
        if now - self._down_since < _PATIENCE_S:
            return Lacking("the stream of trades is not up")
        answered_at = self._inquiry.answered_at
        if answered_at is None or now - answered_at > self._serves_s:
            return Lacking("the stream of trades is not up", self._inquiry)
        self._inquiry.renew(self._who, now)
        return self._new("rest")

    def _new(self, source: Source) -> Outcome:
        first, count = self._count is None, self._count or 0
        rows = self._rows.since(count, self._limit)
        if not rows:
            return Quiet()
        skipped = 0 if first else self._rows.count - count - len(rows)
        self._count = self._rows.count
        return Found(b"[" + b",".join(rows) + b"]", source, skipped)
