"""What is known of a symbol beyond its best prices: from bodies and from slow parts of frames."""

from collections.abc import Callable, Mapping, Sequence

from pydantic import ValidationError

from shared.clock import ms_at
from shared.config import Collection
from shared.config.live import Live
from shared.kinds import TICKER
from shared.messages import Overview
from shared.service import every
from workers.collector.events import RestUpdate, Summary
from workers.collector.parts import Part, Parts, encoded_overview
from workers.collector.publishing import Publishing
from workers.collector.stamps import check_time

#: How often the prices that nobody renewed are looked for.
_LOOK_S = 10.0

Listener = Callable[[Parts, RestUpdate, float], None]
"""Hears what was said of a symbol, and when (monotonic seconds), once its parts have taken it."""


class Overviews:
    """Gives each update to its symbol, keeps the end of its tickers, and tells who listens."""

    def __init__(
        self, publishing: Publishing, collection: Live[Collection], listeners: Sequence[Listener]
    ) -> None:
        self._publishing = publishing
        self._clock = publishing.clock
        self._collection = collection
        self._listeners = listeners

    def take(self, event: Summary, parts: Parts, received_at: int) -> None:
        """A frame's. Raises ValueError or TypeError for a time that can not be true."""
        check_time(event.said.get("timestamp"), received_at)
        update = RestUpdate(symbol=parts.symbol, **event.said)
        self.apply(parts, update, self._clock.monotonic(), "stream")

    def apply(self, parts: Parts, update: RestUpdate, at: float, source: str = "rest") -> None:
        """What was asked for, or received, at `at` (monotonic seconds)."""
        parts.apply(update, at, source)
        self._refresh(parts)
        for listener in self._listeners:
            listener(parts, update, at)

    async def run(self, collected: Callable[[], Mapping[str, Parts]]) -> None:
        """Let go of mark and index prices that have become too old."""

        async def look() -> None:
            for parts in collected().values():
                self._refresh(parts)

        await every(_LOOK_S, look, self._clock)

    def _refresh(self, parts: Parts) -> None:
        now, day = self._clock.monotonic(), parts.day
        values = day.value._asdict() if day else {}
        stats_at = ms_at(self._clock, day.at) if day else None
        limit_s = self._collection.value.max_age.mark_price_s
        try:
            overview = Overview(
                **values,
                mark_price=fresh(parts.mark_price, now, limit_s),
                index_price=fresh(parts.index_price, now, limit_s),
                stats_at=stats_at,
            )
        except ValidationError as error:
            self._publishing.reject(TICKER, parts.symbol, error, values)
            return
        parts.overview = encoded_overview(overview)


def fresh(part: Part[float] | None, now: float, max_age_s: float) -> float | None:
    """The value of a part that is not too old."""
    return part.value if part is not None and now - part.at <= max_age_s else None
