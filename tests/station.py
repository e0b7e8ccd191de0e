"""A Continuity over trades that are real, and other feeds that only listen."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from shared.kinds import GAP
from shared.outbox import Origin
from shared.publisher import Publication
from shared.symbolset import Revision
from tests.recording import BTC, Recording, RecordingOutbox
from tests.refilling import Venue
from workers.collector.catalogue import CATALOGUE
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.continuity.continuity import Continuity, Wanted
from workers.collector.continuity.feeds import Feeds
from workers.collector.events import Acknowledged, Print, Quote
from workers.collector.publishing import Publishing
from workers.collector.trades.trades import Trades
from workers.collector.unified import Market

ETH = "ETH/USDT:USDT"
MARKETS = (Market(BTC, "BTC", 0.001), Market(ETH, "ETH", 0.001))


class PunctualVenue(Venue):
    """Its clock and ours are one."""

    def trade(self) -> Print:
        print_ = super().trade()
        assert print_.timestamp is not None
        self.happened[-1] = print_._replace(timestamp=1_799_999_990_000 + print_.timestamp)
        return self.happened[-1]


class SettlingOutbox(RecordingOutbox):
    """All is with the broker at once."""

    connected = True

    def on_dropped(self, listener: Callable[[Publication, str], None]) -> None:
        self.dropped = listener

    def mark(self) -> int:
        return len(self.facts)

    def settled_up_to(self, mark: int) -> bool:
        return True


class Station(Recording):
    """A Continuity over trades that are real, and other feeds that only listen."""

    def __init__(
        self,
        directory: Path,
        *,
        dense: bool = False,
        collects: bool = True,
        row: str = "bybit",
    ) -> None:
        super().__init__()
        outbox: Any = SettlingOutbox()
        self.facts, self.ledger, self.outbox = outbox.facts, outbox.ledger, outbox
        self.publishing = Publishing("x", outbox, self.quarantine, self.clock)
        self.venue = PunctualVenue(dense)
        self.told_books: list[tuple[str, str]] = []
        self.trades = Trades(self.publishing, dense=dense)
        self.continuity = Continuity(
            replace(CATALOGUE[row], trades=self.venue.feed),
            self.publishing,
            Origin("x", "w", "w/1"),
            self._feeds(),
            directory / "watermarks.json",
        )
        self.continuity.gaps.held = False  # told at once, not when they are on disk
        self.intake.on_awaited = self.continuity.on_awaited
        self.intake.route(Print, self.trades.take)
        self.intake.route(Quote, lambda *_: None)
        self.intake.route(Acknowledged, self.continuity.on_acknowledged)
        self.continuity.watchdog.resubscribe = lambda *_: None
        if collects:
            self.collect(BTC)

    def _feeds(self) -> Feeds:
        venue: Any = self.venue
        venue.drop_connection = lambda _stream: None
        streams: Any = SimpleNamespace(resubscribe=lambda *_: None)
        books: Any = SimpleNamespace(
            lost=lambda symbol, reason: self.told_books.append((symbol, reason)),
            subscribed=lambda symbol: self.told_books.append((symbol, "subscribed")),
        )
        candles: Any = SimpleNamespace(
            on_missing=lambda _listener: None,
            lost=lambda _symbol, _timeframe: None,
            subscribed=lambda _symbol, _timeframe: None,
            awaited=dict,
            last_closed=dict,
            resume=lambda *_: None,
        )
        settlements: Any = SimpleNamespace(published={}, resume=lambda *_: None)
        return Feeds(venue, streams, books, self.trades, candles, settlements)

    def collect(
        self,
        *symbols: str,
        unlisted: Sequence[str] = (),
        revision: Revision | None = None,
        timeframes: Sequence[str] = (),
    ) -> None:
        self.intake.set_markets([market for market in MARKETS if market.symbol in symbols])
        streams = [
            Subscription(kind, symbol, timeframe)
            for symbol in symbols
            for kind in StreamKind
            for timeframe in (timeframes if kind is StreamKind.CANDLES else ("",))
        ]
        self.continuity.set_symbols(self.intake.parts, Wanted(streams, unlisted, revision))

    def up(self, kind: StreamKind = StreamKind.TRADES, id_: str = "BTC", frame: str = "") -> None:
        self.intake.on_events([Acknowledged(id_, kind, frame)], 7)

    def live(self, count: int = 1) -> None:
        for _ in range(count):
            self.intake.on_events([self.venue.trade()], 1_800_000_000_000)

    def gaps(self) -> list[dict[str, Any]]:
        return [orjson.loads(f.body) for f in self.facts if f.kind is GAP]

    async def row(self, kind: str = "trades") -> dict[str, Any]:
        """The last coverage of a kind that was told."""
        await self.continuity._tell()
        rows: list[dict[str, Any]] = [
            orjson.loads(f.body) for f in self.facts if f.kind.name == "coverage"
        ]
        return [row for row in rows if row["kind"] == kind][-1]


def stream(kind: StreamKind = StreamKind.TRADES, timeframe: str = "") -> Subscription:
    return Subscription(kind, BTC, timeframe)


async def passed(station: Station, seconds: float) -> None:
    station.clock.elapsed_s += seconds
