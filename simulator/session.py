"""One websocket client of a venue: what it subscribed to and what is on its way to it."""

import asyncio
import struct
from socket import SO_LINGER, SOL_SOCKET
from time import time, time_ns
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, web

from simulator.frame import BINARY, CLOSE, TEXT, Frame, wire
from simulator.topic import Topic

if TYPE_CHECKING:
    from simulator.venue import Venue

OUTGOING_MAX_BYTES = 16 * 2**20
"""Unsent bytes after which a venue drops a client that does not read."""


class Session:
    """Frames pass through `send` in order and are written together, once a turn of the loop."""

    def __init__(
        self, venue: "Venue", number: int, path: str, socket: web.WebSocketResponse
    ) -> None:
        self.venue = venue
        self.number = number
        self.path = path
        self.groups: dict[str, list[Topic]] = {}
        self.opened_ms = time() * 1000
        self.heard_ms = self.opened_ms
        self.unanswered = 0
        self._socket = socket
        self._outgoing: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self.thawed = asyncio.Event()
        """Not set: the server has forgotten this connection, and it stays open."""
        self.thawed.set()
        self._loop = asyncio.get_running_loop()
        self._truth = venue.truth
        self._truth_head = f',"venue":"{venue.name}","conn":{number},"event":"sent",'

    def attach(self, transport: asyncio.Transport | None) -> None:
        self._transport = transport

    # --- outgoing

    def send(self, frame: Frame) -> None:
        """The one way for market data from "it happened" to "it is sent"."""
        self._write(frame.wire)
        self._truth.add(f'{{"t":{time_ns()}{self._truth_head}{frame.truth}')

    def reply(self, payload: bytes, binary: bool = False) -> None:
        """An answer that is no market data: an ack, an error, a ping or a pong."""
        self._write(wire(payload, BINARY if binary else TEXT))

    def _write(self, data: bytes) -> None:
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(data)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        transport = self._transport
        if transport is None or transport.is_closing() or not self.thawed.is_set():
            return
        transport.write(b"".join(outgoing))
        if transport.get_write_buffer_size() > OUTGOING_MAX_BYTES:
            self.abort("slow consumer")

    def abort(self, reason: str) -> None:
        """End the TCP connection without a closing handshake."""
        self._truth.note(self.venue.name, "abort", conn=self.number, reason=reason)
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """End the TCP connection with a RST."""
        raw = self._transport.get_extra_info("socket") if self._transport else None
        if raw is not None:
            raw.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.abort("reset")

    def say_close(self, code: int) -> None:
        """Begin the closing handshake; 1006 has none, the connection just ends."""
        if code != WSCloseCode.ABNORMAL_CLOSURE:
            self._write(wire(struct.pack("!H", code), CLOSE))
        elif self._transport is not None:
            self._transport.close()

    def freeze(self) -> None:
        """Neither read nor write, until `thaw`; what is sent meanwhile is lost."""
        self.thawed.clear()
        if self._transport is not None:
            self._transport.pause_reading()

    def thaw(self) -> None:
        self.thawed.set()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def inject(self, data: bytes) -> None:
        """Bytes that no venue meant to send."""
        self._write(data)

    async def close(self, code: int) -> None:
        await self._socket.close(code=code)

    # --- subscriptions

    def subscribe(self, key: str, topics: list[Topic]) -> None:
        """Join `topics` under the client's own name for them."""
        self.unsubscribe(key)
        self.groups[key] = topics
        for topic in topics:
            self.venue.join(topic, self)
            topic.welcome(self)

    def unsubscribe(self, key: str) -> bool:
        topics = self.groups.pop(key, None)
        for topic in topics or ():
            self.venue.leave(topic, self)
        return topics is not None

    def leave_all(self) -> None:
        for key in list(self.groups):
            self.unsubscribe(key)
