"""A venue of which a test knows all that was traded, and a refill over it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from shared.errors import NetworkError
from shared.kinds import TRADES
from tests.recording import BTC, Recording
from tests.waiting import eventually
from workers.collector.catalogue.row import TradeFeed
from workers.collector.continuity.gaps import Gaps, Mark, Place
from workers.collector.continuity.refill import Refill
from workers.collector.events import Print
from workers.collector.trades.trades import Trades

PLACE = Place(TRADES, BTC)
RECEIVED = 100_000  # after all trades of `Venue`


class Venue:
    """All trades that happened; REST has the last `reach` of them, `limit` an answer."""

    def __init__(self, dense: bool, limit: int = 10, reach: int = 50, pages: bool = True) -> None:
        self.feed = TradeFeed("", dense, limit, pages, "")
        self.happened: list[Print] = []
        self.reach = reach
        self.ms_between = 0.5  # two trades a millisecond: times alone do not tell them apart
        self.away = 0
        self.asked = 0

    def trade(self) -> Print:
        number = len(self.happened) + 100
        name = str(number) if self.feed.dense else f"uuid-{number * 7919 % 1009}-{number}"
        time = 1_000 + int(number * self.ms_between)
        print_ = Print("BTC", name, 10.0 + number, 1.0, "buy", time)
        self.happened.append(print_)
        return print_

    async def fetch_trades(self, symbol: str, older_than: Print | None = None) -> list[Print]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            self.away -= 1
            raise NetworkError("away")
        known = self.happened[-self.reach :]
        if older_than is not None:
            known = known[: next((i for i, t in enumerate(known) if t.id == older_than.id), 0)]
        return known[-self.feed.limit :]


class Desk(Recording):
    """Trades, gaps and a refill over a venue."""

    def __init__(self, venue: Venue) -> None:
        super().__init__()
        self.venue = venue
        self.trades = Trades(self.publishing, dense=venue.feed.dense)
        self.intake.route(Print, self.trades.take)
        self.gaps = Gaps(self.publishing, "w", "w/1")
        self.refill = Refill(venue.feed, self.trades, self.gaps, venue, self.clock)
        self.refill.set_symbols(self.intake.parts)
        self.up = True
        self.refill.running = lambda symbol: self.up
        self.trades.on_jump = self._on_jump

    def _on_jump(self, symbol: str, last: Mark, reason: str) -> None:
        self.gaps.open(PLACE, reason, last)
        self.refill.want(symbol)

    def live(self, count: int) -> None:
        for _ in range(count):
            self.intake.on_events([self.venue.trade()], RECEIVED)

    def missed(self, count: int) -> None:
        """The stream is cut, and the market goes on."""
        self.trades.flow(BTC).cut()
        self.gaps.open(PLACE, "cut", self.trades.flow(BTC).last)
        for _ in range(count):
            self.venue.trade()

    def published(self) -> list[str]:
        return [b["id"] for b in self.bodies() if "price" in b]

    def told(self) -> list[dict[str, Any]]:
        return [orjson.loads(f.body) for f in self.facts if f.kind.name == "gap"]


@asynccontextmanager
async def repairing(desk: Desk) -> AsyncIterator[None]:
    running = asyncio.create_task(desk.refill.run())
    try:
        desk.refill.want(BTC)
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def closed(desk: Desk) -> dict[str, Any]:
    """The gap as it is told last, once it is closed."""
    async with repairing(desk):
        await eventually(lambda: not len(desk.gaps), 5)
    return desk.told()[-1]


def ids(trades: list[Print]) -> list[str]:
    return [trade.id for trade in trades]


def lost(desk: Desk) -> set[str]:
    return set(ids(desk.venue.happened)) - set(desk.published())


def stamped(venue: Venue, time: int) -> Print:
    """A trade that happens at a time of one's choice."""
    venue.trade()
    venue.happened[-1] = venue.happened[-1]._replace(timestamp=time)
    return venue.happened[-1]
