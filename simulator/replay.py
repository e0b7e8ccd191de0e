"""Serves a recorded capture as if its venue were live."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from simulator.capture import Capture
from simulator.listener import Listener
from simulator.recorded import Recorded
from simulator.truth import Truth

SETTLE_S = 2.5
"""Quiet time after the last subscription or book request before the first frame: ccxt spaces its
book requests by a second."""
CLOSE_GRACE_S = 0.5


class Replay:
    """Plays once, at `speed` times the recorded pace; connections stay open afterwards."""

    def __init__(self, capture: Capture, recorded: Recorded, truth: Truth, speed: float) -> None:
        self.port = 0
        self.sent = 0
        self.ended = asyncio.Event()
        self._recorded = recorded
        self._frames = list(capture.frames())
        self._bodies = _index(capture, recorded)
        self._truth = truth
        self._speed = speed
        self._followed: dict[web.WebSocketResponse, set[str]] = {}
        self._asked = asyncio.Event()
        self._asked_at = 0.0
        self._runner: web.ServerRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def listen(self, host: str, port: int) -> None:
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
            await asyncio.wait_for(asyncio.gather(*closing), CLOSE_GRACE_S)
        if self._runner is not None:
            await self._runner.cleanup()
        self._truth.close()

    # --- the clock

    async def _play(self) -> None:
        await self._settled()
        began, first = monotonic(), self._frames[0].t_s if self._frames else 0.0
        for frame in self._frames:
            wait = began + (frame.t_s - first) / self._speed - monotonic()
            await asyncio.sleep(max(0.0, wait))
            await self._send(frame.text)
        self.ended.set()

    async def _settled(self) -> None:
        """Wait until nobody has asked for anything for a while, after somebody has."""
        await self._asked.wait()
        # The time moves on while we wait, so that an event would not do.
        while (wait := self._asked_at + SETTLE_S - monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait)

    async def _send(self, text: str) -> None:
        streams = self._recorded.streams(orjson.loads(text))
        for socket, followed in list(self._followed.items()):
            if followed.isdisjoint(streams):
                continue
            with suppress(ConnectionError):
                await socket.send_str(text)
            self.sent += 1
            channel = next(iter(streams))
            self._truth.note(self._recorded.venue, "sent", channel=channel, raw=text)

    # --- HTTP

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        prefix = f"/{self._recorded.venue}"
        if request.path == "/health":
            return web.json_response({"status": "ok", "sent": self.sent, "ended": self._over()})
        if not request.path.startswith(f"{prefix}/"):
            return web.Response(status=404, text="no such venue")
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._socket(request)
        return self._rest(request.path.removeprefix(prefix), request.query)

    def _over(self) -> bool:
        return self.ended.is_set()

    def _rest(self, path: str, query: Mapping[str, str]) -> web.Response:
        text = self._bodies.get((path, query.get(self._recorded.subject)))
        if path == self._recorded.snapshot_path:
            self._note_asked()
        status = 404 if text is None else 200
        self._truth.note(self._recorded.venue, "rest", path=path, query=dict(query), status=status)
        if text is None:
            text = orjson.dumps(self._recorded.missing(path)).decode()
        return web.Response(status=status, text=text, content_type="application/json")

    async def _socket(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, timeout=CLOSE_GRACE_S)
        await socket.prepare(request)
        followed = self._followed.setdefault(socket, set())
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._truth.note(self._recorded.venue, "received", raw=message.data)
                    await self._obey(socket, followed, message.data)
        finally:
            del self._followed[socket]
        return socket

    async def _obey(self, socket: web.WebSocketResponse, followed: set[str], text: str) -> None:
        change = self._recorded.command(orjson.loads(text))
        followed -= change.left
        followed |= change.joined
        await socket.send_str(change.answer)
        self._note_asked()

    def _note_asked(self) -> None:
        self._asked_at = monotonic()
        self._asked.set()


def _index(capture: Capture, recorded: Recorded) -> dict[tuple[str, str | None], str]:
    """The first recorded answer by path and market."""
    found: dict[tuple[str, str | None], str] = {
        (path, None): text for path, text in recorded.constants.items()
    }
    for body in capture.bodies():
        found.setdefault((body.path, body.query.get(recorded.subject)), body.text)
    return found
