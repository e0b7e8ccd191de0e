"""Who is alive: the last heartbeat of each process, how long ago that was, and what it holds."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.clock import Clock
from shared.status import HEARTBEAT_S, Heartbeat, Holdings

#: Silence after which a process counts as gone, in seconds.
GONE_S = 3 * HEARTBEAT_S
#: Silence after which it is forgotten.
FORGOTTEN_S = 3600.0
#: Most processes remembered; the longest silent goes first.
MAX_MEMBERS = 2000


@dataclass(slots=True)
class Member:
    heartbeat: Heartbeat
    heard_at: float  # monotonic
    deaf_since: float | None  # since when it has no mailbox: it hears nobody
    unreachable: bool = False  # the broker knows no queue of the name of its mailbox
    holdings: Holdings | None = None
    live: frozenset[str] = field(default=frozenset())


class Roster:
    """By worker id. Ages are our own clock's, so that no other host's clock matters."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._members: dict[str, Member] = {}

    def hear(self, heartbeat: Heartbeat) -> bool:
        """Take a heartbeat; whether it is the first of a run, or of a run that still starts."""
        former = self._members.pop(heartbeat.worker, None)
        now = self._clock.monotonic()
        member = Member(heartbeat, now, None)
        if heartbeat.mailbox is None:
            known = former.deaf_since if former else None
            member.deaf_since = now if known is None else known
        fresh = former is None or former.heartbeat.epoch != heartbeat.epoch
        if former is not None and not fresh:
            member.holdings, member.live = former.holdings, former.live
            is_same = former.heartbeat.mailbox == heartbeat.mailbox
            member.unreachable = former.unreachable and is_same
        self._members[heartbeat.worker] = member
        self._forget(now)
        return fresh or heartbeat.state == "starting"

    def hold(self, holdings: Holdings) -> None:
        """Take what a worker says that it has; of a run that is known by its heartbeat."""
        member = self._members.get(holdings.worker)
        if member is not None and member.heartbeat.epoch == holdings.epoch:
            member.holdings, member.live = holdings, frozenset(holdings.live)

    def reached(self, worker: str, mailbox: str, found: bool) -> None:
        """Whether a message to the mailbox that a worker named found a queue."""
        member = self._members.get(worker)
        if member is not None and member.heartbeat.mailbox == mailbox:
            member.unreachable = not found

    def of(self, worker: str) -> Member | None:
        return self._members.get(worker)

    def members(self, role: str) -> Iterator[Member]:
        """All that are remembered, also those that are gone, by the name of each."""
        named = sorted(self._members.items())
        return (member for _, member in named if member.heartbeat.role == role)

    def alive(self, role: str) -> list[Heartbeat]:
        now = self._clock.monotonic()
        return [
            member.heartbeat
            for member in self._members.values()
            if member.heartbeat.role == role
            and member.heartbeat.state != "stopping"
            and now - member.heard_at < GONE_S
        ]

    def age_s(self, worker: str) -> float | None:
        """Seconds since the worker's last heartbeat; None where it was never heard."""
        member = self._members.get(worker)
        return None if member is None else self._clock.monotonic() - member.heard_at

    def is_suspect(self, member: Member) -> bool:
        """Whether a process seems to be gone, and nobody acts upon it yet."""
        silent_s = self._clock.monotonic() - member.heard_at
        return member.unreachable or silent_s > 2 * HEARTBEAT_S

    def _forget(self, now: float) -> None:
        # Hearing moves a member to the end: the first is the longest silent.
        while self._members:
            worker, member = next(iter(self._members.items()))
            if len(self._members) <= MAX_MEMBERS and now - member.heard_at < FORGOTTEN_S:
                break
            del self._members[worker]
