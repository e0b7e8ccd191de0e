"""Which workers share the symbols of a venue: who joins, and who is out. Pure.

Nobody is out for a trouble of the broker, or of the coordinator itself: no verdict while it has not
listened for long, and none while more than half of all vanished together. And the last worker of a
venue stays its owner: nobody could take over.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from coordinator.records import Members
from shared.status import Heartbeat
from shared.symbolset import Peer

#: Without a heartbeat for so long a worker is out, and without a mailbox too.
OUT_S = 5.0
#: How long a coordinator listens before it judges anybody.
ON_DUTY_S = 10.0
#: Who vanished with most others is out after this: a broker is back sooner.
OUT_WITH_MOST_S = 30.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """A collector as it was last heard of."""

    heartbeat: Heartbeat
    venue: str  # canonical
    silent_s: float
    deaf_s: float = 0.0

    @property
    def worker(self) -> str:
        return self.heartbeat.worker

    @property
    def peer(self) -> Peer:
        return Peer(worker=self.worker, egress=self.heartbeat.egress or self.worker)


def verdicts(
    members: Mapping[str, Mapping[str, Peer]],
    sightings: Iterable[Sighting],
    venues: Iterable[str],
    on_duty_s: float,
) -> list[Members]:
    """What changes in the membership of `venues`, one operation a venue."""
    seen = {sighting.worker: sighting for sighting in sightings}
    venues = list(venues)
    patience_s = _patience_s([members.get(v, {}) for v in venues], seen, on_duty_s)
    found = []
    for venue in venues:
        enrolled = members.get(venue, {})
        joined = _joining(venue, enrolled, seen.values())
        left: dict[str, str] = {}
        if on_duty_s >= ON_DUTY_S:
            left = _leaving(enrolled, seen, patience_s, on_duty_s)
        left |= {w: "goodbye" for w in enrolled if _says_goodbye(seen.get(w))}
        if left and not joined and len(left) == len(enrolled):
            left.pop(_last_heard(left, seen))
        if joined or left:
            found.append(Members(exchange=venue, joined=joined, left=left))
    return found


def _joining(venue: str, enrolled: Mapping[str, Peer], seen: Iterable[Sighting]) -> list[Peer]:
    fit = [s for s in seen if s.venue == venue and s.silent_s < OUT_S and _is_fit(s, enrolled)]
    return [s.peer for s in fit if enrolled.get(s.worker) != s.peer]


def _is_fit(sighting: Sighting, enrolled: Mapping[str, Peer]) -> bool:
    """The first of a venue may still be starting; another has to be ready to take over."""
    beat = sighting.heartbeat
    if beat.mailbox is None or beat.state == "stopping":
        return False
    return beat.state == "running" or not enrolled or sighting.worker in enrolled


def _leaving(
    enrolled: Mapping[str, Peer], seen: Mapping[str, Sighting], patience_s: float, on_duty_s: float
) -> dict[str, str]:
    left = {}
    for worker in enrolled:
        sighting = seen.get(worker)
        if _silent_s(sighting, on_duty_s) >= patience_s:
            left[worker] = "silent"
        elif sighting is not None and sighting.deaf_s >= patience_s:
            left[worker] = "deaf"
    return left


def _patience_s(
    members: Iterable[Mapping[str, Peer]], seen: Mapping[str, Sighting], on_duty_s: float
) -> float:
    """How long a silence is borne: longer where most fell silent together, of whom those that
    have been for long are none."""
    silences = [_silent_s(seen.get(w), on_duty_s) for enrolled in members for w in enrolled]
    recent = [silent_s for silent_s in silences if silent_s < OUT_WITH_MOST_S]
    silent = [silent_s for silent_s in recent if silent_s >= OUT_S / 2]
    # Half of them is one of two hosts, whose end has to be noticed.
    return OUT_WITH_MOST_S if 2 * len(silent) > len(recent) else OUT_S


def _silent_s(sighting: Sighting | None, on_duty_s: float) -> float:
    return on_duty_s if sighting is None else sighting.silent_s


def _says_goodbye(sighting: Sighting | None) -> bool:
    return sighting is not None and sighting.heartbeat.state == "stopping"


def _last_heard(workers: Iterable[str], seen: Mapping[str, Sighting]) -> str:
    def silent_s(worker: str) -> float:
        return _silent_s(seen.get(worker), float("inf"))

    return min(sorted(workers), key=silent_s)
