"""The HTTP listener: aiohttp's, but as lenient with URLs as the servers in front of real venues."""

import asyncio
import re
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

NOT_ASCII = re.compile(rb"[\x80-\xff]")


class _Silent(AbstractAccessLogger):
    @property
    def enabled(self) -> bool:
        return False

    def log(
        self, request: web.BaseRequest, response: web.StreamResponse, request_time: float
    ) -> None:
        """Nothing."""


class Connection(web.RequestHandler):
    """Some clients send UTF-8 in a URL as it is (ccxt's bybit with 币安人生USDT)."""

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET ") and not data.isascii():
            data = NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], data)
        super().data_received(data)


class Listener(web.Server):
    def __init__(self, handler: Handler) -> None:
        super().__init__(handler)

    def __call__(self) -> Connection:
        # Without an access log: every request is in the truth log.
        return Connection(self, loop=asyncio.get_running_loop(), access_log_class=_Silent)
