"""A stream that clients subscribe to: rendered once, sent to each of its subscribers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

import orjson

from simulator.frame import TEXT, Frame, wire
from simulator.happening import Event, Trigger
from simulator.market import Market

if TYPE_CHECKING:
    from simulator.faults.faults import Faults
    from simulator.session import Session

ALL = "*"
"""The symbol of a stream that carries all symbols."""
KINDS = {
    Trigger.TOUCH: "ticker",
    Trigger.BOOK: "book",
    Trigger.TRADE: "trades",
    Trigger.SECOND: "ticker",
    Trigger.LIQUIDATION: "liquidations",
}


class Topic(ABC):
    """One channel of one market, as its venue names it.

    It lives while it has subscribers and keeps what its subscribers share: the view last pushed,
    the last sequence number.
    """

    triggers: ClassVar[tuple[Trigger, ...]]
    kind: str = ""
    """What it carries, in the words of all venues; empty says what its first trigger does."""
    incremental: bool = False
    """Whether a push changes what was pushed before, so that none may be missed."""
    faults: "Faults | None" = None
    """Where frames go through while its venue has a fault of streams."""

    def __init__(self, market: Market, channel: str) -> None:
        self.market = market
        self.channel = channel
        self.subscribers: dict[Session, None] = {}
        self.symbol = market.instrument.symbol
        self._head = truth_head(channel, self.symbol)
        self.kind = self.kind or KINDS[self.triggers[0]]

    @abstractmethod
    def render(self, event: Event) -> Frame | None:
        """What `event` makes the venue push, if anything."""

    def greet(self) -> Iterable[Frame]:
        """What a new subscriber alone gets at once, in this order."""
        return ()

    def frame(self, message: object, ids: dict[str, object]) -> Frame:
        return Frame(self.encode(message), truth_line(self._head, ids))

    def encode(self, message: object) -> bytes:
        return self.pack(orjson.dumps(message))

    def pack(self, payload: bytes) -> bytes:
        """`payload` as a frame of this venue."""
        return wire(payload, TEXT)

    def publish(self, event: Event) -> None:
        frame = self.render(event)
        if frame is not None:
            self._send(frame)

    def welcome(self, session: "Session") -> None:
        for frame in self.greet():
            if self.faults is None or self.faults.greets(self, session):
                session.send(frame)

    def _send(self, frame: Frame) -> None:
        if self.faults is not None:
            self.faults.deliver(self, frame)
            return
        for session in self.subscribers:
            session.send(frame)


def truth_head(channel: str, symbol: str) -> str:
    return orjson.dumps({"channel": channel, "symbol": symbol}).decode()[1:-1]


def truth_line(head: str, ids: dict[str, object]) -> str:
    return f'{head},"ids":{orjson.dumps(ids).decode()}}}'
