"""The tap of a recording, on ccxt's own websocket client and on real requests."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from ccxt.async_support.base.ws.client import Client

from shared.clock import SystemClock
from tests.waiting import eventually
from workers.collector.recording.tap import Tap
from workers.collector.recording.tape import NO_WIRE, Tape
from workers.collector.recording.writer import encoded
from workers.collector.rest_trace import RestTrace

KEY, SECRET = "the-api-key-of-somebody", "the-secret"


def directions(of: Tape) -> list[str]:
    return [entry[2] for entry in of.entries]


@asynccontextmanager
async def venue(requests: list[web.Request]) -> AsyncIterator[TestServer]:
    """Answers each frame as text and as bytes, and ends the connection when it is asked to."""

    async def talk(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.data == "end":
                await socket.close(code=4001)
                break
            await socket.send_str(f"got {message.data}")
            await socket.send_bytes(gzip.compress(b"binary"))
        return socket

    async def answer(request: web.Request) -> web.Response:
        requests.append(request)
        headers = {"X-MBX-USED-WEIGHT-1M": "7", "Set-Cookie": "session=private", "Date": "today"}
        return web.json_response({"price": "1"}, headers=headers)

    app = web.Application()
    app.add_routes([web.get("/ws", talk), web.get("/rest", answer)])
    server = TestServer(app)
    await server.start_server()
    try:
        yield server
    finally:
        await server.close()


class Heard:
    """ccxt's own client, with a tap on it; what its exchange hears."""

    def __init__(self, url: str, full: Tape) -> None:
        self.messages: list[Any] = []
        self.connected = self.closed = 0
        self.errors: list[Exception] = []
        self.client: Any = Client(
            url,
            lambda _client, message: self.messages.append(message),
            lambda _client, error: self.errors.append(error),
            self._on_close,
            self._on_connected,
            {"gunzip": True, "keepAlive": 30_000},
        )
        self.client.asyncio_loop = asyncio.get_running_loop()
        Tap(full, (KEY, SECRET, "")).attach(self.client)

    def _on_connected(self, _client: Any) -> None:
        self.connected += 1

    def _on_close(self, _client: Any, _code: int) -> None:
        self.closed += 1


async def test_a_tap_takes_the_life_of_a_connection_and_changes_nothing_of_it() -> None:
    full = Tape(time.time_ns)
    async with venue([]) as server, aiohttp.ClientSession() as session:
        url = (
            f"ws://somebody:word@{server.host}:{server.port}/ws?listenKey=private&apiKey=x&depth=5"
        )
        heard = Heard(url, full)
        await heard.client.connect(session)
        await heard.client.send({"op": "login", "key": KEY, "sign": SECRET})
        await eventually(lambda: len(heard.messages) == 2)
        await heard.client.send("end")
        await eventually(lambda: heard.closed)  # ccxt says it twice
        await asyncio.sleep(0)

    assert heard.connected == 1
    assert heard.errors == []
    received = f'got {{"op":"login","key":"{KEY}","sign":"{SECRET}"}}'
    assert heard.messages == [received, "binary"], "the venue got what was sent"
    assert directions(full) == ["open", "send", "recv", "recv", "send", "close"]
    _, login, text, binary, end, close = full.entries
    assert login[3] == '{"op":"login","key":"***","sign":"***"}'
    assert text[3] == received
    assert gzip.decompress(binary[3]) == b"binary"  # type: ignore[arg-type]
    assert end[3] == "end"
    assert close[4] == {"code": 4001, "by": "venue"}
    told = login[1].url
    assert not any(hidden in told for hidden in ("private", "somebody", "word"))
    assert "apiKey=***" in told
    assert "depth=5" in told
    assert {entry[1].number for entry in full.entries} == {1}


@pytest.mark.parametrize("by", ["us", "error"])
async def test_a_connection_that_we_end_is_closed_once(by: str) -> None:
    full = Tape(time.time_ns)
    async with venue([]) as server, aiohttp.ClientSession() as session:
        heard = Heard(f"ws://{server.host}:{server.port}/ws", full)
        await heard.client.connect(session)
        if by == "us":
            await heard.client.close()
        else:
            heard.client.on_error(ConnectionError("dropped"))
            await eventually(heard.client.closed)
    assert directions(full) == ["open", "close"]
    facts = full.entries[1][4]
    assert facts is not None
    assert facts["by"] == by


async def test_a_connection_that_never_was_leaves_nothing() -> None:
    full = Tape(time.time_ns)
    async with aiohttp.ClientSession() as session:
        heard = Heard("ws://127.0.0.1:9/ws", full)
        heard.client.connect(session)
        await eventually(lambda: heard.errors)
    assert directions(full) == []


async def test_a_tap_takes_the_answers_of_rest() -> None:
    full, requests = Tape(time.time_ns), list[web.Request]()
    trace = RestTrace(SystemClock())
    trace.on_body = Tap(full, (SECRET,)).on_body
    before = time.time_ns()
    async with venue(requests) as server, aiohttp.ClientSession() as session:
        trace.follow(session)
        url = f"http://user:{SECRET}@{server.host}:{server.port}/rest"
        query = f"symbol=A&signature={SECRET}&note={SECRET}"
        async with session.get(f"{url}?{query}") as response:
            assert await response.json() == {"price": "1"}
    assert requests[0].query["signature"] == SECRET
    (entry,) = full.entries
    assert (entry[1], entry[2], entry[3]) == (NO_WIRE, "rest", b'{"price": "1"}')
    facts = entry[4]
    assert facts is not None
    assert (facts["method"], facts["status"]) == ("GET", 200)
    assert before <= facts["asked"] <= entry[0] <= time.time_ns()
    assert facts["url"].endswith("/rest?symbol=A&signature=***&note=***")
    assert SECRET not in str(facts)
    kept = {name.lower() for name in facts["headers"]}
    assert kept == {"x-mbx-used-weight-1m", "date", "content-type"}
    assert encoded(entry)
