"""Serves recorded traffic as if its venue were live."""

import asyncio
from collections import deque
from contextlib import suppress
from time import monotonic

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from simulator.answers import Answers
from simulator.capture import Body, Capture, Received
from simulator.listener import Listener
from simulator.recorded import Recorded
from simulator.truth import Truth

SETTLE_S = 2.5
"""Quiet time after the last subscription or book request before the first frame: ccxt spaces its
book requests by a second."""
INCOMPLETE_S = 10.0
"""The same where something is missing: the snapshot of a book that is followed, or somebody who
follows a stream that there is. It may be waiting for its budget, or this client wants less."""
SETTLE_MAX_S = 120.0
PAUSE_MAX_S = 60.0
"""When nothing at all happens for longer, nobody was recording: that time is left out."""
HELD_MAX_BYTES = 64 * 2**20
CLOSE_GRACE_S = 0.5


class Replay:
    """Plays once, at `speed` times the recorded pace; connections stay open afterwards.

    The clock starts when the client has what it needs. Frames of a stream that nobody has followed
    so far wait for the first who does: many begin with a snapshot.
    """

    def __init__(self, capture: Capture, recorded: Recorded, truth: Truth, speed: float) -> None:
        self.port = 0
        self.sent = 0
        self.missed = 0  # frames that nobody followed any more, or that there was no room to hold
        self.ended = asyncio.Event()
        self._capture = capture
        self._recorded = recorded
        self._answers = Answers(recorded, capture.whole)
        self._truth = truth
        self._speed = speed
        self._streams: set[str] = set()  # of the whole capture
        self._known: set[str] = set()  # followed by somebody at some time
        self._followed: dict[web.WebSocketResponse, set[str]] = {}
        self._held: dict[frozenset[str], deque[str | bytes]] = {}
        self._held_bytes = 0
        self._books_asked: set[str | None] = set()
        self._asked = asyncio.Event()
        self._asked_at = 0.0
        self._first_s = 0.0
        self._began: float | None = None  # when the clock showed `_first_s`
        self._runner: web.ServerRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def listen(self, host: str, port: int) -> None:
        """Raises OSError where there is nothing to play, or the port is taken."""
        await asyncio.to_thread(self._scan)
        self._runner = web.ServerRunner(
            Listener(self._handle), shutdown_timeout=CLOSE_GRACE_S, handle_signals=False
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = self._runner.addresses[0][1]
        self._tasks = [asyncio.create_task(self._play()), asyncio.create_task(self._truth.run())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        closing = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(self._followed)]
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE_S):
                await asyncio.gather(*closing)
        if self._runner is not None:
            await self._runner.cleanup()
        self._truth.close()

    def _scan(self) -> None:
        """What there is: streams, questions, and the time of the first frame."""
        for event in self._capture.events():
            if isinstance(event, Body):
                self._answers.learn(event)
                continue
            self._first_s = self._first_s or event.at_s
            self._streams |= self._recorded.belongs(event.data)

    # --- the clock

    async def _play(self) -> None:
        await self._settled()
        self._began, before_s = monotonic(), self._first_s
        for event in self._capture.events():
            self._skip_pause(event.at_s - before_s)
            before_s = max(before_s, event.at_s)
            await asyncio.sleep(max(0.0, (event.at_s - self._now_s()) / self._speed))
            if isinstance(event, Received):
                await self._send(event.data)
            else:
                self._answers.take(event)
        self.ended.set()

    def _now_s(self) -> float:
        """The time in the recording; before the clock starts the one it will start at."""
        if self._began is None:
            return self._first_s
        return self._first_s + (monotonic() - self._began) * self._speed

    def _skip_pause(self, pause_s: float) -> None:
        if self._began is not None and pause_s > PAUSE_MAX_S:
            self._began -= pause_s / self._speed

    async def _settled(self) -> None:
        """Wait until somebody has asked for streams, and has what books begin with, and nobody has
        asked for anything for a while."""
        await self._asked.wait()
        end = monotonic() + SETTLE_MAX_S
        # The time moves on while we wait, so that an event would not do.
        while (wait := min(self._ready_at(), end) - monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(wait, 0.1))

    def _ready_at(self) -> float:
        books = {self._recorded.book(stream) for stream in self._known} - {None}
        followed = not self._capture.whole or self._streams <= self._known
        complete = followed and books <= self._books_asked
        return self._asked_at + (SETTLE_S if complete else INCOMPLETE_S)

    # --- frames

    async def _send(self, data: str | bytes) -> None:
        streams = self._recorded.belongs(data)
        if not streams:
            return
        sockets = [s for s, followed in self._followed.items() if not followed.isdisjoint(streams)]
        if not sockets:
            self._hold(streams, data)
        for socket in sockets:
            await self._send_to(socket, streams, data)

    async def _send_to(
        self, socket: web.WebSocketResponse, streams: frozenset[str], data: str | bytes
    ) -> None:
        with suppress(ConnectionError):
            if isinstance(data, str):
                await socket.send_str(data)
            else:
                await socket.send_bytes(data)
        self.sent += 1
        raw = data if isinstance(data, str) else f"{len(data)} bytes"
        self._truth.note(self._recorded.venue, "sent", channel=min(streams), raw=raw)

    def _hold(self, streams: frozenset[str], data: str | bytes) -> None:
        if not streams.isdisjoint(self._known) or self._held_bytes + len(data) > HELD_MAX_BYTES:
            self.missed += 1
            return
        self._held.setdefault(streams, deque()).append(data)
        self._held_bytes += len(data)

    async def _release(self, socket: web.WebSocketResponse, joined: frozenset[str]) -> None:
        """What was held of these streams, in order; what comes meanwhile is held behind it."""
        while streams := next((s for s in self._held if not s.isdisjoint(joined)), None):
            held = self._held[streams]
            data = held.popleft()
            if not held:
                del self._held[streams]
            self._held_bytes -= len(data)
            await self._send_to(socket, streams, data)

    # --- HTTP

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        prefix = f"/{self._recorded.venue}"
        if request.path == "/health":
            return web.json_response(self._health())
        if not request.path.startswith(f"{prefix}/"):
            return web.Response(status=404, text="no such venue")
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._socket(request)
        return await self._rest(request, request.path.removeprefix(prefix))

    def _health(self) -> dict[str, object]:
        return {
            "status": "ok",
            "started": self._began is not None,
            "sent": self.sent,
            "missed": self.missed,
            "ended": self.ended.is_set(),
        }

    async def _rest(self, request: web.BaseRequest, path: str) -> web.Response:
        method, query = request.method, dict(request.query)
        if self._began is not None:
            with suppress(TimeoutError):
                await self._answers.ripen(method, path, query, self._now_s())
        body = self._answers.find(method, path, query)
        if path == self._recorded.snapshot_path:
            self._books_asked.add(query.get(self._recorded.subject))
            self._note_asked()
        if body is None:
            body = self._constant(path)
        status, venue = body.status, self._recorded.venue
        self._truth.note(venue, "rest", path=path, query=query, status=status)
        headers = {"Content-Type": "application/json"} | body.headers
        return web.Response(status=status, body=body.data, headers=headers)

    def _constant(self, path: str) -> Body:
        """What is always answered, or that there is no answer."""
        text = self._recorded.constants.get(path)
        if text is not None:
            return Body(path, {}, text.encode())
        return Body(path, {}, orjson.dumps(self._recorded.missing(path)), status=404)

    async def _socket(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, timeout=CLOSE_GRACE_S)
        await socket.prepare(request)
        self._followed[socket] = set()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._truth.note(self._recorded.venue, "received", raw=message.data)
                    await self._obey(socket, message.data)
        finally:
            del self._followed[socket]
        return socket

    async def _obey(self, socket: web.WebSocketResponse, text: str) -> None:
        change, followed = self._recorded.command(text), self._followed[socket]
        for answer in change.answers:
            if isinstance(answer, str):
                await socket.send_str(answer)
            else:
                await socket.send_bytes(answer)
        if change.joined or change.left:
            self._note_asked()
        await self._release(socket, change.joined)
        # Not before: the player would send what is newer in between.
        followed -= change.left
        followed |= change.joined
        self._known |= change.joined

    def _note_asked(self) -> None:
        self._asked_at = monotonic()
        self._asked.set()
