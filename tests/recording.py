"""Everything around the takers of events but the network: what they publish is kept."""

import logging
from typing import Any

import orjson

from shared.fact import Fact
from shared.ledger import Ledger
from tests.fakes import FakeClock
from workers.collector.intake import Intake
from workers.collector.parts import Parts
from workers.collector.publishing import Publishing
from workers.collector.quarantine import Quarantine
from workers.collector.unified import Market

BTC = "BTC/USDT:USDT"


class RecordingOutbox:
    """Keeps facts in place of the Outbox."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.facts: list[Fact] = []

    def put(self, fact: Fact) -> None:
        self.ledger[fact.kind.label].received += 1
        self.facts.append(fact)


class Recording:
    """An intake of one market, `BTC` at the venue, whose contracts are 0.001 base units."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        outbox: Any = RecordingOutbox()
        self.facts: list[Fact] = outbox.facts
        self.ledger: Ledger = outbox.ledger
        self.quarantine = Quarantine(logging.getLogger("test"))
        self.publishing = Publishing("x", outbox, self.quarantine, self.clock)
        self.intake = Intake(self.publishing)
        self.market = Market(BTC, "BTC", 0.001)
        self.intake.set_markets([self.market])

    @property
    def parts(self) -> Parts:
        return self.intake.parts[BTC]

    def bodies(self) -> list[Any]:
        return [orjson.loads(fact.body) for fact in self.facts]
