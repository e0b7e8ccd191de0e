"""Faults of what a frame says."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from simulator.faults.fault import Refused
from simulator.faults.message import crossed, elsewhere, facts, with_wrong_checksum
from simulator.faults.stream import DeltaFault, OnceWish, StreamFault
from simulator.frame import BINARY, GZIP_MAGIC, TEXT, Frame, payload, wire

if TYPE_CHECKING:
    from simulator.topic import Topic

GARBAGE_BYTES = 64
PAGE = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"


def untold(data: bytes) -> Frame:
    """Bytes that are no market data: they have no line `sent` in the truth log."""
    return Frame(data, "")


class WrongChecksum(DeltaFault):
    name = "wrong_checksum"
    summary = "sends a change of a book with a checksum that does not fit"

    def start(self) -> None:
        if not self.venue.dialect.checksums:
            raise Refused(f"books of {self.venue.name} have no checksum")
        super().start()

    def alter(self, topic: "Topic", frame: Frame) -> list[Frame]:
        found = with_wrong_checksum(topic, frame)
        if found is None:
            return [frame]
        self.told(frame, true=found[1], sent=found[2])
        return [found[0]]


class CrossedWish(OnceWish):
    ticks: int = Field(10, ge=1, le=100_000)
    """How far above the best ask the bid is."""


class CrossedBook(DeltaFault):
    name = "crossed_book"
    summary = "adds a bid above the best ask to a change of a book, and never takes it back"
    wishes = CrossedWish

    def alter(self, topic: "Topic", frame: Frame) -> list[Frame]:
        assert isinstance(self.wish, CrossedWish)
        found = crossed(topic, frame, self.wish.ticks)
        if found is None:  # nothing changed, so there is no level to write one like it
            return [frame]
        self.told(frame, bid=found[1])
        return [found[0]]


class GarbageWish(OnceWish):
    form: Literal["text", "binary", "html", "gzip"] | None = None
    """Where it is left out: a broken gzip where the venue's frames are gzip, else text."""


class Garbage(StreamFault):
    name = "garbage"
    summary = "sends a frame that is no JSON before a true one"
    wishes = GarbageWish

    def alter(self, topic: "Topic", frame: Frame) -> list[Frame]:
        assert isinstance(self.wish, GarbageWish)
        form = self.wish.form or ("gzip" if self.venue.dialect.compressed else "text")
        self.told(frame, form=form)
        return [untold(self._made(form)), frame]

    def _made(self, form: str) -> bytes:
        noise = self.rng.randbytes(GARBAGE_BYTES)
        if form == "text":
            return wire(noise.decode("latin-1").encode(), TEXT)
        if form == "html":
            return wire(PAGE, TEXT)
        return wire((GZIP_MAGIC if form == "gzip" else b"") + noise, BINARY)


class PartialJson(StreamFault):
    name = "partial_json"
    summary = "sends only the beginning of a frame"
    wishes = OnceWish

    def alter(self, topic: "Topic", frame: Frame) -> list[Frame]:
        whole = payload(frame.wire)
        kept = self.rng.randrange(1, len(whole))
        self.told(frame, bytes=kept)
        return [untold(topic.pack(whole[:kept]))]


class UnknownSymbol(StreamFault):
    name = "unknown_symbol"
    summary = "sends a copy of a frame in the name of a market that nobody listed, before it"
    wishes = OnceWish

    def alter(self, topic: "Topic", frame: Frame) -> list[Frame]:
        self.told(frame, of=facts(frame)["symbol"])
        return [untold(elsewhere(topic, frame)), frame]
