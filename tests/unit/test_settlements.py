"""Which settlements are asked for, and which are published."""

import logging
from typing import Any

import pytest

from shared.errors import NetworkError
from shared.messages import SettledFunding
from tests.recording import BTC, Recording
from workers.collector.catalogue.row import FundingHistory
from workers.collector.events import RestUpdate, Settled
from workers.collector.overview.settlements import HOUR_MS, Settlements

MINUTE_S = 60


class History:
    """The venue's: what it has settled, and what it was asked."""

    def __init__(self, recording: Recording, page: int = 100) -> None:
        self.rows: list[Settled] = []
        self.asked: list[tuple[str | None, int]] = []
        self.down = False
        self._page = page
        self._clock = recording.clock

    async def fetch(self, symbol: str | None, since: int) -> list[Settled]:
        self.asked.append((symbol, since))
        if self.down:
            raise NetworkError("down")
        found = sorted(self.rows, key=lambda row: row.time)
        wanted = [row for row in found if row.time >= since and symbol in (None, row.symbol)]
        return wanted[: self._page]


class Scene:
    def __init__(self, *, all_symbols: bool = False, page: int = 100) -> None:
        self.recording = Recording()
        self.clock = self.recording.clock
        self.start = self.clock.now_ms()
        self.history = History(self.recording, page)
        self.settlements = Settlements(
            FundingHistory(limit=page, all_symbols=all_symbols),
            self.history.fetch,
            lambda: self.recording.intake.parts,
            self.recording.publishing,
            logging.getLogger("test"),
        )

    def settle(self, *times: int, symbol: str = BTC) -> None:
        self.history.rows += [Settled(symbol, time, 0.0001) for time in times]

    def announce(self, time: int) -> None:
        update = RestUpdate(BTC, next_funding_time=time)
        self.settlements.heard(self.recording.parts, update, self.recording.clock.monotonic())

    async def wait(self, seconds: float, step: float = 5) -> None:
        """Let time pass, asking as the collector does."""
        end = self.clock.elapsed_s + seconds
        while self.clock.elapsed_s < end:
            await self.settlements.ask_due()
            self.clock.elapsed_s += step
        await self.settlements.ask_due()

    def published(self) -> list[tuple[int, str]]:
        bodies = map(SettledFunding.model_validate, self.recording.bodies())
        return [(body.funding_time - self.start, body.source) for body in bodies]


@pytest.mark.parametrize("all_symbols", [False, True])
async def test_each_settlement_goes_out_once_after_its_time(all_symbols: bool) -> None:
    scene = Scene(all_symbols=all_symbols)
    scene.settle(scene.start - 3 * HOUR_MS, scene.start - 2 * HOUR_MS)
    due = scene.start + 10 * 60_000
    scene.announce(due)
    scene.settle(due + 3)  # a venue is a few milliseconds off
    await scene.wait(20 * MINUTE_S)
    assert scene.published() == [(-2 * HOUR_MS, "backfill"), (10 * 60_000 + 3, "rest")]
    assert [fact.key for fact in scene.recording.facts][1] == str(due + 3)
    assert scene.settlements.published == {BTC: due + 3}
    assert len(scene.history.asked) == 2


@pytest.mark.parametrize("all_symbols", [False, True])
async def test_what_was_settled_since_the_last_run_is_refilled(all_symbols: bool) -> None:
    scene = Scene(all_symbols=all_symbols, page=4)
    hours = [scene.start - n * HOUR_MS for n in range(9, 0, -1)]
    scene.settle(*hours)
    scene.settle(*hours, symbol="ETH/USDT:USDT")  # which is not collected
    scene.settlements.resume(BTC, hours[0 if all_symbols else 5])
    await scene.settlements.ask_due()
    expected = hours[1:] if all_symbols else hours[6:]
    assert scene.published() == [(time - scene.start, "backfill") for time in expected]
    assert {body["symbol"] for body in scene.recording.bodies()} == {BTC}


async def test_a_settlement_that_is_late_is_asked_for_again() -> None:
    scene = Scene()
    due = scene.start + 60_000
    scene.announce(due)
    await scene.wait(65)
    scene.announce(due + 8 * HOUR_MS)
    await scene.wait(4 * MINUTE_S)
    assert scene.published() == []
    asked = len(scene.history.asked)
    assert 3 <= asked <= 6
    scene.settle(due)
    await scene.wait(10 * MINUTE_S)
    assert [time for time, _ in scene.published()] == [60_000]


async def test_a_venue_that_moves_the_time_or_shortens_the_interval_is_followed() -> None:
    scene = Scene()
    scene.announce(scene.start + 8 * HOUR_MS)
    await scene.wait(60)
    scene.announce(scene.start + 20 * 60_000)
    scene.settle(scene.start + 20 * 60_000)
    await scene.wait(20 * MINUTE_S)
    assert scene.published() == [(20 * 60_000, "rest")]
    scene.settle(scene.start + 40 * 60_000)  # nobody announced this one
    await scene.wait(HOUR_MS / 1000 + 60, step=15)
    assert [time for time, _ in scene.published()][1:] == [40 * 60_000]


async def test_a_settlement_that_never_comes_is_given_up() -> None:
    scene = Scene()
    scene.announce(scene.start + 60_000)
    await scene.wait(2 * HOUR_MS / 1000, step=15)
    asked = len(scene.history.asked)
    await scene.wait(HOUR_MS / 1000, step=15)
    assert len(scene.history.asked) - asked <= 2


async def test_a_venue_that_is_down_is_asked_less_and_less_often() -> None:
    scene = Scene()
    scene.settle(scene.start - HOUR_MS)
    scene.history.down = True
    await scene.wait(HOUR_MS / 1000, step=5)
    assert 6 <= len(scene.history.asked) <= 12
    scene.history.down = False
    await scene.wait(10 * MINUTE_S)
    assert len(scene.published()) == 1


async def test_what_does_not_validate_is_counted() -> None:
    scene = Scene()
    scene.history.rows = [Settled(BTC, scene.start - 1000, float("nan"))]
    await scene.settlements.ask_due()
    assert scene.recording.facts == []
    assert scene.recording.ledger["funding"].invalid == 1
    assert scene.settlements.published == {}


async def test_the_future_is_not_published() -> None:
    """Some venues list the coming settlement with its rate of now."""
    scene = Scene()
    scene.settle(scene.start - HOUR_MS, scene.start + HOUR_MS)
    await scene.settlements.ask_due()
    assert scene.published() == [(-HOUR_MS, "backfill")]


def test_resume_never_goes_back() -> None:
    settlements: Any = Scene().settlements
    settlements.resume(BTC, 5)
    settlements.resume(BTC, 3)
    assert settlements.published == {BTC: 5}
