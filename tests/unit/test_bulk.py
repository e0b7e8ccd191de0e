"""What is asked in bulk, when, and what becomes of the answers."""

import asyncio
import logging
from collections import Counter
from typing import Any

import pytest

from shared.budget import RequestClass
from shared.config import Collection
from shared.config.live import Live
from shared.errors import CircuitBreakerOpenError, ExchangeError, NetworkError
from tests.recording import BTC, Recording
from tests.scheduling import let_run
from workers.collector.bulk import BulkCycle
from workers.collector.catalogue.row import BulkCall
from workers.collector.client import Answer
from workers.collector.events import RestUpdate
from workers.collector.schedule.schedule import Schedule
from workers.collector.schedule.tightness import Factors
from workers.collector.unified import Market

ETH = "ETH/USDT:USDT"
TICKERS = BulkCall("tickers", "", "")
INTEREST = BulkCall(
    "interest", "", "", per_symbol=True, refresh_s=60, request_class=RequestClass.FUNDING
)


class Row:
    """As much of the catalogue as is read here."""

    bulk = (TICKERS, INTEREST)


class Client:
    """Answers with what the test puts into `said`, or fails."""

    def __init__(self, recording: Recording) -> None:
        self.markets = {BTC: recording.market, ETH: Market(ETH, "ETH", 1.0)}
        self.said = {BTC: 1.0, ETH: 2.0, "SOL/USDT:USDT": 3.0}
        self.asked: list[tuple[str, float]] = []
        self.errors: list[Exception] = []
        self.at_once: Counter[str] = Counter()
        self._clock = recording.clock

    async def fetch(self, call: BulkCall, symbol: str | None) -> Answer:
        name = f"{call.name} {symbol or ''}".strip()
        self.asked.append((name, self._clock.elapsed_s))
        self.at_once[call.name] += 1
        assert self.at_once[call.name] == 1, "one of a call is asked at a time"
        try:
            await asyncio.sleep(0)
        finally:
            self.at_once[call.name] -= 1
        if self.errors:
            raise self.errors.pop(0)
        of = [symbol] if symbol else list(self.said)
        return Answer(self._clock.monotonic(), [RestUpdate(one, last=self.said[one]) for one in of])

    def times(self, name: str) -> list[int]:
        """In whole seconds, rounded down."""
        return [int(at + 0.1) for one, at in self.asked if one == name]


class Desk(Recording):
    """A bulk cycle on a schedule which the test lets run."""

    def __init__(self) -> None:
        super().__init__()
        client: Any = Client(self)
        self.client = client
        gauge: Any = self
        self.schedule = Schedule(gauge, self.clock)
        self.schedule._agenda.random = lambda: 0.0
        row: Any = Row()
        log = logging.getLogger("test")
        collection = Collection(retry_attempts=1, retry_delays=(1,))
        self.bulk = BulkCycle(row, self.client, self.intake, Live(collection), self.schedule, log)
        self.unsaid: list[str] = []
        self.bulk.on_unsaid = self.unsaid.append

    def feel(self) -> Factors:
        return Factors()

    def collect(self, *symbols: str) -> None:
        added = set(symbols) - set(self.intake.parts)
        self.intake.set_markets([self.client.markets[symbol] for symbol in symbols])
        self.bulk.catch_up(added)

    async def run(self, until_s: float) -> None:
        await let_run(self.schedule, self.clock, until_s - self.clock.elapsed_s)


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.collect(BTC)
    return made


async def test_all_symbols_are_asked_about_each_interval_and_single_ones_each_of_theirs(
    desk: Desk,
) -> None:
    await desk.run(61)
    assert desk.client.times("tickers") == list(range(0, 65, 5))[:13]
    assert desk.client.times(f"interest {BTC}") == [0, 60]
    assert desk.parts.last is not None
    assert desk.parts.last.value == 1.0


async def test_a_new_symbol_hears_the_last_answer_and_is_asked_about_at_once(desk: Desk) -> None:
    await desk.run(7)
    desk.collect(BTC, ETH)
    last = desk.intake.parts[ETH].last
    assert last is not None
    assert last.value == 2.0
    await desk.run(12)
    assert desk.client.times(f"interest {ETH}") == [7]
    assert desk.client.times(f"interest {BTC}") == [0]


async def test_a_symbol_that_was_let_go_is_asked_about_no_more(desk: Desk) -> None:
    desk.collect(BTC, ETH)
    await desk.run(10)
    desk.collect(BTC)
    await desk.run(130)
    assert desk.client.times(f"interest {ETH}") == [0]
    assert desk.client.times(f"interest {BTC}") == [0, 60, 120]


async def test_a_symbol_that_is_not_listed_is_not_asked_about(desk: Desk) -> None:
    desk.collect(BTC, ETH)
    del desk.client.markets[ETH]
    await desk.run(61)
    assert desk.client.times(f"interest {ETH}") == []


async def test_a_hurry_brings_the_next_answer_forward_by_half_an_interval(desk: Desk) -> None:
    await desk.run(1)
    desk.bulk.hurry()
    await desk.run(9)
    assert desk.client.times("tickers") == [0, 2, 7]
    desk.bulk.hurry()
    await desk.run(11)
    assert desk.client.times("tickers") == [0, 2, 7, 10]


async def test_a_failure_is_retried_and_then_left_to_the_next_point(desk: Desk) -> None:
    desk.client.errors = [NetworkError("away"), NetworkError("away")]
    desk.collect()
    await desk.run(6)
    assert desk.client.times("tickers") == [0, 1, 5]
    assert desk.bulk.failures == 2
    desk.client.errors = [ExchangeError("no"), CircuitBreakerOpenError("open")]
    await desk.run(21)
    # What tells that the venue is back goes on at its own pace.
    assert desk.client.times("tickers")[3:] == [10, 15, 20]
    assert desk.bulk.failures == 3


async def test_a_symbol_of_which_nothing_is_said_any_more_is_told(desk: Desk) -> None:
    await desk.run(6)
    del desk.client.said[BTC]
    await desk.run(8)
    assert desk.unsaid == []
    desk.client.errors = [ExchangeError("no")]
    await desk.run(11)
    assert desk.unsaid == []
    await desk.run(21)
    assert desk.unsaid == [BTC]


def test_an_answer_that_was_passed_on_counts_as_one_of_our_own(desk: Desk) -> None:
    at = desk.clock.monotonic()
    desk.bulk.take("tickers", at, [RestUpdate(BTC, last=7.0), RestUpdate(ETH, last=8.0)])
    assert desk.parts.last is not None
    assert desk.parts.last.value == 7.0
    desk.collect(BTC, ETH)
    last = desk.intake.parts[ETH].last
    assert last is not None
    assert last.value == 8.0


async def test_where_another_worker_asks_for_all_this_one_does_not(desk: Desk) -> None:
    told: list[tuple[str, int]] = []
    paces: set[float] = set()
    asks = False

    def asked(call: str, interval_s: float) -> bool:
        paces.add(interval_s)
        return asks and call == TICKERS.name

    desk.bulk.asks = asked
    desk.bulk.on_answer = lambda call, _at, updates: told.append((call, len(updates)))
    await desk.run(21)
    assert desk.client.times("tickers") == []
    assert desk.client.times(f"interest {BTC}") == [0]
    asks = True
    await desk.run(31)
    assert desk.client.times("tickers") == [25, 30]
    assert told == [("tickers", 3)] * 2
    assert paces == {5.0}
