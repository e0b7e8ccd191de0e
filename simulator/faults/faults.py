"""The faults of one venue: which are active, and what its frames, sockets and requests meet."""

from collections import deque
from time import time
from typing import TYPE_CHECKING

from simulator.faults.connection import Refuse
from simulator.faults.fault import Fault, Refused
from simulator.faults.request import RequestFault
from simulator.faults.stream import StreamFault
from simulator.frame import Frame

if TYPE_CHECKING:
    from simulator.session import Session
    from simulator.topic import Topic
    from simulator.venue import Venue

PAST_KEPT = 1000


class Faults:
    """While `active` is empty nothing else of this is asked."""

    def __init__(self, venue: "Venue") -> None:
        self._venue = venue
        self.active: dict[str, Fault] = {}
        self.past: deque[Fault] = deque(maxlen=PAST_KEPT)
        self._streams: list[StreamFault] = []
        self._started = 0

    # --- life

    def next_id(self) -> str:
        return f"{self._venue.name}-{self._started + 1}"

    def start(self, fault: Fault) -> None:
        """Raises Refused, and then nothing has changed."""
        fault.started_s = time()
        fault.start()
        self._started += 1
        self.active[fault.id] = fault
        fault.note("start", parameters=fault.wish.model_dump(exclude_none=True), hit=fault.hit)
        self._route()
        if fault.over:
            self.end(fault.id, "done")

    def end(self, id_: str, reason: str) -> Fault:
        """Raises Refused where no such fault is active."""
        fault = self.active.pop(id_, None)
        if fault is None:
            raise Refused(f"no active fault {id_}")
        fault.finish()
        fault.ended_s = time()
        fault.note("end", reason=reason, applied=fault.applied)
        self.past.append(fault)
        self._route()
        return fault

    def expire(self) -> None:
        for fault in list(self.active.values()):
            if fault.expired:
                self.end(fault.id, "done" if fault.over else "time")

    def _route(self) -> None:
        """Let frames come through here, or go straight to their subscribers."""
        self._streams = [f for f in self.active.values() if isinstance(f, StreamFault)]
        for topic in self._venue.topics:
            topic.faults = self if self.active else None

    # --- streams

    def joined(self, topic: "Topic", session: "Session") -> None:
        topic.faults = self
        for fault in self.active.values():
            fault.joined(topic, session)

    def greets(self, topic: "Topic", session: "Session") -> bool:
        silent = (f for f in self._streams if f.silences and f.concerns(topic))
        return all(fault.spares(topic, session) for fault in silent)

    def deliver(self, topic: "Topic", frame: Frame) -> None:
        """Who is spared by one of the faults that concern `topic` gets `frame` as it is."""
        faults = [fault for fault in self._streams if fault.concerns(topic)]
        struck: list[Session] = []
        for session in topic.subscribers:
            if not session.thawed.is_set():
                continue
            if faults and not any(fault.spares(topic, session) for fault in faults):
                struck.append(session)
            else:
                session.send(frame)
        if not struck:
            return
        frames = [frame]
        for fault in faults:
            frames = [out for one in frames for out in altered(fault, topic, one)]
        for session in struck:
            for out in frames:
                _pass(session, out)

    # --- connections and requests

    def opened(self, session: "Session") -> None:
        for fault in self.active.values():
            fault.opened(session)

    def upgrade(self) -> Refuse | None:
        refusing = (f for f in self.active.values() if isinstance(f, Refuse) and not f.over)
        return next(refusing, None)

    def request(self, path: str) -> RequestFault | None:
        """Who answers; the one started first, where several could."""
        requests = (f for f in self.active.values() if isinstance(f, RequestFault))
        return next((fault for fault in requests if fault.matches(path)), None)


def altered(fault: StreamFault, topic: "Topic", frame: Frame) -> list[Frame]:
    """What `fault` makes of `frame`; what another one made up, and what is over, is left alone."""
    return fault.alter(topic, frame) if frame.truth and not fault.over else [frame]


def _pass(session: "Session", frame: Frame) -> None:
    if frame.truth:
        session.send(frame)
    else:
        session.inject(frame.wire)
