"""The HTTP and websocket server below which each venue lives under its own name."""

import asyncio
import gc
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import cycle
from pathlib import Path
from time import time

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from simulator.beat import Beat
from simulator.clock import SKEW_MS, now_s
from simulator.dialect import Reply
from simulator.faults.control import Control
from simulator.happening import Rates
from simulator.listener import Listener
from simulator.market import Market
from simulator.session import Session
from simulator.truth import Truth
from simulator.universe import instruments
from simulator.venue import Venue, open_venue
from simulator.venues import DIALECTS

IDLE_TICK_S = 0.02
"""How often due events are looked for while nobody listens; else each millisecond."""
CLOSE_GRACE_S = 0.5
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Settings:
    host: str = "127.0.0.1"
    port: int = 8900
    seed: int = 7
    symbols: int | None = None
    rates: Rates = field(default_factory=Rates)
    truth: Path | None = None


class Server:
    """`async with Server(settings) as server:` listens at `server.port` until left."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.truth = Truth(settings.truth)
        self.venues: dict[str, Venue] = {
            name: open_venue(
                dialect,
                instruments(name, settings.symbols),
                settings.seed,
                settings.rates,
                self.truth,
            )
            for name, dialect in DIALECTS.items()
        }
        self._control = Control(self.venues)
        self.port = 0
        self.paused = False
        """Nothing new happens while it is set; what has happened is still answered."""
        self._connections = 0
        self._second = int(time())
        self._runner: web.ServerRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._own_paths = {
            "/health": self._health,
            "/_truth": self._truth,
            "/_subscriptions": self._subscriptions,
            "/_book": self._book,
            "/_trades": self._trades,
        }

    # --- life

    async def __aenter__(self) -> "Server":
        self._runner = web.ServerRunner(
            Listener(self._handle), shutdown_timeout=CLOSE_GRACE_S, handle_signals=False
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        gc.freeze()  # full collections of all markets would be pauses of up to 60 ms
        self._tasks = [asyncio.create_task(self._pump()), asyncio.create_task(self.truth.run())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._close_sessions()
        if self._runner is not None:
            await self._runner.cleanup()
        self.truth.close()

    async def _close_sessions(self) -> None:
        sessions = [
            session for venue in self.venues.values() for session in venue.sessions.values()
        ]
        closing = [session.close(WSCloseCode.GOING_AWAY) for session in sessions]
        with suppress(TimeoutError):
            await asyncio.wait_for(
                asyncio.gather(*closing, return_exceptions=True), timeout=CLOSE_GRACE_S
            )
        for session in sessions:
            session.abort("shutdown")

    async def _pump(self) -> None:
        """Let due events happen, on and on."""
        sleepers = cycle(self.venues.values())
        with Beat() as beat:
            while True:
                await (beat.next() if self._followed() else asyncio.sleep(IDLE_TICK_S))
                self._expire_faults()
                if not self.paused:
                    self._happen(time())
                    next(sleepers).rouse()

    def _expire_faults(self) -> None:
        for venue in self.venues.values():
            if venue.faults.active:
                venue.faults.expire()

    def _happen(self, now_s: float) -> None:
        for venue in self.venues.values():
            venue.drive()
        if int(now_s) != self._second:
            self._second = int(now_s)
            self._each_second(int(1000 * now_s))

    def _followed(self) -> bool:
        return any(venue.followed for venue in self.venues.values())

    def _each_second(self, now_ms: int) -> None:
        for venue in self.venues.values():
            for session in list(venue.sessions.values()):
                venue.dialect.heartbeat(session, now_ms + int(venue.skew_ms))

    # --- venues

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        own = self._own_paths.get(request.path)
        if own is not None:
            return own(request)
        if request.path.startswith("/_faults"):
            return await self._control.answer(request)
        name, _, rest = request.path[1:].partition("/")
        venue, path = self.venues.get(name), f"/{rest}"
        if venue is None:
            return web.Response(status=404, text="no such venue")
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._socket(request, venue, path)
        SKEW_MS.set(venue.skew_ms)
        fault = venue.faults.request(path) if venue.faults.active else None
        reply, weight = self._rest(request, venue, path)
        if fault is not None:
            reply = fault.reply(reply)
        self.truth.note(
            venue.name,
            "rest",
            method=request.method,
            path=path,
            query=request.query_string,
            status=reply.status,
            weight=weight,
        )
        if fault is not None:
            facts = {"method": request.method, "path": path, "query": request.query_string}
            fault.apply(**facts, status=reply.status)
            return await fault.send(request, reply)
        return web.Response(
            status=reply.status,
            body=reply.body,
            headers={"Date": formatdate(now_s(), usegmt=True)} | reply.headers,
            content_type=reply.content_type,
        )

    def _rest(self, request: web.BaseRequest, venue: Venue, path: str) -> tuple[Reply, int]:
        dialect, query, now_s = venue.dialect, request.query, time()
        if request.method != "GET":
            return dialect.unknown_path(path).reply(), 0
        charge = dialect.charge(path, query)
        limit = dialect.limits[charge.limit]
        used, allowed = venue.meter.spend(request.remote or "", charge, limit, now_s)
        headers = dialect.usage(charge, used)
        if not allowed:
            wait_s = venue.meter.retry_after_s(limit, now_s)
            refusal = dialect.too_many(wait_s).reply()
            headers |= {"Retry-After": str(wait_s)} if dialect.says_retry_after else {}
            return Reply(refusal.status, refusal.body, headers), charge.weight
        reply = dialect.answer(path, query)
        return Reply(reply.status, reply.body, headers | reply.headers), charge.weight

    async def _socket(
        self, request: web.BaseRequest, venue: Venue, path: str
    ) -> web.StreamResponse:
        if not venue.dialect.has_socket(path):
            return web.Response(status=404)
        refused = venue.faults.upgrade() if venue.faults.active else None
        if refused is not None:
            return await refused.answer(path)
        # Frames are encoded once for all clients, so none of them gets compression.
        socket = web.WebSocketResponse(
            compress=False, heartbeat=venue.dialect.websocket_ping_s, timeout=CLOSE_GRACE_S
        )
        await socket.prepare(request)
        self._connections += 1
        session = Session(venue, self._connections, path, socket)
        session.attach(request.transport)
        venue.sessions[session.number] = session
        venue.dialect.opened(session)
        self.truth.note(venue.name, "open", conn=session.number, path=path)
        if venue.faults.active:
            venue.faults.opened(session)
        try:
            with suppress(ConnectionResetError):  # cut while a ping is answered
                await self._listen(session, socket)
        finally:
            session.leave_all()
            del venue.sessions[session.number]
            code = socket.close_code
            self.truth.note(venue.name, "close", conn=session.number, code=code)
        return socket

    async def _listen(self, session: Session, socket: web.WebSocketResponse) -> None:
        venue = session.venue
        async for message in socket:
            await session.thawed.wait()
            if message.type is not WSMsgType.TEXT:
                continue
            self.truth.note(venue.name, "received", conn=session.number, raw=message.data)
            SKEW_MS.set(venue.skew_ms)
            session.heard_ms = venue.now_ms()
            venue.dialect.receive(session, message.data)

    # --- what tests and operators ask

    def _health(self, _request: web.BaseRequest) -> web.Response:
        sessions = {name: len(venue.sessions) for name, venue in self.venues.items()}
        return _json({"status": "ok", "sessions": sessions})

    def _truth(self, request: web.BaseRequest) -> web.Response:
        """`?after=LINE&venue=NAME`: {"next": last line's number, "lines": [...]}."""
        after = int(request.query.get("after", "0"))
        last, lines = self.truth.after(after, request.query.get("venue"))
        body = f'{{"next":{last},"lines":[{",".join(lines)}]}}'
        return web.Response(text=body, content_type=JSON)

    def _subscriptions(self, _request: web.BaseRequest) -> web.Response:
        return _json({name: venue.subscriptions() for name, venue in self.venues.items()})

    def _asked(self, request: web.BaseRequest) -> tuple[Venue, Market] | None:
        venue = self.venues.get(request.query.get("venue", ""))
        market = venue.market(request.query.get("id", "")) if venue else None
        return (venue, market) if venue and market else None

    def _trades(self, request: web.BaseRequest) -> web.Response:
        """`?venue=NAME&id=MARKET&after=ID`: what was traded, oldest first, sizes in base."""
        asked = self._asked(request)
        if asked is None:
            return web.Response(status=404, text="no such market")
        venue, market = asked
        rows = [
            {
                "id": venue.dialect.trade_id(market, trade),
                "price": market.price_text(trade.price),
                "size": market.base_text(trade.size),
                "side": "buy" if trade.taker_buys else "sell",
                "t": trade.t_ms,
            }
            for trade in market.trades
        ]
        after = request.query.get("after")
        cut = next((n for n, row in enumerate(rows, 1) if row["id"] == after), None)
        if after is not None and cut is None:
            return web.Response(status=404, text=f"no trade {after} among those kept")
        return _json({"trades": rows[cut or 0 :]})

    def _book(self, request: web.BaseRequest) -> web.Response:
        """`?venue=NAME&id=MARKET&levels=N&push=1`: the whole truth about a book, sizes in base.

        `update_id` is the book's own, `stream_id` the last id of the push of depth that was last;
        with `push` one is made now, so that both are of the same moment.
        """
        asked = self._asked(request)
        if asked is None:
            return web.Response(status=404, text="no such market")
        venue, market = asked
        if request.query.get("push") == "1":
            venue.push(market)
        view = market.book.view(int(request.query.get("levels", "20")))
        sides: dict[str, list[tuple[str, str]]] = {"bids": [], "asks": []}
        for key, size in view.items():
            level = (market.price_text(abs(key)), market.base_text(size))
            sides["bids" if key > 0 else "asks"].append(level)
        ids = {"update_id": market.book.update_id, "stream_id": venue.dialect.book_id(market)}
        return _json({**ids, **sides})


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type=JSON)
