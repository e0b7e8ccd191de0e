"""Who is alive: the last heartbeat of each process, and how long ago that was."""

from dataclasses import dataclass

from shared.clock import Clock
from shared.status import HEARTBEAT_S, Heartbeat

#: Silence after which a process counts as gone, in seconds.
GONE_S = 3 * HEARTBEAT_S
#: Silence after which it is forgotten.
FORGOTTEN_S = 3600.0
#: Most processes remembered; the longest silent goes first.
MAX_MEMBERS = 2000


@dataclass(frozen=True, slots=True)
class Member:
    heartbeat: Heartbeat
    heard_at: float  # monotonic


class Roster:
    """By worker id. Ages are our own clock's, so that no other host's clock matters."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._members: dict[str, Member] = {}

    def hear(self, heartbeat: Heartbeat) -> bool:
        """Take a heartbeat; whether it is the first of a run, or of a run that still starts."""
        former = self._members.pop(heartbeat.worker, None)
        now = self._clock.monotonic()
        self._members[heartbeat.worker] = Member(heartbeat, now)
        self._forget(now)
        fresh = former is None or former.heartbeat.epoch != heartbeat.epoch
        return fresh or heartbeat.state == "starting"

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

    def _forget(self, now: float) -> None:
        # Hearing moves a member to the end: the first is the longest silent.
        while self._members:
            worker, member = next(iter(self._members.items()))
            if len(self._members) <= MAX_MEMBERS and now - member.heard_at < FORGOTTEN_S:
                break
            del self._members[worker]
