"""What a coordinator says of itself, and what it does where nobody leads."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from coordinator.identity import Identity
from coordinator.pulse import Heard, Pulse
from coordinator.registry import Registry
from coordinator.roster import GONE_S, Roster
from tests.fakes import FakeClock


class Coordinator:
    """A pulse whose words a test reads; of the log it knows who leads."""

    connected = True

    def __init__(self, *, in_charge: bool) -> None:
        self.clock = FakeClock()
        self.said: list[dict[str, Any]] = []
        self.ticks = 0
        registry_log: Any = SimpleNamespace(
            registry=Registry(), leading=True, in_charge=in_charge, malformed=0, outdated=0
        )
        watch: Any = SimpleNamespace(mailbox=None, malformed=0)
        control: Any = SimpleNamespace(answered=0, refused={})
        outlet: Any = self
        identity = Identity.of("here", self.clock)
        heard = Heard(Roster(self.clock), watch, control)
        self.pulse = Pulse(identity, registry_log, outlet, heard, self.clock)

    async def status(self, _key: str, body: bytes) -> None:
        self.said.append(orjson.loads(body))

    async def tick(self) -> None:
        self.ticks += 1


@pytest.mark.parametrize("in_charge", [True, False])
async def test_a_leader_in_doubt_does_not_say_that_it_leads(in_charge: bool) -> None:
    """Others would ask nobody else to lead."""
    coordinator = Coordinator(in_charge=in_charge)
    await coordinator.pulse._beat()
    assert coordinator.said[0]["details"]["leader"] is in_charge
    coordinator.clock.elapsed_s += GONE_S
    await coordinator.pulse._beat()
    assert coordinator.ticks == (0 if in_charge else 1)
