"""REST that refuses, fails or drips: how the collector behaves, judged by the venue's own log."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from simulator.universe import quote_of
from tests.collecting import Fleet, collecting, each_venue
from tests.venues import Simulator, listed
from tests.waiting import eventually

BTC, ETH, DOGE = "BTC/USDT:USDT", "ETH/USDT:USDT", "DOGE/USDT:USDT"
#: Venues that answer too many requests with a Retry-After of their own.
BANNED_S = 4.0


@pytest.mark.deadline(240)
async def test_a_venue_that_refuses_is_left_alone_and_its_streams_go_on(
    broker_url: str, tmp_path: Path
) -> None:
    await each_venue(_play, broker_url, tmp_path, "--symbols", "4")


async def _play(venue: str, simulator: Simulator, broker_url: str, directory: Path) -> None:
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    config = simulator.config((venue,), symbols=[btc, eth, doge])
    async with collecting(venue, config, broker_url, directory) as fleet:
        await eventually(lambda: len(_live(fleet)) == 3, 40, f"{venue}: all books")
        await _refused(venue, simulator)
        await _stormed(venue, simulator, fleet)
        await _maintained(venue, simulator, fleet)
        await _dripped(venue, simulator, fleet)
        assert fleet.collector.streams.resubscriptions == 0, venue
        # What waited on disk while the broker was slow comes behind newer ones.
        trades = sorted(fleet.consumer.sequences(f"trades.{venue}.BTC{quote_of(venue)}"))
        assert trades == list(range(1, len(trades) + 1))


async def _refused(venue: str, simulator: Simulator) -> None:
    """After a 429 not one request until the venue allows it, and then soon again."""
    id_ = await simulator.fault(venue, "rate_limited", retry_after=BANNED_S, status=429, count=1)
    applied = await _applied(simulator, venue, id_)
    await asyncio.sleep(BANNED_S + 6)
    after = [at for at, _ in _requests(simulator, venue) if at > applied + 0.25]
    assert after, f"{venue} is never asked again"
    assert min(after) >= applied + BANNED_S - 1.0, f"{venue} asked {min(after) - applied:.1f} s on"
    assert min(after) <= applied + BANNED_S + 5.5, f"{venue} resumed after {min(after) - applied}"


async def _stormed(venue: str, simulator: Simulator, fleet: Fleet) -> None:
    """5xx for some time: far fewer requests than usual, and back soon after."""
    began = time.time()
    id_ = await simulator.fault(venue, "server_errors")
    await eventually(lambda: fleet.collector.client.breakers.state == "OPEN", 40, f"{venue}: opens")
    opened = time.time()
    await asyncio.sleep(12)
    asked = [at for at, _ in _requests(simulator, venue) if at > opened]
    assert len(asked) <= 3, f"{venue}: {len(asked)} requests in 12 s of a storm"
    await simulator.heal(id_)
    healed = time.time()
    await eventually(
        lambda: fleet.collector.client.breakers.state == "CLOSED", 40, f"{venue}: heals"
    )
    assert time.time() - healed <= 35
    assert began < opened


async def _maintained(venue: str, simulator: Simulator, fleet: Fleet) -> None:
    id_ = await simulator.fault(venue, "maintenance")
    breaker = fleet.collector.client.breakers.whole
    await eventually(lambda: breaker.state == "OPEN", 40, f"{venue}: notices maintenance")
    began = time.time() + 0.5  # what was asked before is on its way
    await asyncio.sleep(5)
    assert len([at for at, _ in _requests(simulator, venue) if at > began]) <= 1
    await simulator.heal(id_)
    breaker._until = 0.0  # the next try is a minute away
    await eventually(lambda: breaker.state == "CLOSED", 20, f"{venue}: back from maintenance")


async def _dripped(venue: str, simulator: Simulator, fleet: Fleet) -> None:
    """A body that takes for ever ends at the request's deadline; a broken one is no answer."""
    id_ = await simulator.fault(venue, "invalid_body", count=2)
    await _applied(simulator, venue, id_)
    id_ = await simulator.fault(venue, "slow_body", over=60, count=1)
    await _applied(simulator, venue, id_)
    before = fleet.consumer.count(f"ticker.{venue}.BTC{quote_of(venue)}")
    await eventually(
        lambda: fleet.consumer.count(f"ticker.{venue}.BTC{quote_of(venue)}") > before,
        5,
        f"{venue} lives",
    )


async def _applied(simulator: Simulator, venue: str, id_: str) -> float:
    """When (s) a fault met its first request."""

    def moments() -> list[float]:
        return [
            event["t"] / 1e9
            for event in simulator.events(venue, "fault")
            if event["id"] == id_ and event["step"] == "applied"
        ]

    await eventually(moments, 30, f"{venue}: the fault meets a request", 0.1)
    return moments()[0]


def _requests(simulator: Simulator, venue: str) -> list[tuple[float, str]]:
    return [(event["t"] / 1e9, event["path"]) for event in simulator.events(venue, "rest")]


def _live(fleet: Fleet) -> list[Any]:
    return [parts for parts in fleet.collector.intake.parts.values() if parts.book]
