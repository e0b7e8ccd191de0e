"""A raw client of a simulated venue, and what it is told by the truth log."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from simulator.server import Server
from tests.venues import listed

PATHS = {
    "binance": "ws",
    "bybit": "v5/public/linear",
    "bitget": "v2/ws/public",
    "htx": "linear-swap-ws",
    "gate": "v4/ws/usdt",
    "okx": "ws/v5/public",
    "krakenfutures": "ws/v1",
    "coinbaseinternational": "ws/api/v2",
}
IDS = {
    "htx": "BTC-USDT",
    "gate": "BTC_USDT",
    "okx": "BTC-USDT-SWAP",
    "krakenfutures": "PF_XBTUSD",
    "coinbaseinternational": "BTC_USDC-PERPETUAL",
}
BOOKS = {
    "binance": "u",
    "bybit": "u",
    "bitget": "seq",
    "htx": "version",
    "gate": "u",
    "okx": "seqId",
    "krakenfutures": "seq",
    "coinbaseinternational": "change_id",
}


def market_id(venue: str) -> str:
    return IDS.get(venue, "BTCUSDT")


def command(venue: str, what: str, add: bool = True) -> dict[str, Any]:
    """To follow the trades or the book of BTC, or to stop."""
    trades, verb = what == "trades", "subscribe" if add else "unsubscribe"
    match venue:
        case "binance":
            stream = "btcusdt@aggTrade" if trades else "btcusdt@depth"
            return {"method": verb.upper(), "params": [stream], "id": 1}
        case "bybit":
            return {
                "op": verb,
                "args": ["publicTrade.BTCUSDT" if trades else "orderbook.50.BTCUSDT"],
            }
        case "bitget":
            channel = "trade" if trades else "books"
            row = {"instType": "USDT-FUTURES", "channel": channel, "instId": "BTCUSDT"}
            return {"op": verb, "args": [row]}
        case "okx":
            row = {"channel": "trades" if trades else "books", "instId": "BTC-USDT-SWAP"}
            return {"op": verb, "args": [row]}
        case "krakenfutures":
            feed = "trade" if trades else "book"
            return {"event": verb, "feed": feed, "product_ids": ["PF_XBTUSD"]}
        case "htx":
            kind = "trade.detail" if trades else "depth.size_20.high_freq"
            key = "sub" if add else "unsub"
            return {key: f"market.BTC-USDT.{kind}", "data_type": "incremental", "id": "1"}
        case "coinbaseinternational":
            channel = f"{'trades' if trades else 'book'}.BTC_USDC-PERPETUAL.100ms"
            method = f"public/{verb}"
            return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"channels": [channel]}}
    channel = "futures.trades" if trades else "futures.order_book_update"
    payload = ["BTC_USDT"] if trades else ["BTC_USDT", "100ms", "20"]
    return {"id": 1, "channel": channel, "event": verb, "payload": payload}


def decoded(message: aiohttp.WSMessage) -> Any:
    data = message.data
    return orjson.loads(gzip.decompress(data) if isinstance(data, bytes) else data)


def found(message: Any, name: str) -> list[Any]:
    """All values under the key `name`, at any depth."""
    if isinstance(message, dict):
        own = [message[name]] if name in message else []
        return own + [value for part in message.values() for value in found(part, name)]
    if isinstance(message, list):
        return [value for part in message for value in found(part, name)]
    return []


class Wire:
    """A raw client of one venue."""

    def __init__(self, server: Server, venue: str, http: aiohttp.ClientSession) -> None:
        self.server, self.venue, self.http = server, venue, http
        self.root = f"http://127.0.0.1:{server.port}"
        self.btc = listed(venue, "BTC/USDT:USDT")

    async def asked(self, method: str, route: str, /, **body: Any) -> tuple[int, Any]:
        async with self.http.request(method, self.root + route, json=body or None) as answer:
            return answer.status, await answer.json()

    async def fault(self, fault: str, **parameters: Any) -> str:
        body = {"venue": self.venue, "fault": fault, **parameters}
        status, answer = await self.asked("POST", "/_faults", **body)
        assert status == 200, answer
        return str(answer["id"])

    async def heal(self, id_: str) -> None:
        status, answer = await self.asked("DELETE", f"/_faults/{id_}")
        assert status == 200, answer

    @asynccontextmanager
    async def socket(
        self, what: str | None = None
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        url = f"{self.root}/{self.venue}/{PATHS[self.venue]}"
        async with self.http.ws_connect(url, autoclose=False, autoping=False) as socket:
            if what:
                await socket.send_json(command(self.venue, what))
                sought = self.lines("sent")
                while len(self.lines("sent")) < len(sought) + 2:
                    await self.receive(socket)
            yield socket

    async def receive(self, socket: aiohttp.ClientWebSocketResponse) -> aiohttp.WSMessage:
        return await socket.receive(timeout=5)

    async def ids(
        self, socket: aiohttp.ClientWebSocketResponse, name: str, count: int
    ) -> list[Any]:
        """Of the next `count` frames that have one."""
        ids: list[Any] = []
        while len(ids) < count:
            message = await self.receive(socket)
            if message.type is not aiohttp.WSMsgType.PONG:
                ids += found(decoded(message), name)[:1]
        return ids

    def lines(self, event: str, **facts: object) -> list[dict[str, Any]]:
        lines = (orjson.loads(line) for line in self.server.truth.after(0, self.venue)[1])
        wanted = {"event": event, **facts}
        return [line for line in lines if wanted.items() <= line.items()]

    def applied(self, fault: str) -> list[dict[str, Any]]:
        return self.lines("fault", fault=fault, step="applied")

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not holds():  # noqa: ASYNC110 - the condition has no event
                await asyncio.sleep(0.02)
