"""Looking after the members while the broker goes away."""

from types import SimpleNamespace
from typing import Any

import pytest

from coordinator.membership import Membership
from coordinator.roster import Roster
from shared.errors import BrokerError
from shared.status import Heartbeat
from tests.fakes import FakeClock


def membership(ping: Any) -> tuple[Membership, Roster]:
    clock = FakeClock()
    roster = Roster(clock)
    for name in ("v-0@a", "v-0@b"):
        beat = Heartbeat(
            role="collector",
            exchange="v",
            worker=name,
            epoch="e",
            state="running",
            sent_at=1,
            revision=None,
            mailbox="q",
        )
        roster.hear(beat)
    log: Any = SimpleNamespace(registry=SimpleNamespace(seeded=False))
    outlet: Any = SimpleNamespace(ping=ping)
    none: Any = None
    return Membership(log, none, roster, none, outlet, clock), roster


async def test_a_broker_that_goes_away_amid_pings_ends_the_round_alone() -> None:
    async def ping(_mailbox: str) -> bool:
        raise BrokerError("gone")

    subject, roster = membership(ping)
    await subject.look()
    assert not any(member.unreachable for member in roster.members("collector"))


async def test_a_mailbox_that_is_gone_makes_its_worker_suspect() -> None:
    async def ping(_mailbox: str) -> bool:
        return False

    subject, roster = membership(ping)
    await subject.look()
    assert all(roster.is_suspect(member) for member in roster.members("collector"))


async def test_a_defect_of_ours_is_none_of_the_broker_s() -> None:
    async def ping(_mailbox: str) -> bool:
        raise KeyError("a bug")

    subject, _ = membership(ping)
    with pytest.raises(BaseExceptionGroup):
        await subject.look()
