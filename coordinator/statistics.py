"""FuturesData of the whole fleet since its first start: totals that never fall. Pure."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from shared.status import Heartbeat, Statistics

#: Runs of a worker whose counters are still known: a late heartbeat of one is not counted twice.
_RUNS_KEPT = 8
#: Workers told apart; beyond that the longest silent is merged into its exchange's total.
_MAX_WORKERS = 2000

_NOTHING = Statistics()
_MOST = 2**53 - 1  # what `Count` holds: nobody who counts beyond it is honest


class WorkerTotals(BaseModel):
    """What one worker did: ended runs that are settled, and the counters of its latest runs."""

    model_config = ConfigDict(extra="forbid")

    exchange: str
    settled: Statistics = _NOTHING
    runs: dict[str, Statistics] = {}  # by epoch, latest last

    def total(self) -> Statistics:
        total = self.settled
        for counters in self.runs.values():
            total = _sum(total, counters)
        return total


class Totals(BaseModel):
    """Per worker, and per exchange for workers that are told apart no more."""

    model_config = ConfigDict(extra="forbid")

    workers: dict[str, WorkerTotals] = {}  # longest silent first
    retired: dict[str, Statistics] = {}  # by exchange

    def observe(self, heartbeat: Heartbeat) -> bool:
        """Take a collector's heartbeat; whether any total moved."""
        if heartbeat.exchange is None:
            return False
        worker = self._worker(heartbeat.worker, heartbeat.exchange)
        known = worker.runs.get(heartbeat.epoch, _NOTHING)
        counters = _highest(known, heartbeat.statistics)
        worker.runs[heartbeat.epoch] = counters
        while len(worker.runs) > _RUNS_KEPT:
            oldest = next(iter(worker.runs))
            worker.settled = _sum(worker.settled, worker.runs.pop(oldest))
        return counters != known

    def by_exchange(self) -> dict[str, Statistics]:
        totals = dict(self.retired)
        for worker in self.workers.values():
            former = totals.get(worker.exchange, _NOTHING)
            totals[worker.exchange] = _sum(former, worker.total())
        return totals

    def _worker(self, worker_id: str, exchange: str) -> WorkerTotals:
        """The worker's entry, moved to the end as the latest heard."""
        worker = self.workers.pop(worker_id, None)
        if worker is not None and worker.exchange != exchange:
            self._retire(worker)
            worker = None
        worker = worker or WorkerTotals(exchange=exchange, runs={})
        self.workers[worker_id] = worker
        while len(self.workers) > _MAX_WORKERS:
            self._retire(self.workers.pop(next(iter(self.workers))))
        return worker

    def _retire(self, worker: WorkerTotals) -> None:
        former = self.retired.get(worker.exchange, _NOTHING)
        self.retired[worker.exchange] = _sum(former, worker.total())


def answer_data(totals: dict[str, Statistics], exchanges: list[str]) -> dict[str, Any]:
    """`data` of get_statistics: all exchanges of the registry, and those that ever worked."""
    names = dict.fromkeys((*exchanges, *totals))
    counted = {name: totals.get(name, _NOTHING) for name in names}
    return {
        "exchange_success": {name: total.success for name, total in counted.items()},
        "exchange_errors": {name: t.errors for name, t in counted.items() if t.errors},
        "rabbitmq_published": sum(total.published for total in counted.values()),
        "rabbitmq_failed": sum(total.failed for total in counted.values()),
    }


def block(
    before: dict[str, Statistics], after: dict[str, Statistics], exchanges: list[str], period_s: int
) -> list[str]:
    """The lines that people watch: what the period added."""
    names = list(dict.fromkeys((*exchanges, *after)))
    counted = [_minus(after.get(name, _NOTHING), before.get(name, _NOTHING)) for name in names]
    published = sum(period.published for period in counted)
    failed = sum(period.failed for period in counted)
    return [
        f"=== Statistics (last {period_s}s) ===",
        *(
            f"{_display(name)}: {period.success} success, {period.errors} errors"
            for name, period in zip(names, counted, strict=True)
        ),
        f"RabbitMQ: {published} published, {failed} failed",
        "=============================",
    ]


def _display(exchange: str) -> str:
    return exchange.upper() if len(exchange) <= 3 else exchange.capitalize()


def _sum(one: Statistics, other: Statistics) -> Statistics:
    return Statistics(
        success=min(_MOST, one.success + other.success),
        errors=min(_MOST, one.errors + other.errors),
        published=min(_MOST, one.published + other.published),
        failed=min(_MOST, one.failed + other.failed),
    )


def _highest(one: Statistics, other: Statistics) -> Statistics:
    return Statistics(
        success=max(one.success, other.success),
        errors=max(one.errors, other.errors),
        published=max(one.published, other.published),
        failed=max(one.failed, other.failed),
    )


def _minus(one: Statistics, other: Statistics) -> Statistics:
    return Statistics(
        success=max(0, one.success - other.success),
        errors=max(0, one.errors - other.errors),
        published=max(0, one.published - other.published),
        failed=max(0, one.failed - other.failed),
    )
