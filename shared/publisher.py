"""The seam between messages and the broker: what may be published, and how it was settled.

Two implementations run the same contract suite: `shared.frames` writes AMQP frames itself,
`shared.plain` goes through aio-pika's public interface, several times slower.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from shared.kinds import Kind

MIB = 1024 * 1024

#: What the client library raises for a message that AMQP can not carry.
ENCODE_ERRORS = (ValueError, TypeError, struct.error)


class Outcome(StrEnum):
    """How a message ended."""

    CONFIRMED = "confirmed"
    REFUSED = "refused"  # the broker nacked it again and again
    UNENCODABLE = "unencodable"  # AMQP can not carry it: a key of more than 255 bytes


@dataclass(slots=True, eq=False)
class Publication:
    """One encoded message. `rows` is how many facts it carries: 1, or the rows of a batch."""

    exchange: str
    routing_key: str
    kind: Kind
    body: bytes
    message_id: str
    headers: dict[str, Any]
    timestamp_ms: int
    rows: int = 1
    content_encoding: str | None = None
    nacks: int = 0  # how often the broker refused it so far

    @property
    def size(self) -> int:
        """Bytes that count against a bound: the body, and about what frames and objects cost."""
        return len(self.body) + 512


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a publisher may hold: bytes waiting, and messages and bytes not yet confirmed."""

    queued_bytes: int = 64 * MIB
    unconfirmed: int = 2000
    unconfirmed_bytes: int = 8 * MIB
    nack_retries: int = 3


Settled = Callable[[Publication, Outcome], None]


class Publisher(Protocol):
    """Takes messages without waiting, sends them in order, settles each of them once."""

    connected: bool

    def offer(self, message: Publication) -> bool:
        """Queue a message; False, and nothing else, where the queue is full."""
        ...

    @property
    def pending(self) -> int:
        """Messages queued or on their way, not yet settled."""
        ...

    @property
    def room(self) -> bool:
        """Whether a message offered now would be sent at once."""
        ...

    async def run(self) -> None:
        """Connect and send, for ever. Raises ConfigurationError for refused credentials."""
        ...

    async def drain(self, deadline_s: float) -> bool:
        """Wait until all that was offered is settled; False where the deadline passed first."""
        ...


class Backlog:
    """The messages of a publisher that wait, bounded in bytes, and the count of the unsettled."""

    def __init__(self, bounds: Bounds, settled: Settled) -> None:
        self.bounds = bounds
        self.unsettled = 0
        self.work = asyncio.Event()  # set whenever there may be something to send
        self._settled = settled
        self._waiting: deque[Publication] = deque()
        self._bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def offer(self, message: Publication) -> bool:
        if self._bytes + message.size > self.bounds.queued_bytes:
            return False
        self.unsettled += 1
        self._idle.clear()
        self._append(message)
        return True

    def take(self) -> Publication:
        message = self._waiting.popleft()
        self._bytes -= message.size
        return message

    def put_back(self, messages: Sequence[Publication]) -> None:
        """Return messages that were on their way to the front, in their old order."""
        self._waiting.extendleft(reversed(messages))
        self._bytes += sum(message.size for message in messages)
        self.work.set()

    def confirmed(self, message: Publication) -> None:
        self._settle(message, Outcome.CONFIRMED)

    def unencodable(self, message: Publication) -> None:
        self._settle(message, Outcome.UNENCODABLE)

    def nacked(self, message: Publication) -> None:
        """Send it again, or settle it as refused where that was tried often enough."""
        message.nacks += 1
        if message.nacks > self.bounds.nack_retries:
            self._settle(message, Outcome.REFUSED)
        else:
            self._append(message)

    async def settled(self, deadline_s: float) -> bool:
        try:
            async with asyncio.timeout(deadline_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _append(self, message: Publication) -> None:
        self._waiting.append(message)
        self._bytes += message.size
        self.work.set()

    def _settle(self, message: Publication, outcome: Outcome) -> None:
        self.unsettled -= 1
        if not self.unsettled:
            self._idle.set()
        self._settled(message, outcome)
