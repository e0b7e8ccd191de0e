"""Order books on the wire, without a wire: a simulated venue's own frames and snapshots, and what
its book truly was at each update."""

import gzip
import random
from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import Any

import orjson

from simulator.happening import Rates
from simulator.market import Market
from simulator.session import Session
from simulator.truth import Truth
from simulator.universe import instruments
from simulator.venue import open_venue
from simulator.venues import DIALECTS
from workers.collector.events import BookUpdate
from workers.collector.venues.binance import Binance
from workers.collector.venues.bitget import Bitget
from workers.collector.venues.bybit import Bybit
from workers.collector.venues.coinbaseinternational import Coinbaseinternational
from workers.collector.venues.gate import Gate
from workers.collector.venues.htx import Htx
from workers.collector.venues.okx import Okx

Levels = list[list[float]]
STEP_MS = 200
#: By venue: how its depth is subscribed, for a market id.
_SUBSCRIBE: dict[str, Callable[[str], object]] = {
    "binance": lambda id_: {
        "method": "SUBSCRIBE",
        "params": [f"{id_.lower()}@depth@100ms"],
        "id": 1,
    },
    "bybit": lambda id_: {"op": "subscribe", "req_id": 1, "args": [f"orderbook.1000.{id_}"]},
    "bitget": lambda id_: {
        "op": "subscribe",
        "args": [{"instType": "USDT-FUTURES", "channel": "books", "instId": id_}],
    },
    "htx": lambda id_: {
        "sub": f"market.{id_}.depth.size_150.high_freq",
        "data_type": "incremental",
        "id": "1",
    },
    "okx": lambda id_: {"op": "subscribe", "args": [{"channel": "books", "instId": id_}]},
    "gate": lambda id_: {
        "id": 1,
        "time": 1,
        "channel": "futures.order_book_update",
        "event": "subscribe",
        "payload": [id_, "100ms", "100"],
    },
    "coinbaseinternational": lambda id_: {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "public/subscribe",
        "params": {"channels": [f"book.{id_}.100ms"]},
    },
}
_PATHS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "okx": ("/ws/v5/public", "", "", {}),
    "binance": ("/public/ws/0", "/fapi/v1/depth", "symbol", {"limit": "1000"}),
    "gate": (
        "/v4/ws/usdt",
        "/api/v4/futures/usdt/order_book",
        "contract",
        {"limit": "100", "with_id": "true"},
    ),
}
_CLASSES: dict[str, Any] = {
    "binance": Binance,
    "bybit": Bybit,
    "bitget": Bitget,
    "htx": Htx,
    "gate": Gate,
    "okx": Okx,
    "coinbaseinternational": Coinbaseinternational,
}
VENUES = tuple(_SUBSCRIBE)


class _Socket(Session):
    """Keeps what would be sent, each frame with the book as it is at that moment."""

    def __init__(self, venue: Any, path: str, truth: Callable[[], tuple[Levels, Levels]]) -> None:
        super().__init__(venue, 1, path, None)  # type: ignore[arg-type]
        self.sent: list[tuple[bytes, tuple[Levels, Levels]]] = []
        self._book = truth

    def _write(self, data: bytes) -> None:
        self.sent.append((_payload(data), self._book()))


@dataclass(frozen=True)
class Moment:
    """An update as the collector's peel reads it, and the venue's book after it."""

    update: BookUpdate
    bids: Levels
    asks: Levels


class BookWire:
    """One market of one simulated venue, moved by the test."""

    def __init__(self, venue: str, seed: int, depth: int) -> None:
        self.venue, self._depth = venue, depth
        rates = Rates(ticker=4.0, book=1000 / STEP_MS, trade=2.0)
        self._sim = open_venue(DIALECTS[venue], instruments(venue, 1), seed, rates, Truth())
        self._market: Market = self._sim.markets[0]
        self._peel = _CLASSES[venue]({}).peel
        self._prices: dict[int, float] = {}  # as floats, by key of a level
        self._amounts: dict[int, float] = {}  # by units
        self._now_ms = time() * 1000
        self._sim.now_ms = lambda: self._now_ms  # type: ignore[method-assign]
        self._socket = self._open()
        self.random = random.Random(seed)

    def subscribe(self) -> list[Moment]:
        """A new subscription; what it brings at once."""
        self._socket.leave_all()
        self._socket = self._open()
        return self._moments()

    def step(self) -> list[Moment]:
        """What the next moments bring."""
        self._now_ms += STEP_MS
        self._sim.drive()
        return self._moments()

    def snapshot(self) -> BookUpdate:
        """The answer of the REST request from which the collector would start."""
        _, path, subject, query = _PATHS[self.venue]
        market_id = self._market.instrument.id
        handler = self._sim.dialect.handler(path)
        assert handler is not None
        body: Any = handler({subject: market_id} | query)
        number = body.get("lastUpdateId", body.get("id"))
        sides = [
            [tuple(row.values()) if isinstance(row, dict) else row for row in body[side]]
            for side in ("bids", "asks")
        ]
        return BookUpdate(market_id, True, sides[0], sides[1], None, number)

    def _book(self) -> tuple[Levels, Levels]:
        market, view = self._market, self._market.book.view(self._depth)
        sides: tuple[Levels, Levels] = [], []
        for key, size in view.items():
            if key not in self._prices:
                self._prices[key] = float(market.price_text(abs(key)))
            if size not in self._amounts:
                self._amounts[size] = self._amount(size)
            sides[key < 0].append([self._prices[key], self._amounts[size]])
        return sides

    def _amount(self, units: int) -> float:
        """As the venue's frames count it."""
        if self.venue == "okx":
            return float(self._market.lots_text(units))
        if self.venue in ("htx", "gate"):
            return float(units)
        return float(self._market.base_text(units))

    def _open(self) -> _Socket:
        path = _PATHS.get(self.venue, ("/", "", "", {}))[0]
        socket = _Socket(self._sim, path, self._book)
        command = _SUBSCRIBE[self.venue](self._market.instrument.id)
        self._sim.dialect.receive(socket, orjson.dumps(command).decode())
        return socket

    def _moments(self) -> list[Moment]:
        sent, self._socket.sent = self._socket.sent, []
        return [
            Moment(event, *book)
            for payload, book in sent
            for event in self._peel(orjson.loads(payload)) or ()
            if isinstance(event, BookUpdate)
        ]


def _payload(frame: bytes) -> bytes:
    """Of one unmasked websocket frame."""
    size = frame[1] & 127
    body = frame[2:] if size < 126 else frame[4:] if size == 126 else frame[10:]
    return gzip.decompress(body) if frame[0] == 0x82 else body
