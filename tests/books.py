"""Order books on the wire, without a wire: a simulated venue's own frames and snapshots, and what
its book truly was at each update."""

import gzip
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from workers.collector.venues.krakenfutures import KrakenFutures
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
    "gate": lambda id_: {
        "id": 1,
        "time": 1,
        "channel": "futures.order_book_update",
        "event": "subscribe",
        "payload": [id_, "100ms", "100"],
    },
    "okx": lambda id_: {"op": "subscribe", "args": [{"channel": "books", "instId": id_}]},
    "krakenfutures": lambda id_: {"event": "subscribe", "feed": "book", "product_ids": [id_]},
    "coinbaseinternational": lambda id_: {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "public/subscribe",
        "params": {"channels": [f"book.{id_}.100ms"]},
    },
}
_PATHS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "okx": ("/ws/v5/public", "", "", {}),
    "krakenfutures": ("/ws/v1", "", "", {}),
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
    "krakenfutures": KrakenFutures,
    "coinbaseinternational": Coinbaseinternational,
}
#: Who tells each change of a level by itself: a moment of the market is several frames.
_ONE_BY_ONE = frozenset({"krakenfutures"})


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
        self._levels = _Levels()
        self._coming: deque[Moment] = deque()
        self._socket = self._open()
        self.random = random.Random(seed)

    def subscribe(self) -> list[Moment]:
        """A new subscription; what it brings at once."""
        self._coming.clear()
        self._socket.leave_all()
        self._socket = self._open()
        return self._moments()

    def step(self) -> list[Moment]:
        """What the next moments bring; the next change, where these are told one by one."""
        if not self._coming:
            self._now_ms += STEP_MS
            self._sim.drive()
            self._coming.extend(self._moments())
        return [self._coming.popleft() for _ in range(1 if self._one_by_one else len(self._coming))]

    @property
    def _one_by_one(self) -> bool:
        return self.venue in _ONE_BY_ONE

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
        moments = [
            Moment(event, *book)
            for payload, book in sent
            for event in self._peel(orjson.loads(payload)) or ()
            if isinstance(event, BookUpdate)
        ]
        return self._one_after_another(moments) if self._one_by_one else moments

    def _one_after_another(self, moments: list[Moment]) -> list[Moment]:
        """The market is ahead of a frame by those that follow at the same moment: what the book is
        after each is counted here, and after the last of them is what the market has."""
        counted = [
            replace(moment, bids=bids, asks=asks)
            for moment in moments
            for bids, asks in (self._levels.after(moment.update, self._depth),)
        ]
        assert counted[-1:] == moments[-1:]
        return counted


class _Levels:
    """Both sides of a book by price, as its updates say."""

    def __init__(self) -> None:
        self._sides: tuple[dict[float, float], dict[float, float]] = {}, {}

    def after(self, update: BookUpdate, depth: int) -> tuple[Levels, Levels]:
        """The best `depth` levels of bids and of asks."""
        if update.snapshot:
            self._sides = {}, {}
        for side, levels in zip(self._sides, (update.bids, update.asks), strict=True):
            side.update({float(level[0]): float(level[1]) for level in levels})
            for price in [float(level[0]) for level in levels if not float(level[1])]:
                side.pop(price, None)
        bids, asks = self._sides
        return (
            [[price, bids[price]] for price in sorted(bids, reverse=True)[:depth]],
            [[price, asks[price]] for price in sorted(asks)[:depth]],
        )


def _payload(frame: bytes) -> bytes:
    """Of one unmasked websocket frame."""
    size = frame[1] & 127
    body = frame[2:] if size < 126 else frame[4:] if size == 126 else frame[10:]
    return gzip.decompress(body) if frame[0] == 0x82 else body
