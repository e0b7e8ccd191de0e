"""Serves recorded traffic as if its venue were live."""

import asyncio
from collections import defaultdict
from contextlib import suppress
from time import monotonic

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from simulator.answers import Answers
from simulator.capture import Body, Capture, Ended, Event, Received, Sent
from simulator.delivery import Delivery
from simulator.listener import Listener
from simulator.recorded import Recorded
from simulator.recorded.words import Change
from simulator.truth import Truth

SETTLE_S = 2.5
"""Quiet time after the last subscription or book request before the first frame: ccxt spaces its
book requests by a second."""
INCOMPLETE_S = 10.0
"""The same where the snapshot of a book that is followed is missing: it may be waiting for its
budget."""
SETTLE_MAX_S = 120.0
PAUSE_MAX_S = 60.0
"""When nothing at all happens for longer, nobody was recording: that time is left out."""
CLOSE_GRACE_S = 0.5
AHEAD_S = 0.1
"""Updates that an answer's book is older than come before the answer, as they did."""


class Replay:
    """Plays once, at `speed` times the recorded pace; connections stay open afterwards.

    A recording that is whole starts with the client's first subscription, so that everything comes
    in the order in which it came to the recorded client; other captures start when the client has
    what it needs.
    """

    def __init__(self, capture: Capture, recorded: Recorded, truth: Truth, speed: float) -> None:
        self.port = 0
        self.ended = asyncio.Event()
        self.delivery = Delivery(recorded, self._note_sent, for_snapshots=capture.whole)
        self._capture = capture
        self._recorded = recorded
        self._answers = Answers(recorded, capture.whole)
        self._truth = truth
        self._speed = speed
        self._carried: dict[int, set[str]] = defaultdict(set)  # by recorded connection: its streams
        self._last_s: dict[str, float] = {}  # of each stream the last frame or subscription
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
        closing = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in self.delivery.sockets]
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE_S):
                await asyncio.gather(*closing)
        if self._runner is not None:
            await self._runner.cleanup()
        self._truth.close()

    def _scan(self) -> None:
        """What there is: questions, the time of the first frame, and of each stream's last."""
        for event in self._capture.events():
            if isinstance(event, Body):
                self._answers.learn(event)
            elif isinstance(event, Received):
                self._first_s = self._first_s or event.at_s
                self._last_s |= dict.fromkeys(self._recorded.belongs(event.data), event.at_s)
            elif isinstance(event, Sent):
                self._last_s |= dict.fromkeys(self._command(event).joined, event.at_s)

    def _note_sent(self, stream: str, raw: str) -> None:
        self._truth.note(self._recorded.venue, "sent", channel=stream, raw=raw)

    # --- the clock

    async def _play(self) -> None:
        await self._asked.wait()
        if not self._capture.whole:
            await self._settled()
        self._began, before_s = monotonic(), self._first_s
        for event in self._capture.events():
            self._skip_pause(event.at_s - before_s)
            before_s = max(before_s, event.at_s)
            await asyncio.sleep(max(0.0, (event.at_s - self._now_s()) / self._speed))
            await self._happen(event)
        self.ended.set()

    async def _happen(self, event: Event) -> None:
        if isinstance(event, Body):
            self._answers.take(event)
        elif isinstance(event, Received):
            await self.delivery.send(event.at_s, event.data)
        elif isinstance(event, Sent):
            change, carried = self._command(event), self._carried[event.wire]
            carried |= change.joined
            carried -= change.left
        else:
            await self._break(event)

    def _command(self, sent: Sent) -> Change:
        """What the recorded client wanted; nothing, where that is no command."""
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            return self._recorded.command(sent.data)
        return Change()

    async def _break(self, event: Ended) -> None:
        """Clients lose what the recorded one lost. What it asked for no more later on it has left:
        at the end of a recording connections stay open."""
        carried = self._carried.pop(event.wire, set())
        await self.delivery.drop({s for s in carried if self._last_s[s] > event.at_s})

    def _now_s(self) -> float:
        """The time in the recording; before the clock starts the one it will start at."""
        if self._began is None:
            return self._first_s
        return self._first_s + (monotonic() - self._began) * self._speed

    def _skip_pause(self, pause_s: float) -> None:
        if self._began is not None and pause_s > PAUSE_MAX_S:
            self._began -= pause_s / self._speed

    async def _settled(self) -> None:
        """Wait until the books that are followed have what they begin with, and nobody has asked
        for anything for a while."""
        end = monotonic() + SETTLE_MAX_S
        # The time moves on while we wait, so that an event would not do.
        while (wait := min(self._ready_at(), end) - monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(wait, 0.1))

    def _ready_at(self) -> float:
        books = {self._recorded.book(stream) for stream in self.delivery.known} - {None}
        complete = books <= self._books_asked
        return self._asked_at + (SETTLE_S if complete else INCOMPLETE_S)

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
            "sent": self.delivery.sent,
            "missed": self.delivery.missed,
            "ended": self.ended.is_set(),
        }

    async def _rest(self, request: web.BaseRequest, path: str) -> web.Response:
        method, query = request.method, dict(request.query)
        if self._began is not None:
            with suppress(TimeoutError):
                await self._answers.ripen(method, path, query, self._now_s())
        body = self._answers.find(method, path, query)
        if path == self._recorded.snapshot_path:
            market = query.get(self._recorded.subject)
            self._books_asked.add(market)
            self._note_asked()
            await self.delivery.snapshot(market, body.asked_s if body else 0.0)
            await asyncio.sleep(AHEAD_S)
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
        self.delivery.connected(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._truth.note(self._recorded.venue, "received", raw=message.data)
                    await self._obey(socket, message.data)
        finally:
            self.delivery.gone(socket)
        return socket

    async def _obey(self, socket: web.WebSocketResponse, text: str) -> None:
        change = self._recorded.command(text)
        for answer in change.answers:
            if isinstance(answer, str):
                await socket.send_str(answer)
            else:
                await socket.send_bytes(answer)
        if change.joined:
            self._note_asked()
        self.delivery.leave(socket, change.left)
        await self.delivery.join(socket, change.joined)

    def _note_asked(self) -> None:
        self._asked_at = monotonic()
        self._asked.set()
