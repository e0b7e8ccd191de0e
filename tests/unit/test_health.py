"""Checks that repeat: what they find, when they are told, and that one holds up no other."""

import asyncio

import pytest

from shared.errors import NetworkError
from shared.health import CheckPolicy, Finding, HealthMonitor
from tests.fakes import FakeClock
from tests.waiting import eventually


class Peer:
    """What a check looks at."""

    def __init__(self) -> None:
        self.looks = 0
        self.error: Exception | None = None
        self.found: Finding | None = None
        self.takes_s = 0.0
        self.clock = FakeClock()

    async def check(self) -> Finding | None:
        self.looks += 1
        self.clock.elapsed_s += self.takes_s
        if self.error is not None:
            raise self.error
        return self.found


async def test_one_failure_is_a_doubt_two_are_not_and_it_recovers_by_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = Peer()
    monitor = HealthMonitor(peer.clock)
    check = monitor.add_health_check("exchange_v", peer.check)
    assert monitor.get_all_health_status() == {"exchange_v": "UNKNOWN"}
    states = []
    for error in (None, NetworkError("down"), NetworkError("down"), NetworkError("down"), None):
        peer.error = error
        await monitor.look()
        states.append(check.finding.status)
    assert states == ["HEALTHY", "DEGRADED", "UNHEALTHY", "UNHEALTHY", "HEALTHY"]
    assert [record.message for record in caplog.records if record.levelname != "DEBUG"] == [
        "exchange_v is degraded: down",
        "exchange_v is unhealthy: down",
    ]
    assert (check.checks, check.failures) == (5, 3)


async def test_what_fails_from_the_start_is_no_doubt() -> None:
    peer = Peer()
    peer.error = NetworkError("refused")
    monitor = HealthMonitor(peer.clock)
    monitor.add_health_check("redis", peer.check)
    await monitor.look()
    assert monitor.get_all_health_status() == {"redis": "UNHEALTHY"}
    assert monitor.as_dict() == {"redis": {"status": "UNHEALTHY", "reason": "refused"}}


async def test_a_slow_answer_is_one_line_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer()
    peer.takes_s = 3.0
    monitor = HealthMonitor(peer.clock)
    check = monitor.add_health_check("database", peer.check, CheckPolicy(slow_s=2))
    await monitor.look()
    assert check.finding == Finding("DEGRADED", "took 3.00 s")
    assert "slow: database took 3.00 s" in caplog.messages


async def test_a_check_that_hangs_ends_and_holds_up_no_other() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    peer = Peer()
    monitor = HealthMonitor(peer.clock)
    hung = monitor.add_health_check("hung", hang, CheckPolicy(timeout_s=0.1, interval_s=0.01))
    monitor.add_health_check("quick", peer.check, CheckPolicy(interval_s=0.01))
    await monitor.start()
    try:
        await eventually(lambda: hung.finding.status == "UNHEALTHY", 5)
        await eventually(lambda: peer.looks >= 3, 5)
    finally:
        await monitor.stop()
    assert monitor.get_all_health_status()["quick"] == "HEALTHY"


async def test_what_a_check_says_counts() -> None:
    peer = Peer()
    monitor = HealthMonitor(peer.clock)
    monitor.add_health_check("disk", peer.check)
    peer.found = Finding("DEGRADED", "300 MiB of disk are free")
    await monitor.look()
    assert monitor.as_dict()["disk"]["reason"] == "300 MiB of disk are free"
    peer.found = None
    await monitor.look()
    assert monitor.as_dict() == {}
