"""A client of the load source that counts bytes and reads nothing: what the source can do alone."""

import asyncio
import secrets
from base64 import b64encode

from bench.listing import market_ids
from bench.tape import QUOTE, TRADE
from bench.waiting import until


class _Counter(asyncio.Protocol):
    def __init__(self, request: bytes) -> None:
        self.size = 0
        self.opened = asyncio.Event()
        self._request = request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if self.opened.is_set():
            self.size += len(data)
        else:
            self.size = len(data.partition(b"\r\n\r\n")[2])
            self.opened.set()


class Sink:
    """Subscribed to quotes and trades of the first `markets` markets."""

    def __init__(self, transport: asyncio.BaseTransport, counter: _Counter) -> None:
        self._transport = transport
        self._counter = counter

    @classmethod
    async def open(cls, port: int, markets: int) -> "Sink":
        counter = _Counter(_upgrade(markets))
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: counter, "127.0.0.1", port)
        async with asyncio.timeout(10):
            await counter.opened.wait()
        return cls(transport, counter)

    async def received(self, size: int, deadline_s: float) -> bool:
        """Whether so many bytes have come, in time."""
        await until(lambda: self._counter.size >= size, deadline_s, poll_s=0.005)
        return self._counter.size == size

    def close(self) -> None:
        self._transport.close()


def _upgrade(markets: int) -> bytes:
    names = [f"{id_.lower()}@{kind}" for id_ in market_ids(markets) for kind in (QUOTE, TRADE)]
    lines = (
        f"GET /stream?streams={'/'.join(names)} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {b64encode(secrets.token_bytes(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    )
    return "\r\n".join((*lines, "", "")).encode()
