"""The seam between messages and the broker: what may be published, and how it was settled.

Two implementations run the same contract suite: `shared.frames` writes AMQP frames itself,
`shared.plain` goes through aio-pika's public interface, several times slower.
"""

import asyncio
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import aiormq

from shared.kinds import Kind
from shared.topology import BATCHES

MIB = 1024 * 1024

#: What the client library raises for a message that AMQP can not carry.
ENCODE_ERRORS = (ValueError, TypeError, struct.error)
#: A broker that has not confirmed for so long takes nothing: an alarm, or it hangs.
STALLED_S = 3.0
#: The event of aiormq that is cleared by Connection.Blocked and set by Connection.Unblocked.
_UNBLOCKED = "_Connection__connection_unblocked"


class Outcome(StrEnum):
    """How a message ended; what is not confirmed is counted as dropped under this name."""

    CONFIRMED = "confirmed"
    REFUSED = "refused"  # the broker nacked it again and again
    RETURNED = "returned"  # mandatory, and again and again there was no queue for it
    UNENCODABLE = "unencodable"  # AMQP can not carry it: a key of more than 255 bytes
    EXPIRED = "no_broker"  # perishable, and the connection that it waited for ended


class Keeper(Protocol):
    """Where a message is kept until it is settled: a spool."""

    def settled(self, message: "Publication") -> None: ...


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
    mandatory: bool = False
    perishable: bool = False  # worthless after the connection that it was meant for
    order: int = 0  # of its custody, see `shared.custody`
    nacks: int = 0  # how often the broker refused or returned it so far
    returned: bool = False  # the broker found no queue for it; its ack is still to come
    sent_at: float = 0.0  # monotonic seconds
    ended: bool = False  # settled, and counted
    keeper: Keeper | None = None  # on disk there, under `kept_as`
    kept_as: int = 0
    kept_size: int = 0  # bytes there
    behind: bool = False  # read from a spool, not offered by whoever made it

    @property
    def size(self) -> int:
        """Bytes that count against a bound: the body, and about what frames and objects cost."""
        return len(self.body) + 512

    @property
    def label(self) -> str:
        """What it is counted as. Batches apart: their rows are facts that were counted once."""
        return f"{self.kind.label}.batch" if self.exchange == BATCHES else self.kind.label


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a publisher may hold: bytes waiting, and messages and bytes not yet confirmed."""

    queued_bytes: int = 64 * MIB
    unconfirmed: int = 2000
    unconfirmed_bytes: int = 8 * MIB
    nack_retries: int = 3
    behind: int = 1000  # messages of a spool that wait for their turn


Settled = Callable[[Publication, Outcome], None]


class Publisher(Protocol):
    """Takes messages without waiting, sends them in order, settles each of them once."""

    connected: bool

    def offer(self, message: Publication) -> bool:
        """Queue a message; False, and nothing else, where the queue is full."""
        ...

    def offer_behind(self, message: Publication) -> bool:
        """Queue a message of a spool, which goes out beside the others and never before them."""
        ...

    @property
    def room_behind(self) -> int:
        """How many messages `offer_behind` would take."""
        ...

    def withdraw(self) -> list[Publication]:
        """Take back what was offered and has not been put on the wire, in order."""
        ...

    def messages(self) -> Iterator[Publication]:
        """All that is not settled, wherever it is."""
        ...

    @property
    def stalled(self) -> bool:
        """Connected to a broker that takes nothing: blocked, or silent for STALLED_S."""
        ...

    @property
    def republished(self) -> int:
        """How often a message was put on the wire again."""
        ...

    @property
    def pending(self) -> int:
        """Messages queued or on their way, not yet settled."""
        ...

    @property
    def room(self) -> bool:
        """Whether a message offered now would wait for nothing but the event loop."""
        ...

    async def run(self) -> None:
        """Connect and send, for ever. Raises ConfigurationError for refused credentials."""
        ...

    async def drain(self, deadline_s: float) -> bool:
        """Wait until all that was offered is settled; False where the deadline passed first."""
        ...


def is_blocked(connection: aiormq.abc.AbstractConnection) -> bool:
    """Whether the broker told this connection that it takes no messages (an alarm)."""
    unblocked = getattr(connection, _UNBLOCKED, None)
    return isinstance(unblocked, asyncio.Event) and not unblocked.is_set()
