"""One symbol's candles of one minute, over a venue of which a test knows all."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from shared.errors import NetworkError
from tests.recording import BTC, Recording
from workers.collector.candles.candles import Candles
from workers.collector.catalogue.row import CandleFeed
from workers.collector.events import Candle

MINUTE = 60_000
T0 = 1_800_000_000_000  # where the fake clock starts: a whole minute


def start(minute: int) -> int:
    return T0 + minute * MINUTE


class World(Recording):
    """One symbol's candles of one minute, a venue whose REST has `rows`, and time to move."""

    def __init__(self, *, contracts: bool = False, streamed: bool = True) -> None:
        super().__init__()
        self.rows: dict[int, Candle] = {}  # by minute
        self.asked: list[tuple[int, int]] = []
        self.away = False
        self.missing: list[tuple[int, int]] = []
        feed = CandleFeed(page=50, contracts=contracts, streamed=streamed)
        log = logging.getLogger("test")
        self.candles = Candles(feed, self.publishing, self, log, ("1m",))
        self.candles.on_missing(self._missing)
        self.candles.set_symbols([self.parts])
        self.intake.route(Candle, self.candles.take)

    def _missing(self, symbol: str, timeframe: str, first: int, last: int) -> None:
        assert (symbol, timeframe) == (BTC, "1m")
        self.missing.append(((first - T0) // MINUTE, (last - T0) // MINUTE))

    async def fetch_candles(
        self, symbol: str, timeframe: str, since: int, limit: int
    ) -> tuple[float, list[Candle]]:
        self.asked.append(((since - T0) // MINUTE, limit))
        if self.away:
            raise NetworkError("away")
        rows = [row for _, row in sorted(self.rows.items()) if row.start >= since]
        return self.clock.monotonic(), rows[:limit]

    def frame(self, minute: int, close: float = 10.0, **changes: Any) -> None:
        """A frame as the stream brings it, now."""
        self.intake.on_events([self.candle(minute, close, **changes)], self.clock.now_ms())

    def candle(self, minute: int, close: float = 10.0, **changes: Any) -> Candle:
        high, low = max(10.0, close), min(10.0, close)
        made = Candle("BTC", "1m", start(minute), 10.0, high, low, close, 2.0, None, None, 20.0)
        return made._replace(timestamp=self.clock.now_ms())._replace(**changes)

    def has(self, minute: int, close: float = 10.0, **changes: Any) -> None:
        """What REST says of a minute from now on."""
        self.rows[minute] = self.candle(minute, close, timestamp=None, **changes)

    async def until(self, minute: float, step_s: float = 1.0) -> None:
        """Move the clock, looking each `step_s`; questions are asked meanwhile."""
        async with asking(self.candles):
            while self.clock.now_ms() < start(0) + minute * MINUTE:
                self.clock.elapsed_s += step_s
                await self.candles.tick()
                for _ in range(8):
                    await asyncio.sleep(0)

    def closed(self) -> list[tuple[int, int, float]]:
        """Minute, revision and close of what was published as closed, in order."""
        return [
            ((body["start"] - T0) // MINUTE, body["rev"], body["close"])
            for body in self.bodies()
            if body["closed"]
        ]

    def opened(self) -> list[float]:
        return [body["close"] for body in self.bodies() if not body["closed"]]


@asynccontextmanager
async def asking(candles: Candles) -> AsyncIterator[None]:
    task = asyncio.create_task(candles._filler.questions.run())
    try:
        yield
    finally:
        assert not task.done(), "the workers ended"
        task.cancel()
        await asyncio.wait([task])
