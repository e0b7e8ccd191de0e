"""Faults of streams: what becomes of a frame between the market and the wire."""

from typing import TYPE_CHECKING, Literal

from simulator.faults.fault import Counted, Fault, Refused
from simulator.faults.message import facts
from simulator.frame import Frame

KINDS = frozenset({"trades", "book", "quote", "ticker", "candles", "liquidations"})

if TYPE_CHECKING:
    from simulator.market import Market
    from simulator.session import Session
    from simulator.topic import Topic


class StreamWish(Counted):
    symbol: str | None = None
    """Unified or the venue's own id; all markets, where it is left out."""
    channel: str | None = None
    """A kind (trades, book, quote, ticker, candles, …) or a channel's own name; or all."""
    until: Literal["resubscribe", "reconnect"] | None = None
    """Spare those who subscribe anew, or only connections that are opened later."""


class StreamFault(Fault):
    wishes = StreamWish
    kind: str | None = None
    """What it is about, where not about all."""
    silences = False
    """Whether new subscribers get no greeting either."""

    def start(self) -> None:
        assert isinstance(self.wish, StreamWish)
        symbol = self.wish.symbol
        self._market: Market | None = self.market(symbol) if symbol else None
        self._check_channel()
        self._renewed: set[tuple[int, str, str]] = set()
        self._last_number = max(self.venue.sessions, default=0)
        self.hit = [
            {"channel": t.channel, "symbol": t.symbol, "subscribers": len(t.subscribers)}
            for t in self.venue.topics
            if self.concerns(t)
        ]

    def _check_channel(self) -> None:
        """Raises Refused for a kind of channel that this fault does not touch."""
        assert isinstance(self.wish, StreamWish)
        channel = self.wish.channel
        if self.kind and channel in KINDS and channel != self.kind:
            raise Refused(f"{self.name} is about {self.kind}, not {channel}")

    def concerns(self, topic: "Topic") -> bool:
        assert isinstance(self.wish, StreamWish)
        wish = self.wish
        if self.over or (self._market is not None and topic.symbol != self._symbol()):
            return False
        if self.kind is not None and topic.kind != self.kind:
            return False
        return wish.channel in (None, topic.kind, topic.channel)

    def _symbol(self) -> str:
        assert self._market is not None
        return self._market.instrument.symbol

    def joined(self, topic: "Topic", session: "Session") -> None:
        self._renewed.add((session.number, topic.channel, topic.symbol))

    def spares(self, topic: "Topic", session: "Session") -> bool:
        assert isinstance(self.wish, StreamWish)
        if session.number > self._last_number:
            return self.wish.until is not None
        key = (session.number, topic.channel, topic.symbol)
        return self.wish.until == "resubscribe" and key in self._renewed

    def alter(self, topic: "Topic", frame: Frame) -> list[Frame]:
        """What is sent instead of `frame`."""
        raise NotImplementedError

    def told(self, frame: Frame, **more: object) -> None:
        """One application, to `frame`."""
        self.apply(**(facts(frame) | more))


class Silent(StreamFault):
    name = "silent"
    summary = "sends nothing on streams, while the connection lives and pings are answered"
    silences = True

    def alter(self, topic: "Topic", frame: Frame) -> list[Frame]:
        self.told(frame)
        return []


class Stuck(StreamFault):
    """The first frame after the start is true, and the one that is repeated."""

    name = "stuck"
    summary = "repeats one frame of a stream, with its old times and ids, at the usual pace"

    def start(self) -> None:
        self._kept: dict[tuple[str, str], Frame] = {}
        super().start()

    def alter(self, topic: "Topic", frame: Frame) -> list[Frame]:
        kept = self._kept.setdefault((topic.channel, topic.symbol), frame)
        if kept is not frame:
            self.told(frame, repeated=facts(kept)["ids"])
        return [kept]


class OnceWish(StreamWish):
    count: int | None = 1


class DeltaFault(StreamFault):
    """Only about pushes that change what was pushed before."""

    kind = "book"
    wishes = OnceWish

    def concerns(self, topic: "Topic") -> bool:
        return topic.incremental and super().concerns(topic)


class Dropped(StreamFault):
    def alter(self, topic: "Topic", frame: Frame) -> list[Frame]:
        self.told(frame)
        return []


class Duplicated(StreamFault):
    def alter(self, topic: "Topic", frame: Frame) -> list[Frame]:
        self.told(frame)
        return [frame, frame]


class DropDelta(Dropped, DeltaFault):
    name = "drop_delta"
    summary = "does not send a change of a book"


class DuplicateDelta(Duplicated, DeltaFault):
    name = "duplicate_delta"
    summary = "sends a change of a book twice"


class DropTrades(Dropped):
    name = "drop_trades"
    summary = "does not send trades; they happened, and REST has them"
    kind = "trades"
    wishes = OnceWish


class DuplicateTrades(Duplicated):
    name = "duplicate_trades"
    summary = "sends trades twice"
    kind = "trades"
    wishes = OnceWish
