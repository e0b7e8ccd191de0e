"""What all faults share: what was asked for, what it hit, and its lines in the truth log."""

import random
from time import time
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from simulator.market import Market
    from simulator.session import Session
    from simulator.topic import Topic
    from simulator.venue import Venue

SECONDS_MAX = 86_400.0


class Refused(Exception):
    """A fault that cannot be: one sentence says why, and nothing has changed."""


class Wish(BaseModel):
    """What may be asked of every fault that lasts."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seconds: float | None = Field(None, gt=0, le=SECONDS_MAX)
    seed: int = 7


class Counted(Wish):
    count: int | None = Field(None, ge=1)
    """Applications after which it is over."""


class Fault:
    """One fault of one venue, from `start` to `finish`."""

    name: ClassVar[str]
    summary: ClassVar[str]
    wishes: ClassVar[type[Wish]] = Wish

    def __init__(self, id_: str, venue: "Venue", wish: Wish) -> None:
        self.id = id_
        self.venue = venue
        self.wish = wish
        self.rng = random.Random(f"{wish.seed}:{venue.name}:{self.name}")
        self.hit: list[dict[str, object]] = []
        self.applied = 0
        self.over = False
        """Whether it has done all it was asked for."""
        self.started_s = self.ended_s = 0.0

    def start(self) -> None:
        """Raises Refused before it changes anything."""

    def finish(self) -> None:
        """Undo what lasts."""

    # --- what frames, connections and requests ask; most faults leave them alone

    def concerns(self, _topic: "Topic") -> bool:
        return False

    def opened(self, _session: "Session") -> None:
        """A connection was opened."""

    def joined(self, _topic: "Topic", _session: "Session") -> None:
        """A session subscribed."""

    # --- shared

    @property
    def expired(self) -> bool:
        seconds = self.wish.seconds
        return self.over or (seconds is not None and time() - self.started_s >= seconds)

    def apply(self, **facts: object) -> None:
        self.applied += 1
        self.note("applied", number=self.applied, **facts)
        count = getattr(self.wish, "count", None)
        self.over = self.over or (count is not None and self.applied >= count)

    def note(self, step: str, **facts: object) -> None:
        head = {"fault": self.name, "id": self.id, "step": step}
        self.venue.truth.note(self.venue.name, "fault", **head, **facts)

    def market(self, name: str) -> "Market":
        """Raises Refused."""
        found = self.venue.find(name)
        if found is None:
            raise Refused(f"{self.venue.name} has no market {name}")
        return found

    def described(self) -> dict[str, object]:
        return {
            "id": self.id,
            "venue": self.venue.name,
            "fault": self.name,
            "parameters": self.wish.model_dump(exclude_none=True),
            "hit": self.hit,
            "applied": self.applied,
            "started": self.started_s,
            "ended": self.ended_s or None,
        }
