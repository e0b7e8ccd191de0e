"""What a stream hands out: messages, and word of those that did not come."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from aiormq.abc import DeliveredMessage

from futures_fleet._wire.errors import DataProcessingError
from futures_fleet._wire.symbols import decode_word, symbol_of_key
from futures_fleet.bodies import Body, parsed

_PERSISTENT = 2


class Address(NamedTuple):
    """What a routing key says."""

    kind: str  # its first word: the kind, or `task`
    exchange: str  # the venue
    symbol: str | None  # null: it is about no single symbol


@dataclass(frozen=True, eq=False)
class Message:
    """One message of the data exchange, as it came; its body is parsed when it is looked at."""

    routing_key: str
    raw: bytes  # the body, JSON
    kind: str
    message_id: str  # of keyed kinds it names one immutable fact, else it is only unique
    worker: str  # who published it
    epoch: str  # in which run
    seq: int  # +1 for each message of a run on a routing key
    received_at: int  # when the worker read the frame, ms of the Unix epoch
    lossless: bool  # whether its kind may lose nothing, or newer values replace older ones
    #: On the first message of a run on a key: the run before and its last number.
    previous: tuple[str, int] | None = None

    @property
    def exchange(self) -> str:
        """The venue, by its name on the wire."""
        return address(self.routing_key).exchange

    @property
    def symbol(self) -> str | None:
        """Unified, `BTC/USDT:USDT`; None where the message is about no single symbol."""
        return address(self.routing_key).symbol

    @cached_property
    def body(self) -> Body:
        """The body as the model of its kind. Raises BodyError."""
        return parsed(address(self.routing_key).kind, self.raw)


@dataclass(frozen=True, slots=True)
class Missed:
    """Messages that were published and did not come: `count` of them after number `after_seq`.

    `count` is None, and `after_seq` 0, where it can not be known whether any are missing: the
    stream was broken, and the first message on the key after that is of a new run, `epoch`, that
    nothing links to one that was read before.
    """

    routing_key: str
    epoch: str
    after_seq: int
    count: int | None

    @property
    def exchange(self) -> str:
        return address(self.routing_key).exchange

    @property
    def symbol(self) -> str | None:
        return address(self.routing_key).symbol


@lru_cache(maxsize=10_000)
def address(routing_key: str) -> Address:
    """What a routing key of the data exchange says, as far as it is one."""
    kind, _, rest = routing_key.partition(".")
    exchange, _, rest = rest.partition(".")
    key = rest.partition(".")[0]
    try:
        symbol = symbol_of_key(key) if key and kind != "coverage" else None
    except DataProcessingError:
        symbol = None
    return Address(kind, decode_word(exchange), symbol)


def read(delivered: DeliveredMessage) -> Message | None:
    """The message in a delivery; None where it lacks what all messages of the fleet have."""
    properties = delivered.header.properties
    headers = properties.headers or {}
    seq, epoch = headers.get("seq"), headers.get("epoch")
    worker, received_at = headers.get("worker"), headers.get("received_at")
    message_id, kind = properties.message_id, properties.message_type
    if type(seq) is not int or type(received_at) is not int or not (message_id and kind):
        return None
    if not isinstance(epoch, str) or not isinstance(worker, str):
        return None
    return Message(
        delivered.routing_key or "",
        delivered.body,
        kind,
        message_id,
        worker,
        epoch,
        seq,
        received_at,
        properties.delivery_mode == _PERSISTENT,
        _previous(headers.get("prev_epoch"), headers.get("prev_seq")),
    )


def _previous(epoch: object, seq: object) -> tuple[str, int] | None:
    return (epoch, seq) if isinstance(epoch, str) and isinstance(seq, int) else None
