"""Whether trades of some symbols come, and from which venues."""

import time

from shared.broker import Broker, own_queue
from shared.symbols import symbol_key


class Flow:
    """`run` listens; `silent_s` tells since when nothing has come."""

    def __init__(self, broker: Broker, symbols: tuple[str, ...]) -> None:
        self._broker = broker
        self._symbols = symbols
        self._began = time.monotonic()
        self._came: dict[tuple[str, str], float] = {}  # by venue and symbol key, monotonic

    async def run(self) -> None:
        bindings = [("futures_data", f"trades.*.{symbol_key(symbol)}") for symbol in self._symbols]
        async with await self._broker.connect("flow") as connection:
            channel = await connection.channel(publisher_confirms=False)
            queue = await own_queue(channel, "client", "flow", bindings)
            async for message in queue.iterator(no_ack=True):
                _, venue, key = (message.routing_key or "").split(".")
                self._came[venue, key] = time.monotonic()

    def silent_s(self, venue: str, symbol: str) -> float:
        """Seconds since the last trade of a symbol, or since the beginning."""
        return time.monotonic() - self._came.get((venue, symbol_key(symbol)), self._began)
