"""Learning what a venue lists."""

import logging
from typing import Any

import pytest

from shared.errors import CircuitBreakerOpenError, NetworkError
from tests.fakes import FakeClock
from workers.collector.listings import Listings


class Client:
    """Fails as told, then lists one market."""

    def __init__(self, *errors: Exception) -> None:
        self.markets: dict[str, object] = {}
        self._errors = list(errors)

    async def load_markets(self) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.markets = {"BTC/USDT:USDT": object()}


async def test_a_start_goes_on_as_soon_as_the_breaker_lets_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The breaker said that it opened, and paces what is tried."""
    clock = FakeClock()
    open_: list[Exception] = [CircuitBreakerOpenError("open") for _ in range(50)]
    client: Any = Client(NetworkError("refused"), *open_, NetworkError("refused"))
    await Listings(client, clock, logging.getLogger("test")).load()
    assert client.markets
    assert sum(clock.slept[1:-1]) <= 25
    assert max(clock.slept) <= 2
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == [
        "Failed to load markets: refused"
    ] * 2
