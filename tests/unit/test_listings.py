"""Learning what a venue lists."""

import gc
import logging
import weakref
from pathlib import Path
from typing import Any

import pytest

from shared.budget import Budget
from shared.errors import CircuitBreakerOpenError, NetworkError
from tests.fakes import FakeClock
from workers.collector.access import Access
from workers.collector.catalogue import CATALOGUE
from workers.collector.client import VenueClient
from workers.collector.listings import REFRESH_S, Listings
from workers.collector.market_file import MarketFile


class Client:
    """Fails as told, then lists one market."""

    def __init__(self, *errors: Exception) -> None:
        self.markets: dict[str, object] = {}
        self.asked = 0
        self._errors = list(errors)

    async def load_markets(self) -> None:
        self.asked += 1
        if self._errors:
            raise self._errors.pop(0)
        self.markets = {"BTC/USDT:USDT": 1.0}

    def recall_markets(self, rows: list[dict[str, Any]], age_s: float) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.markets = {row["symbol"]: row["size"] for row in rows}

    def market_rows(self) -> list[dict[str, Any]]:
        return [{"symbol": symbol, "size": size} for symbol, size in self.markets.items()]


def file_in(directory: Path, clock: FakeClock, addresses: object = "here") -> MarketFile:
    return MarketFile(directory / "markets.zst", addresses, clock)


def listings_of(client: Any, file: MarketFile, clock: FakeClock) -> Listings:
    return Listings(client, file, clock, logging.getLogger("test"))


async def test_a_start_goes_on_as_soon_as_the_breaker_lets_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The breaker said that it opened, and paces what is tried."""
    clock = FakeClock()
    open_: list[Exception] = [CircuitBreakerOpenError("open") for _ in range(50)]
    client: Any = Client(NetworkError("refused"), *open_, NetworkError("refused"))
    await listings_of(client, file_in(tmp_path, clock), clock).load()
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some connections would stay for ever otherwise, at each refresh."""
    venue, clock = CATALOGUE["binance"], FakeClock()
    budget = Budget(venue.limits, clock)
    client = VenueClient(venue, Access(), budget, clock)

    async def fetch_markets(_params: Any = None) -> list[dict[str, Any]]:
        return []

    monkeypatch.setattr(client._ccxt, "fetch_markets", fetch_markets)
    listings = listings_of(client, file_in(tmp_path, clock), clock)
    await listings.load()
    assert gc.get_freeze_count() > 50_000  # what was imported
    connection = Connection()
    there = weakref.ref(connection)
    await listings._refresh()
    del connection
    gc.collect()
    assert there() is None


async def test_a_restart_asks_for_the_markets_when_they_are_due_and_not_before(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    first: Any = Client()
    await listings_of(first, file_in(tmp_path, clock), clock).load()
    clock.elapsed_s += 100
    second: Any = Client()
    listings = listings_of(second, file_in(tmp_path, clock), clock)
    await listings.load()
    assert (second.asked, second.markets) == (0, first.markets)
    assert listings._age_s == pytest.approx(100, abs=1)
    clock.elapsed_s += REFRESH_S
    third: Any = Client()
    await listings_of(third, file_in(tmp_path, clock), clock).load()
    assert third.asked == 1


async def test_a_list_that_is_confirmed_is_young_again(tmp_path: Path) -> None:
    clock = FakeClock()
    client: Any = Client()
    listings = listings_of(client, file_in(tmp_path, clock), clock)
    await listings.load()
    clock.elapsed_s += REFRESH_S
    await listings._refresh()
    clock.elapsed_s += 1
    found = file_in(tmp_path, clock).load(2.0)
    assert found is not None
    assert found[1] == client.market_rows()


@pytest.mark.parametrize("content", [b"", b"{}", b"\x28\xb5\x2f\xfd", None])
async def test_a_list_that_is_damaged_or_somebody_else_s_is_asked_for(
    tmp_path: Path, content: bytes | None
) -> None:
    clock = FakeClock()
    file = file_in(tmp_path, clock)
    file.save(Client().market_rows() or [{"symbol": "ETH/USDT:USDT", "size": 1}])
    if content is not None:
        (tmp_path / "markets.zst").write_bytes(content)
        file.confirm()
    assert file_in(tmp_path, clock, "elsewhere").load(REFRESH_S) is None
    assert (file_in(tmp_path, clock).load(REFRESH_S) is None) == (content is not None)
    client: Any = Client(NetworkError("of no use"))
    await listings_of(client, file_in(tmp_path, clock), clock).load()
    assert list(client.markets) == ["BTC/USDT:USDT"]
