"""`python -m bench.venue`: a server that speaks binance's protocol and does nothing but send.

Frames of quotes and trades are rendered before they are due (`bench.tape`); what is left while they
go out is one write a tick and connection. Orders come as JSON lines on stdin, answers go to stdout:

    {"play": {"rate": R, "seconds": S}}  -> {"start_s": T}, at the end {"frames", "late_ms", "last"}
    {"streams": {}}                      -> {"subscribed": {kind: count}}
    {"unsent": {}}                       -> {"unsent": bytes that connections have not taken}
"""

import argparse
import asyncio
import sys
import time
from asyncio import Transport
from typing import Any

import orjson
import uvloop
from aiohttp import WSMsgType, web

from bench.listing import ASK, PRICE, Listing
from bench.tape import NUMBER_BASE, QUOTE, TICK_S, TRADE, Stream, render

DEPTH = "depth"
#: Books change slowly: they have to live, and are not what is counted.
DEPTH_INTERVAL_S = 2.0
_LEAD_S = 0.2  # from the end of rendering to the first tick
_FIRST_UPDATE = 1_000_000


class Venue:
    """The streams that clients have subscribed to, and the connection of each."""

    def __init__(self, markets: int, levels: int, depth_interval_s: float) -> None:
        self.listing = Listing(markets, levels)
        self._depth_interval_s = depth_interval_s
        self._hot: dict[tuple[str, str], tuple[Stream, Transport]] = {}
        self._books: dict[str, Transport] = {}  # by market
        self._updates = dict.fromkeys(self.listing.ids, _FIRST_UPDATE)
        self._numbers: dict[tuple[str, str], int] = {}

    # --- clients

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._socket(request)
        if request.path == "/fapi/v1/depth":
            id_ = request.query["symbol"]
            body: Any = self.listing.depth(self._updates[id_], request.query)
        else:
            body = self.listing.body(request.path)
        if body is None:
            return web.Response(status=404, body=b'{"code":-5000,"msg":"Path is invalid"}')
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def _socket(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        transport, combined = request.transport, request.path.endswith("/stream")
        assert transport is not None
        for name in filter(None, request.query.get("streams", "").split("/")):
            self._subscribe(name, transport, combined)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    command = orjson.loads(message.data)
                    self._obey(command, transport, combined)
                    await socket.send_str(
                        orjson.dumps({"result": None, "id": command.get("id")}).decode()
                    )
        finally:
            self._forget(transport)
        return socket

    def _obey(self, command: dict[str, Any], transport: Transport, combined: bool) -> None:
        for name in command.get("params") or []:
            if command["method"] == "SUBSCRIBE":
                self._subscribe(name, transport, combined)
            elif command["method"] == "UNSUBSCRIBE":
                self._unsubscribe(name)

    def _subscribe(self, name: str, transport: Transport, combined: bool) -> None:
        id_, kind = _parsed(name)
        if kind == DEPTH:
            self._books[id_] = transport
        elif kind in (QUOTE, TRADE):
            stream = Stream(id_, kind, combined, self._numbers.get((id_, kind), 0))
            self._hot[id_, kind] = stream, transport

    def _unsubscribe(self, name: str) -> None:
        id_, kind = _parsed(name)
        if kind == DEPTH:
            self._books.pop(id_, None)
        elif (id_, kind) in self._hot:
            self._numbers[id_, kind] = self._hot.pop((id_, kind))[0].number

    def _forget(self, transport: Transport) -> None:
        for key, (_, theirs) in list(self._hot.items()):
            if theirs is transport:
                self._unsubscribe(f"{key[0].lower()}@{key[1]}")
        self._books = {id_: t for id_, t in self._books.items() if t is not transport}

    # --- frames

    async def keep_books_alive(self) -> None:
        """One small change a book each `depth_interval_s`, books spread over it."""
        while True:
            ids = list(self._books)
            if not ids:
                await asyncio.sleep(0.1)
            for id_ in ids:
                await asyncio.sleep(self._depth_interval_s / len(ids))
                update = self._updates[id_] + 1
                level, size = update % 20, f"{1 + update % 9}.5"
                bids = [[f"{PRICE - level / 10:.1f}", size]]
                self._change(id_, bids, [[f"{ASK + level / 10:.1f}", size]])

    def _change(self, id_: str, bids: list[list[str]], asks: list[list[str]]) -> None:
        delta, transport = self._delta(id_, bids, asks), self._books.get(id_)
        if transport is not None and not transport.is_closing():
            transport.write(delta)

    def _delta(self, id_: str, bids: list[list[str]], asks: list[list[str]]) -> bytes:
        before = self._updates[id_]
        self._updates[id_] = update = before + 1
        now = time.time_ns() // 1_000_000
        body = orjson.dumps(
            {
                "e": "depthUpdate",
                "E": now,
                "T": now,
                "s": id_,
                "U": update,
                "u": update,
                "pu": before,
                "b": bids,
                "a": asks,
            }
        )
        return b"\x81\x7e" + len(body).to_bytes(2) + body

    async def play(self, rate: float, seconds: float) -> dict[str, Any]:
        """Open loop: a client that does not keep up changes nothing about what is due."""
        hot = sorted(self._hot.items(), key=lambda item: item[0])
        streams = [pair for _, pair in hot]
        # Rendering costs about 2 µs a frame and is over before the first tick is due.
        start_s = time.time() + _LEAD_S + 6e-6 * rate * seconds
        started = time.monotonic() + start_s - time.time()
        tape = render(streams, rate, seconds, start_s)
        say({"start_s": start_s, "rendered_s": start_s - time.time()})
        late_s = 0.0
        for number, tick in enumerate(tape.ticks, start=1):
            wait = started + number * TICK_S - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            else:
                late_s = max(late_s, -wait)
                await asyncio.sleep(0)
            for transport, data in tick:
                if not transport.is_closing():
                    transport.write(data)
        for stream, _ in streams:
            if stream.kind == QUOTE and stream.number:
                price = NUMBER_BASE + stream.number
                changes = self.listing.quote(stream.id, f"{price}.10", f"{price}.20")
                self._change(stream.id, *changes)
        return {
            "frames": tape.frames,
            "size": tape.size,
            "late_ms": round(1000 * late_s, 1),
            "ended_s": time.time(),
            "last": {f"{id_}@{kind}": stream.number for (id_, kind), (stream, _) in hot},
        }

    def subscribed(self) -> dict[str, int]:
        kinds = [kind for _, kind in self._hot]
        return {QUOTE: kinds.count(QUOTE), TRADE: kinds.count(TRADE), DEPTH: len(self._books)}

    def unsent(self) -> int:
        transports = {id(t): t for _, t in self._hot.values()}.values()
        return sum(transport.get_write_buffer_size() for transport in transports)


def _parsed(name: str) -> tuple[str, str]:
    """`s000usdt@depth@100ms` as market id and kind."""
    id_, _, stream = name.partition("@")
    return id_.upper(), stream.partition("@")[0]


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(answer).decode() + "\n")
    sys.stdout.flush()


async def obey(venue: Venue) -> None:
    """Orders from stdin until it ends, one after the other."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        for order, arguments in orjson.loads(line).items():
            if order == "play":
                say(await venue.play(**arguments))
            elif order == "streams":
                say({"subscribed": venue.subscribed()})
            elif order == "unsent":
                say({"unsent": venue.unsent()})


async def serve(given: argparse.Namespace) -> None:
    venue = Venue(given.markets, given.levels, given.depth_interval)
    runner = web.ServerRunner(web.Server(venue.handle), shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    say({"port": runner.addresses[0][1]})
    books = asyncio.create_task(venue.keep_books_alive())
    await obey(venue)
    books.cancel()
    await asyncio.gather(books, return_exceptions=True)
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, default=200)
    parser.add_argument("--levels", type=int, default=50)
    parser.add_argument("--depth-interval", type=float, default=DEPTH_INTERVAL_S)
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
