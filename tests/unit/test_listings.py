"""Learning what a venue lists."""

import gc
import logging
import weakref
from typing import Any

import pytest

from shared.budget import Budget
from shared.errors import CircuitBreakerOpenError, NetworkError
from tests.fakes import FakeClock
from workers.collector.access import Access
from workers.collector.catalogue import CATALOGUE
from workers.collector.client import VenueClient
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


class Connection:
    """What refers to itself, as connections do in many places."""

    def __init__(self) -> None:
        self.self = self


async def test_what_is_there_while_the_markets_are_learned_anew_can_be_collected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some connections would stay for ever otherwise, at each refresh."""
    venue, clock = CATALOGUE["binance"], FakeClock()
    budget = Budget(venue.limits, clock)
    client = VenueClient(venue, Access(), budget, clock)

    async def fetch_markets(_params: Any = None) -> list[dict[str, Any]]:
        return []

    monkeypatch.setattr(client._ccxt, "fetch_markets", fetch_markets)
    listings = Listings(client, clock, logging.getLogger("test"))
    await listings.load()
    assert gc.get_freeze_count() > 50_000  # what was imported
    connection = Connection()
    there = weakref.ref(connection)
    await listings._refresh()
    del connection
    gc.collect()
    assert there() is None
