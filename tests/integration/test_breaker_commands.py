"""A venue's REST is left alone by command, and asked again by command; streams flow on."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.collecting import Fleet, collecting
from tests.coordinators import BTC, coordinator
from tests.coordinators import client as client_at
from tests.venues import Simulator, simulated_venues
from tests.waiting import eventually

VENUE = "htx"


@pytest.mark.deadline(120)
async def test_a_venue_is_left_alone_and_asked_again(broker_url: str, tmp_path: Path) -> None:
    async with simulated_venues(tmp_path, "--symbols", "2") as simulator:
        config = simulator.config((VENUE,), symbols=[BTC])
        (tmp_path / "coordinator").mkdir()
        async with (
            client_at(broker_url) as user,
            coordinator(broker_url, tmp_path / "coordinator", [BTC]),
            collecting(VENUE, config, broker_url, tmp_path) as fleet,
        ):
            breakers = fleet.collector.client.breakers
            await eventually(lambda: fleet.consumer.count(f"trades.{VENUE}.BTCUSDT") > 0, 30)

            async def ordered(command: str, **fields: object) -> bool:
                asked = {"command": command, "exchange": VENUE, "correlation_id": f"{time.time()}"}
                answer = await user.request(asked | fields)
                assert answer["success"] or answer["error"] == "unavailable", answer
                return bool(answer["success"])

            await eventually(lambda: ordered("trip_breaker"), 20, "a worker is told", 0.5)
            await eventually(lambda: breakers.state == "OPEN", 5)
            await _is_left_alone(simulator, fleet)
            assert await ordered("reset_breaker")
            await eventually(lambda: breakers.state == "CLOSED", 5)
            began = time.time()
            await eventually(lambda: _asked(simulator, began) > 0, 15, "it is asked again")

            assert await ordered("trip_breaker", endpoint="history", seconds=1.5)
            await eventually(lambda: breakers.as_dict() == {"history": "OPEN"}, 5)
            assert breakers.state == "CLOSED"


async def _is_left_alone(simulator: Simulator, fleet: Fleet) -> None:
    began, before = time.time(), fleet.consumer.count(f"trades.{VENUE}.BTCUSDT")
    await asyncio.sleep(7)
    assert _asked(simulator, began + 0.2) == 0
    assert fleet.consumer.count(f"trades.{VENUE}.BTCUSDT") > before + 5


def _asked(simulator: Simulator, since: float) -> int:
    return sum(event["t"] / 1e9 >= since for event in simulator.events(VENUE, "rest"))


async def test_what_can_not_be_ordered_changes_nothing(broker_url: str, tmp_path: Path) -> None:
    async with client_at(broker_url) as user, coordinator(broker_url, tmp_path, [BTC]):
        wrong: tuple[dict[str, object], ...] = (
            {"exchange": "nowhere"},
            {},
            {"exchange": VENUE, "endpoint": "orders"},
            {"exchange": VENUE, "seconds": 0},
            {"exchange": VENUE, "seconds": True},
            {"exchange": VENUE, "seconds": 1e9},
        )
        for number, fields in enumerate(wrong):
            command = {"command": "trip_breaker", "correlation_id": str(number)}
            answer = await user.request(command | fields)
            assert (answer["success"], answer["error"]) == (False, "invalid_command"), fields
        command = {"command": "reset_breaker", "exchange": VENUE, "correlation_id": "none"}
        answer = await user.request(command)
        assert answer["error"] == "unavailable"
