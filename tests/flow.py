"""What a fleet delivers, wherever its workers are: every trade and book, held against the truth."""

from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from time import time
from typing import Any

import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage

from shared.broker import Broker, own_queue
from shared.topology import topology
from tests.hosts import Lab

KINDS = ("trades", "ticker", "orderbook", "futures")
LEVELS = 10
_BOOKS_KEPT = 30

Place = tuple[str, str]  # venue, symbol
Book = dict[str, Any]


@dataclass
class Trade:
    """One trade as often as it came."""

    message_ids: set[str | None] = field(default_factory=set)
    contents: set[tuple[float, float, str]] = field(default_factory=set)  # price, amount, side
    workers: list[str] = field(default_factory=list)


class Flow:
    """Trades, best prices and books by venue and symbol."""

    def __init__(self) -> None:
        self.trades: dict[Place, dict[str, Trade]] = defaultdict(dict)
        self.crossed: list[Book] = []
        self.compared = 0
        self.different: list[tuple[Place, Book, Book]] = []
        self._first: dict[Place, dict[str, float]] = {}
        self._books: dict[Place, deque[Book]] = defaultdict(lambda: deque(maxlen=_BOOKS_KEPT))
        self._truths: dict[tuple[Place, int], Book] = {}

    def take(self, message: AbstractIncomingMessage) -> None:
        kind = (message.routing_key or "").partition(".")[0]
        body, worker = orjson.loads(message.body), str(message.headers["worker"])
        place = (body["exchange"], body["symbol"])
        if kind == "futures":
            self._check_sides(body["orderbook"])
            return
        if kind == "orderbook":
            self._check_sides(body)
            self._books[place].append(body)
            self._compare(place, body)
            return
        self._first.setdefault(place, {}).setdefault(worker, time())
        if kind == "trades":
            trade = self.trades[place].setdefault(body["id"], Trade())
            trade.message_ids.add(message.message_id)
            trade.contents.add((body["price"], body["amount"], body["side"]))
            trade.workers.append(worker)

    def forget(self) -> None:
        """From now on `first` is about what comes."""
        self._first.clear()

    def first(self, place: Place, workers: set[str]) -> float | None:
        """When the first ticker or trade of one of these came, since `forget`."""
        heard = self._first.get(place, {})
        return min((at for worker, at in heard.items() if worker in workers), default=None)

    def places(self) -> set[Place]:
        """Those of which something came since `forget`."""
        return set(self._first)

    def truth(self, place: Place, book: Book) -> None:
        """How a book was at one of its updates; whatever was or will be published of that is
        compared."""
        self._truths[place, book["stream_id"]] = book
        for published in self._books[place]:
            self._compare(place, published)

    def _check_sides(self, book: Book) -> None:
        bids, asks = book["bids"], book["asks"]
        if bids and asks and bids[0][0] > asks[0][0]:
            self.crossed.append(book)

    def _compare(self, place: Place, published: Book) -> None:
        truth = self._truths.get((place, published["update_id"]))
        if truth is None:
            return
        self.compared += 1
        for side in ("bids", "asks"):
            true = [[float(price), float(size)] for price, size in truth[side][:LEVELS]]
            if published[side][:LEVELS] != [pytest.approx(level) for level in true]:
                self.different.append((place, published, truth))

    def unequal(self) -> dict[tuple[Place, str], Trade]:
        """Trades whose copies differ, or do not carry one and the same message id."""
        return {
            (place, id_): trade
            for place, trades in self.trades.items()
            for id_, trade in trades.items()
            if len(trade.message_ids) != 1 or None in trade.message_ids or len(trade.contents) != 1
        }

    def repeated(self) -> int:
        """How many messages were copies of a trade that had come before."""
        each = (trade for trades in self.trades.values() for trade in trades.values())
        return sum(len(trade.workers) - 1 for trade in each)


@asynccontextmanager
async def flowing(lab: Lab) -> AsyncIterator[Flow]:
    """All that is delivered within the block."""
    flow = Flow()
    broker = Broker(lab.amqp_url, "test reader", topology("futures_data"), declares=True)
    async with await broker.connect("read") as connection:
        channel = await connection.channel()
        await broker.declare(channel)
        bindings = [("futures_data", f"{kind}.#") for kind in KINDS]
        queue = await own_queue(channel, "reader", "flow", bindings)

        async def take(message: AbstractIncomingMessage) -> None:
            flow.take(message)

        await queue.consume(take, no_ack=True)
        yield flow


async def happened(lab: Lab, since_ms: int, until_ms: int) -> dict[Place, set[str]]:
    """The ids of all trades of that time, as the venues know them."""
    found: dict[Place, set[str]] = {}
    for place in ((venue, symbol) for venue in lab.venues for symbol in lab.symbols):
        trades = await lab.simulator.trades(place[0], lab.market_ids[place])
        found[place] = {str(one["id"]) for one in trades if since_ms < one["t"] < until_ms}
    return found


def missing(flow: Flow, sent: dict[Place, set[str]]) -> dict[Place, set[str]]:
    """What happened and did not come, by venue and symbol; empty where all came."""
    left = {place: ids - set(flow.trades[place]) for place, ids in sent.items()}
    return {place: ids for place, ids in left.items() if ids}


async def sample_books(lab: Lab, flow: Flow, count: int, random: Random) -> None:
    """Ask the venues how some books are just now."""
    for _ in range(count):
        place = (random.choice(lab.venues), random.choice(lab.symbols))
        flow.truth(place, await lab.simulator.book(place[0], lab.market_ids[place], LEVELS))
