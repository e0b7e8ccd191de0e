"""The tasks of a collector, with time and a venue that the test moves."""

import logging
from collections.abc import Callable
from typing import Any

from shared.collection import CollectionTask
from shared.config import Collection
from shared.config.live import Live
from shared.errors import NetworkError
from shared.messages import TaskResult
from tests.recording import BTC, Recording
from tests.scheduling import let_run
from workers.collector.candles.candles import Candles
from workers.collector.catalogue.row import BulkCall, CandleFeed
from workers.collector.client import Answer
from workers.collector.events import Candle, Print, Quote, RestUpdate
from workers.collector.overview.funding import PredictedFundings
from workers.collector.overview.interest import OpenInterests
from workers.collector.overview.overview import Overviews
from workers.collector.quotes import Quotes
from workers.collector.schedule.schedule import Schedule
from workers.collector.schedule.tightness import Factors
from workers.collector.tasks.tasks import Sources, Tasks
from workers.collector.trades.trades import Trades

MINUTE_MS = 60_000


class Client:
    """REST of a venue that answers at once, or fails."""

    def __init__(self, recording: Recording) -> None:
        self.asked: list[str] = []
        self.down = False
        self._clock = recording.clock

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise NetworkError("away")

    async def fetch(self, call: BulkCall, symbol: str) -> Answer:
        self._ask(f"{call.name} {symbol}")
        price = 100.0 + len(self.asked)
        update = RestUpdate(symbol, bid=price, ask=price + 0.5, last=price)
        return Answer(self._clock.monotonic(), [update])

    async def fetch_candles(
        self, symbol: str, timeframe: str, since: int, limit: int
    ) -> tuple[float, list[Candle]]:
        self._ask(f"{timeframe} candles of {symbol}, {limit}")
        now = self._clock.now_ms()
        first = -(-since // MINUTE_MS) * MINUTE_MS
        starts = range(first, min(now, first + limit * MINUTE_MS), MINUTE_MS)
        return self._clock.monotonic(), [candle(start) for start in starts]


class Desk(Recording):
    """The tasks of a collector that has BTC, and a schedule which the test lets run."""

    def __init__(self) -> None:
        super().__init__()
        client: Any = Client(self)
        self.client = client
        self.looks = 0
        self.factors = Factors()
        gauge: Any = self
        self.schedule = Schedule(gauge, self.clock)
        listeners = (
            OpenInterests(self.publishing).heard,
            PredictedFundings(self.publishing, Live(Collection())).heard,
        )
        self.overviews = Overviews(self.publishing, Live(Collection()), listeners)
        self.trades = Trades(self.publishing, dense=False)
        self.candles = Candles(
            CandleFeed(page=1000), self.publishing, self.client, logging.getLogger("test")
        )
        self.intake.route(Quote, Quotes(self.publishing).take)
        self.intake.route(Print, self.trades.take)
        self.intake.route(Candle, self.candles.take)
        self.intake.on_awaited = lambda kind, _time, parts: parts.waiting.discard(kind)
        sources = Sources(
            parts=lambda: self.intake.parts,
            client=self.client,
            heard=self.overviews.apply,
            look_for_trades=self.look,
            trades=self.trades,
            candles=self.candles,
            page=1000,
            timeframes=("1m",),
            collection=Live(Collection()),
        )
        self.tasks = Tasks(sources, self.publishing, self.schedule)
        self._trade_number = 0

    def feel(self) -> Factors:
        return self.factors

    async def look(self, symbol: str) -> None:
        """What the stream did not bring."""
        self.looks += 1
        if self.client.down:
            raise NetworkError("away")
        self.trades.refill([self._print()], self.parts)

    def have(self, *tasks: CollectionTask) -> None:
        self.tasks.set_tasks(tasks, self.intake.parts)

    def quote(self) -> None:
        self.intake.on_events([Quote("BTC", 100.0, 100.5, 1.0, 1.0, None, None)], self.now())

    def trade(self, count: int = 1) -> None:
        for _ in range(count):
            self.intake.on_events([self._print()], self.now())

    def _print(self) -> Print:
        self._trade_number += 1
        return Print("BTC", f"t{self._trade_number}", 100.0, 1.0, "buy", self.now())

    def now(self) -> int:
        return self.clock.now_ms()

    async def run(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Let time pass, with `each` done every fifth of a second."""
        await let_run(self.schedule, self.clock, seconds, each)

    def results(self, task_id: str = "") -> list[TaskResult]:
        bodies = [fact.body for fact in self.facts if fact.kind.name == "task"]
        results = [TaskResult.model_validate_json(body) for body in bodies]
        return [one for one in results if task_id in ("", one.task_id)]

    def failing(self) -> dict[str, str]:
        told: dict[str, str] = self.tasks.counts()["failing"]
        return told


def task(kind: str = "ticker", task_id: str = "t", interval: float = 1, **more: Any) -> Any:
    fields = {"exchange": "x", "symbol": BTC, "kind": kind, "interval": interval}
    return CollectionTask.model_validate(fields | {"task_id": task_id} | more)


def candle(start: int, *, closed: bool | None = None, volume: float = 1.0) -> Candle:
    return Candle("BTC", "1m", start, 1.0, 2.0, 1.0, 1.5, volume, closed, None)
