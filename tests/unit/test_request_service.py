"""What the configuration and the venue's answers make of a request before it goes out."""

from typing import Any, cast

import pytest

from shared.budget import Budget, RequestClass, Standing
from shared.config import Collection, Settings
from shared.config.app import AppConfig
from shared.config.live import Live
from shared.config.loading import read_environment
from shared.errors import RateLimitedError
from shared.limits import Charge
from shared.requests import METHODS, Method, Priority, Request
from tests.budgets import limits_of
from tests.fakes import FakeClock
from workers.collector.client import VenueClient
from workers.collector.requests.live import LiveAnswers
from workers.collector.requests.service import RequestService

BTC = "BTC/USDT:USDT"


class Client:
    """A venue that says how it was asked."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.budget = Budget(limits_of(10, 100), self.clock, idle_s=3600)
        self.standing: Standing | None = None

    async def call(self, _method: Method, _request: Request, standing: Standing) -> Any:
        self.standing = standing
        return "called"

    async def price(self, _method: Method, _symbol: str | None) -> tuple[Charge, ...]:
        return self.budget.limits.charges("", 10)


class Play:
    def __init__(self, **multipliers: float) -> None:
        rate_limiting = {"priority_multiplier": multipliers}
        config = AppConfig.model_validate({"exchanges": ["gate"], "rate_limiting": rate_limiting})
        self.settings = Settings(config=config, environment=read_environment({}), keys={})
        self.client = Client()
        clock = self.client.clock
        live = LiveAnswers(dict, lambda: None, 10, Live(Collection()), clock)
        client = cast(VenueClient, self.client)
        self.service = RequestService(self.settings, "gate", "w", client, live)

    async def ask(self, name: str, priority: Priority = Priority.NORMAL, **arguments: Any) -> Any:
        request = Request(
            id="1", method=name, arguments=arguments, priority=priority, timeout_ms=1000
        )
        return await self.service.desk._ask(METHODS[name], request)

    async def standing(self, priority: Priority) -> Standing:
        await self.ask("fetch_ticker", priority, symbol=BTC)
        assert self.client.standing is not None
        return self.client.standing


async def test_in_a_ban_the_answer_is_how_long_it_lasts() -> None:
    play = Play()
    play.client.budget.ban(30)
    with pytest.raises(RateLimitedError) as raised:
        await play.ask("fetch_ticker", symbol=BTC)
    assert raised.value.retry_after_s == pytest.approx(30)
    assert play.client.standing is None
    play.client.clock.elapsed_s += 29.5  # what is as good as over is waited for
    assert await play.ask("fetch_ticker", symbol=BTC) == "called"


async def test_high_goes_before_normal_and_normal_before_low() -> None:
    play = Play()
    high, normal, low = [await play.standing(priority) for priority in Priority]
    assert high.rank < normal.rank < low.rank
    assert high.reserve < normal.reserve < low.reserve


@pytest.mark.parametrize("multiplier", [0.0, 1.0, 4.0])
async def test_no_priority_takes_what_live_data_needs_or_nothing_at_all(multiplier: float) -> None:
    play = Play(high=multiplier, normal=multiplier, low=multiplier)
    for priority in Priority:
        standing = await play.standing(priority)
        assert 0.2 <= standing.reserve <= 0.9
        assert standing.highest > list(RequestClass).index(RequestClass.LIVE)


async def test_a_permit_is_of_the_budget_and_so_are_those_that_remain() -> None:
    play = Play()
    arguments: Any = {"method": "fetch_ticker", "symbol": BTC}
    left = await play.ask("get_remaining_requests", **arguments)
    assert left == 6  # of 100 units, 10 each; 40 are live data's
    assert [await play.ask("acquire_permit", **arguments) for _ in range(7)] == [True] * 6 + [False]
    assert await play.ask("get_remaining_requests", **arguments) == 0
