"""What is asked by REST about candles, a few questions at a time."""

import asyncio
from collections.abc import Awaitable, Callable

from workers.collector.candles.series import CandleSeries

#: Checks that wait; a further one is skipped and counted. The next check looks back on it.
MOST_CHECKS = 64
#: Answers that are waited for at once. The budget sets the pace; these only hide the round trip.
_WORKERS = 2

Ask = Callable[[CandleSeries], Awaitable[None]]


class CandleQuestions:
    """Fills, which nothing skips (at most one a series), before checks."""

    def __init__(self, ask: Ask) -> None:
        self.skipped = 0
        self._ask = ask
        self._fills: dict[CandleSeries, None] = {}  # in the order of asking
        self._checks: dict[CandleSeries, None] = {}
        self._asking: set[CandleSeries] = set()
        self._waiting = asyncio.Event()

    def fill(self, series: CandleSeries) -> None:
        """Ask for what is missing."""
        self._checks.pop(series, None)
        if series not in self._asking:
            self._fills[series] = None
            self._waiting.set()

    def check(self, series: CandleSeries) -> None:
        """Ask whether the last closed candles are as published."""
        if series in self._asking or series in self._fills or series in self._checks:
            return
        if len(self._checks) >= MOST_CHECKS:
            self.skipped += 1
            return
        self._checks[series] = None
        self._waiting.set()

    async def run(self) -> None:
        """Ask, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_WORKERS):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while True:
            series = await self._next()
            self._asking.add(series)
            try:
                await self._ask(series)
            finally:
                self._asking.discard(series)

    async def _next(self) -> CandleSeries:
        while not self._fills and not self._checks:
            self._waiting.clear()
            await self._waiting.wait()
        queue = self._fills or self._checks
        series = next(iter(queue))
        del queue[series]
        return series
