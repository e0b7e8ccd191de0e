"""What a coordinator knows of the records that it appends, and what it does by itself."""

import asyncio
from typing import Any

import pytest

from coordinator import log as log_module
from coordinator.announcer import Announcer
from coordinator.log import LeadershipLostError, RegistryLog
from coordinator.records import Fence, NoChange, Operation, Record, Seed, encode
from coordinator.registry import Registry
from shared.errors import BrokerError
from tests.coordinators import BTC
from tests.fakes import FakeClock

ME = "me"


class Stream:
    """The log on the broker, whose records come back when a test says so."""

    connected = True

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        outlet: Any = self
        broker: Any = None
        self.log = RegistryLog(broker, outlet, ME, FakeClock())
        self._read = 0

    async def record(self, body: bytes) -> None:
        self.bodies.append(body)

    def hold(self, *records: Record) -> None:
        self.bodies += map(encode, records)

    def deliver(self, count: int = 1) -> None:
        for _ in range(count):
            self.log._take(_Delivered(self._read, self.bodies[self._read]))  # type: ignore[arg-type]
            self._read += 1


class _Delivered:
    def __init__(self, offset: int, body: bytes) -> None:
        self.body = body
        self.headers = {"x-stream-offset": offset}


async def test_a_long_log_is_waited_for_as_long_as_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_module, "READ_DEADLINE_S", 0.1)
    stream = Stream()
    stream.hold(*(Fence(by="other") for _ in range(20)))
    claiming = asyncio.create_task(stream.log.claim())
    for _ in range(21):
        await asyncio.sleep(0.02)
        stream.deliver()
    await asyncio.wait_for(claiming, 1)
    assert stream.log.in_charge


async def test_a_log_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "READ_DEADLINE_S", 0.05)
    stream = Stream()
    with pytest.raises(BrokerError):
        await stream.log.claim()
    assert stream.log.in_doubt


async def test_who_gives_up_a_record_that_is_under_way_is_in_doubt() -> None:
    """Its command goes to who leads next, which may be us: in another epoch."""
    stream = Stream()
    await _leading(stream)
    record = Operation(by=ME, epoch=1, op=NoChange(), given=None, at=1)
    appending = asyncio.create_task(stream.log.append(record))
    await asyncio.sleep(0)
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    assert stream.log.leading and not stream.log.in_charge


async def test_what_is_written_into_a_log_that_was_made_anew_is_not_done() -> None:
    stream = Stream()
    record = Operation(by=ME, epoch=1, op=NoChange(), given=None, at=1)
    appending = asyncio.create_task(stream.log.append(record))
    await asyncio.sleep(0)
    stream.deliver()
    with pytest.raises(LeadershipLostError):
        await appending


async def test_who_is_deposed_while_it_announces_says_no_more() -> None:
    stream = Stream()
    await _leading(stream)
    told: list[bytes] = []

    class Outlet:
        async def announce(self, body: bytes) -> None:
            told.append(body)
            stream.log.registry = Registry()

    outlet: Any = Outlet()
    announcer = Announcer(stream.log, outlet, FakeClock())
    await announcer._tell_due(1000.0)
    assert len(told) == 1


async def _leading(stream: Stream) -> None:
    venues = {"binance": "binance", "gate": "gate"}
    seed = Operation(by=ME, epoch=1, op=Seed(registry="r", symbols=[BTC], exchanges=venues), at=1)
    claiming = asyncio.create_task(stream.log.claim())
    await asyncio.sleep(0)
    stream.hold(seed)
    stream.deliver(2)
    await claiming
    assert stream.log.registry.seeded
