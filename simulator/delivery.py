"""Recorded frames on their way: who follows which stream, and what waits for somebody to."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from aiohttp import WSCloseCode, web

from simulator.recorded import Recorded

HELD_MAX_BYTES = 64 * 2**20
AWAITED_S = 10.0
"""How long the updates of a book wait for somebody to ask for what they continue."""
_KEPT = 2000
"""Updates of a book that are kept for who asks late for the snapshot before them."""

Socket = web.WebSocketResponse
Data = str | bytes
Streams = frozenset[str]


class Delivery:
    """Frames of a stream that nobody follows wait for the first who does: many begin with a
    snapshot. Where a book begins with an answer of REST, its updates wait for that question too
    (`for_snapshots`)."""

    def __init__(
        self, recorded: Recorded, note: Callable[[str, str], None], *, for_snapshots: bool
    ) -> None:
        self.sent = 0
        self.missed = 0  # frames that nobody followed any more, or that there was no room to hold
        self.known: set[str] = set()  # followed by somebody until now, or until they were left
        self._recorded = recorded
        self._note = note  # told the stream and the text of each frame that is sent
        self._for_snapshots = for_snapshots
        self._followed: dict[Socket, set[str]] = {}
        self._held: dict[Streams, deque[Data]] = {}
        self._held_bytes = 0
        self._closed_until: dict[str, float] = {}  # by stream of a book whose snapshot is awaited
        self._updates: dict[str, deque[tuple[float, Data]]] = {}  # by stream of a book, as sent

    @property
    def sockets(self) -> list[Socket]:
        return list(self._followed)

    def connected(self, socket: Socket) -> None:
        self._followed[socket] = set()

    def gone(self, socket: Socket) -> None:
        self._forget(self._followed.pop(socket, set()))

    async def join(self, socket: Socket, streams: Streams) -> None:
        await self._release(socket, self._open(streams))
        # Not before: what is sent meanwhile would overtake what was held.
        if socket in self._followed:
            self._followed[socket] |= streams
            self.known |= streams

    def leave(self, socket: Socket, streams: Streams) -> None:
        self._followed[socket] -= streams
        self._forget(streams)

    async def send(self, at_s: float, data: Data) -> None:
        streams = self._recorded.belongs(data)
        if not streams:
            return
        sockets = [s for s, followed in self._followed.items() if not followed.isdisjoint(streams)]
        if not sockets or self._waits(streams):
            self._hold(streams, data)
            return
        if streams in self._held:  # nobody has asked for a snapshot in all the time
            await self._release(sockets[0], streams)
        self._keep(streams, at_s, data)
        for socket in sockets:
            await self._send_to(socket, streams, data)

    async def snapshot(self, market: str | None, asked_s: float) -> None:
        """Somebody is answered with the book of `market` that was asked for at `asked_s`: go on
        with its updates, or go back to those of that time."""
        streams = frozenset(s for s in self.known if self._recorded.book(s) == market)
        waiting = streams & self._closed_until.keys()
        for socket, followed in list(self._followed.items()):
            await self._release(socket, waiting & followed)
            for stream in (streams - waiting) & followed:
                await self._repeat(socket, stream, asked_s)
        for stream in waiting:
            self._closed_until.pop(stream, None)

    async def drop(self, streams: set[str]) -> None:
        """End the connections that carry any of these."""
        for socket, followed in list(self._followed.items()):
            if not followed.isdisjoint(streams):
                self.gone(socket)
                await socket.close(code=WSCloseCode.GOING_AWAY)

    def _open(self, streams: Streams) -> Streams:
        """Those of `streams` whose held frames may go out; the others wait for a snapshot."""
        if not self._for_snapshots:
            return streams
        books = {stream for stream in streams if self._recorded.book(stream) is not None}
        for stream in books - self.known:
            self._closed_until[stream] = monotonic() + AWAITED_S
        return streams - self._closed_until.keys()

    def _waits(self, streams: Streams) -> bool:
        """Whether these are updates of a book whose snapshot is still to be asked for."""
        now, waits = monotonic(), False
        for stream in streams & self._closed_until.keys():
            waits = now < self._closed_until[stream]
            if not waits:
                del self._closed_until[stream]
        return waits

    def _forget(self, streams: set[str] | Streams) -> None:
        """What nobody follows any more waits for somebody again."""
        left = streams - set().union(*self._followed.values())
        self.known -= left
        for stream in left:
            self._closed_until.pop(stream, None)
            self._updates.pop(stream, None)

    def _hold(self, streams: Streams, data: Data) -> None:
        if self._held_bytes + len(data) > HELD_MAX_BYTES:
            self.missed += 1
            return
        self._held.setdefault(streams, deque()).append(data)
        self._held_bytes += len(data)

    def _keep(self, streams: Streams, at_s: float, data: Data) -> None:
        for stream in streams:
            if self._recorded.book(stream) is not None:
                kept = self._updates.setdefault(stream, deque(maxlen=_KEPT))
                kept.append((at_s, data))

    async def _release(self, socket: Socket, joined: Streams) -> None:
        """What was held of these streams, in order; what comes meanwhile is held behind it."""
        while streams := next((s for s in self._held if not s.isdisjoint(joined)), None):
            held = self._held[streams]
            data = held.popleft()
            if not held:
                del self._held[streams]
            self._held_bytes -= len(data)
            await self._send_to(socket, streams, data)

    async def _repeat(self, socket: Socket, stream: str, since_s: float) -> None:
        for at_s, data in list(self._updates.get(stream, ())):
            if at_s >= since_s:
                await self._send_to(socket, frozenset({stream}), data)

    async def _send_to(self, socket: Socket, streams: Streams, data: Data) -> None:
        with suppress(ConnectionError):
            if isinstance(data, str):
                await socket.send_str(data)
            else:
                await socket.send_bytes(data)
        self.sent += 1
        self._note(min(streams), data if isinstance(data, str) else f"{len(data)} bytes")
