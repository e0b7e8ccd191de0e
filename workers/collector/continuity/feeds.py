"""What the watch over completeness reads from, and acts upon."""

from dataclasses import dataclass

from workers.collector.books.keeper import BookKeeper
from workers.collector.candles.candles import Candles
from workers.collector.client import VenueClient
from workers.collector.overview.settlements import Settlements
from workers.collector.streams import Streams
from workers.collector.trades.trades import Trades


@dataclass(frozen=True, slots=True)
class Feeds:
    """The parts of the collector whose completeness is watched."""

    client: VenueClient
    streams: Streams
    books: BookKeeper
    trades: Trades
    candles: Candles
    settlements: Settlements
