"""The collection tasks of a worker, each on the collector's schedule."""

import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from shared.budget import RequestClass
from shared.collection import CollectionTask
from shared.config import Collection
from shared.config.live import Live
from shared.fact import Fact
from shared.kinds import LATEST_TASK, TASK
from shared.messages import Ohlcv
from workers.collector.candles.candles import Candles
from workers.collector.catalogue.row import BulkCall
from workers.collector.client import VenueClient
from workers.collector.events import RestUpdate
from workers.collector.parts import Parts
from workers.collector.publishing import Publishing
from workers.collector.schedule.item import Chore
from workers.collector.schedule.schedule import Schedule
from workers.collector.tasks.candles import CandleQuestions, CandleRows, CandleSupply
from workers.collector.tasks.inquiry import Inquiry
from workers.collector.tasks.prices import BookSupply, TickerSupply
from workers.collector.tasks.run import TaskRun
from workers.collector.tasks.slow import HeardSupply
from workers.collector.tasks.supply import Supply
from workers.collector.tasks.trades import DEFAULT_ROWS, TradeRows, TradeSupply
from workers.collector.trades.trades import Trades

#: Failing tasks of which a heartbeat says why, and what it has room for in all: more of them are
#: only named, and the rest is counted.
_REASONS, _TOLD_BYTES = 5, 800
_SPREAD_S = 1.0
#: Of one symbol, after everything that each symbol implies.
_TICKER = BulkCall(
    "ticker",
    "fetch_one_ticker",
    "latest_prices",
    per_symbol=True,
    request_class=RequestClass.REPAIR,
)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a collector has, and how it asks for more."""

    parts: Callable[[], Mapping[str, Parts]]  # of the symbols that are collected
    client: VenueClient
    heard: Callable[[Parts, RestUpdate, float], None]  # takes what REST says of a symbol
    look_for_trades: Callable[[str], Awaitable[Any]]  # asks for what the stream did not bring
    trades: Trades
    candles: Candles
    page: int  # candles in one REST answer
    timeframes: tuple[str, ...]  # of the candles that are collected
    collection: Live[Collection]


class Tasks:
    """Runs the tasks whose symbol this worker collects."""

    def __init__(self, sources: Sources, publishing: Publishing, schedule: Schedule) -> None:
        self._sources, self._publishing, self._schedule = sources, publishing, schedule
        self._clock = publishing.clock
        self._runs: dict[str, TaskRun] = {}  # by id
        self._ended_runs, self._ended_late = 0, 0
        self._inquiries: dict[str, Inquiry] = {}
        self._trades: dict[str, TradeRows] = {}
        self._candles: dict[tuple[str, str], CandleRows] = {}
        self._venue_ms = sources.candles.time.now_ms
        self._candle_questions = CandleQuestions(
            sources.client, sources.candles, sources.page, self._venue_ms, self._clock
        )
        sources.trades.on_new = self._on_trade
        sources.candles.on_closed(self._on_candle)

    def set_tasks(self, tasks: Sequence[CollectionTask], collected: Container[str]) -> None:
        """Run those of these tasks whose symbol is collected. One whose content has changed starts
        again under its id; the others go on."""
        wanted = {task.task_id: task for task in tasks if task.symbol in collected}
        for task_id, run in list(self._runs.items()):
            if wanted.get(task_id) != run.task:
                self._stop(task_id)
        self._keep_rows(list(wanted.values()))
        for task_id, task in wanted.items():
            if task_id not in self._runs:
                self._start(task)

    def counts(self) -> dict[str, Any]:
        """For heartbeats: how the tasks fare; nothing where there are none."""
        if not self._runs:
            return {}
        runs = self._runs.values()
        failing = {run.task.task_id: run.failing for run in runs if run.failing is not None}
        told = _told(failing)
        more = {"more_failing": len(failing) - len(told)} if len(failing) > len(told) else {}
        return {
            "running": len(self._runs) - len(failing),
            "failing": told,
            **more,
            "runs": self._ended_runs + sum(run.runs for run in runs),
            "late": self._ended_late + sum(run.late for run in runs),
            "widened": self._schedule.widened,
        }

    def _start(self, task: CollectionTask) -> None:
        run = TaskRun(task, self._publishing.exchange, self._publish, self._clock)
        run.supply = self._supply(run)
        self._runs[task.task_id] = run
        spread_s = min(run.interval_s, _SPREAD_S) * zlib.crc32(task.task_id.encode()) / 2**32
        self._schedule.put(Chore(run.key, run.interval_s, run.look, task.priority), spread_s)

    def _stop(self, task_id: str) -> None:
        run = self._runs.pop(task_id)
        self._schedule.drop(run.key)
        run.leave()
        self._ended_runs += run.runs
        self._ended_late += run.late

    def _publish(self, task: CollectionTask, body: bytes, at: int) -> None:
        kind = TASK if task.delivery == "lossless" else LATEST_TASK
        self._publishing.put(Fact(kind, task.symbol, body, at, tail=task.task_id))

    # --- where their results come from

    def _supply(self, run: TaskRun) -> Supply:
        task, sources = run.task, self._sources
        exchange, collection = self._publishing.exchange, sources.collection
        parts = partial(self._parts_of, task.symbol)
        match task.kind:
            case "ticker":
                ask = partial(self._ask_ticker, task.symbol)
                return TickerSupply(run, parts, self._inquiry(task, ask), exchange, self._clock)
            case "orderbook":
                depth = task.parameters.depth
                return BookSupply(parts, depth, collection, exchange, self._clock)
            case "trades":
                return self._trade_supply(run)
            case "ohlcv":
                return self._candle_supply(task)
            case "funding":
                return HeardSupply(parts, lambda of: of.predicted, collection)
            case "open_interest":
                return HeardSupply(parts, lambda of: of.interest, collection)

    def _trade_supply(self, run: TaskRun) -> Supply:
        task = run.task
        ask = partial(self._ask_trades, task.symbol)
        parts, inquiry = partial(self._parts_of, task.symbol), self._inquiry(task, ask)
        return TradeSupply(run, parts, self._trades[task.symbol], inquiry, task.parameters.limit)

    def _candle_supply(self, task: CollectionTask) -> Supply:
        rows = self._candles[_series(task)]
        ask = partial(self._candle_questions.ask, rows)
        inquiry = self._inquiry(task, ask)
        return CandleSupply(rows, inquiry, task.parameters.limit, self._venue_ms)

    def _parts_of(self, symbol: str) -> Parts | None:
        return self._sources.parts().get(symbol)

    def _inquiry(self, task: CollectionTask, ask: Callable[[], Awaitable[None]]) -> Inquiry:
        """Equal questions are one."""
        key = _question(task)
        if key not in self._inquiries:
            self._inquiries[key] = Inquiry(key, ask, self._schedule)
        return self._inquiries[key]

    # --- what is asked of the venue

    async def _ask_ticker(self, symbol: str) -> None:
        asked_at, updates = await self._sources.client.fetch(_TICKER, symbol)
        parts = self._parts_of(symbol)
        if parts is not None:
            for update in updates:
                self._sources.heard(parts, update, asked_at)

    async def _ask_trades(self, symbol: str) -> None:
        await self._sources.look_for_trades(symbol)

    # --- what the collector has anyway

    def _on_trade(self, symbol: str, body: bytes) -> None:
        rows = self._trades.get(symbol)
        if rows is not None:
            rows.add(body)

    def _on_candle(self, candle: Ohlcv) -> None:
        rows = self._candles.get((candle.symbol, candle.timeframe))
        if rows is not None:
            rows.add(candle)

    def _keep_rows(self, tasks: Sequence[CollectionTask]) -> None:
        """As many as the task that takes most, and of nothing that no task takes."""
        trades: dict[str, int] = defaultdict(int)
        candles: dict[tuple[str, str], int] = defaultdict(int)
        for task in tasks:
            limit = task.parameters.limit or DEFAULT_ROWS
            if task.kind == "trades":
                trades[task.symbol] = max(limit, trades[task.symbol])
            elif task.kind == "ohlcv":
                candles[_series(task)] = max(limit, candles[_series(task)])
        self._trades = {symbol: self._trades.get(symbol) or TradeRows() for symbol in trades}
        self._candles = {one: self._candles.get(one) or self._new_rows(one) for one in candles}
        for symbol, most in trades.items():
            self._trades[symbol].keep(most)
        for series, most in candles.items():
            self._candles[series].keep(most)
        asked = {_question(task) for task in tasks}
        for key in self._inquiries.keys() - asked:
            self._inquiries.pop(key).end()

    def _new_rows(self, series: tuple[str, str]) -> CandleRows:
        symbol, timeframe = series
        return CandleRows(symbol, timeframe, live=timeframe in self._sources.timeframes)


def _told(failing: Mapping[str, str]) -> dict[str, str]:
    told: dict[str, str] = {}
    room = _TOLD_BYTES
    for task_id, reason in failing.items():
        said = reason if len(told) < _REASONS else ""
        room -= len(orjson.dumps({task_id: said}))
        if room < 0:
            break
        told[task_id] = said
    return told


def _series(task: CollectionTask) -> tuple[str, str]:
    return task.symbol, str(task.parameters.timeframe)


def _question(task: CollectionTask) -> str:
    """What a task would ask the venue: tasks with the same one share it."""
    timeframe = task.parameters.timeframe
    return f"ask {task.kind} of {task.symbol}{f' {timeframe}' if timeframe else ''}"
