"""Venues whose clock goes wrong, against real collectors."""

import time
from pathlib import Path

import pytest

from simulator.universe import quote_of
from tests.collecting import collecting, each_venue
from tests.venues import Simulator, listed
from tests.waiting import eventually
from workers.collector.heartbeat import heartbeat

BTC = "BTC/USDT:USDT"
#: By their header `Date` alone a venue's time is known to the second.
COARSE = ("binance", "okx", "krakenfutures", "coinbaseinternational")
SKEW_MS = -12_000


@pytest.mark.long
async def test_a_skew_of_every_venue_is_flagged_and_no_stamp_is_changed(
    broker_url: str, tmp_path: Path
) -> None:
    await each_venue(_skewed, broker_url, tmp_path, "--symbols", "2")


async def _skewed(venue: str, simulator: Simulator, broker_url: str, directory: Path) -> None:
    btc = listed(venue, BTC)
    config = simulator.config((venue,), symbols=[btc])
    async with collecting(venue, config, broker_url, directory) as fleet:
        clock = fleet.collector.client.venue_clock

        def lateness_ms() -> int | None:
            trades = fleet.consumer.bodies(f"trades.{venue}.BTC{quote_of(venue)}")[-1:]
            return trades[0]["received_at"] - trades[0]["timestamp"] if trades else None

        await eventually(lambda: lateness_ms() and clock.offset_ms is not None, 30, venue)
        _is_about(heartbeat(fleet.collector).details["clock"], venue, 0, skewed=False)

        id_ = await simulator.fault(venue, "clock_skew", ms=SKEW_MS)
        appeared = time.monotonic()
        await eventually(lambda: clock.skewed, 60, f"{venue}: flagged")
        assert time.monotonic() - appeared < 60
        _is_about(heartbeat(fleet.collector).details["clock"], venue, SKEW_MS, skewed=True)
        told = f"{venue}: stamps as the venue says them"
        await eventually(lambda: lateness_ms() == pytest.approx(-SKEW_MS, abs=3000), 30, told)

        await simulator.heal(id_)
        await eventually(lambda: not clock.skewed, 60, f"{venue}: right again")

        # And where nothing else is asked for a long while.
        heard = clock.as_dict()
        await fleet.collector.client.ask_time()
        assert clock.as_dict()["age_s"] == 0, heard


def _is_about(told: dict[str, float], venue: str, offset_ms: int, *, skewed: bool) -> None:
    assert told["skewed"] is skewed, (venue, told)
    assert abs(told["offset_ms"] - offset_ms) <= told["uncertainty_ms"] + 100, (venue, told)
    assert told["uncertainty_ms"] < (700 if venue in COARSE else 400), (venue, told)
