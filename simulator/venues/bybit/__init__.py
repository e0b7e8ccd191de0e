"""Bybit v5 linear: https://bybit-exchange.github.io/docs/v5/intro"""

from collections.abc import Callable, Mapping

from simulator.dialect import Dialect, Query, VenueError
from simulator.happening import Trade
from simulator.market import Market
from simulator.session import Session
from simulator.venue import Venue
from simulator.venues.bybit.rest import LIMITS, Rest, trade_id
from simulator.venues.bybit.streams import Streams
from simulator.weights import Charge, Limit


class Bybit(Dialect):
    name = "bybit"
    limits: Mapping[str, Limit] = LIMITS

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._paths = Rest(self).paths()
        self._streams = Streams(self)

    def charge(self, _path: str, _query: Query) -> Charge:
        return Charge("ip")

    def handler(self, path: str) -> Callable[[Query], object] | None:
        return self._paths.get(path)

    def unknown_path(self, path: str) -> VenueError:
        return VenueError(404, {"error": "not found", "path": path})

    def too_many(self, _retry_after_s: int) -> VenueError:
        text = "Too many visits. Exceeded the API Rate Limit."
        return VenueError(200, {"retCode": 10006, "retMsg": text, "result": {}, "retExtInfo": {}})

    def banned(self, _until_ms: int) -> VenueError:
        return VenueError(403, "403, access too frequent")

    def trade_id(self, market: Market, trade: Trade) -> str:
        return trade_id(market, trade)

    def book_id(self, market: Market) -> int:
        return market.stirs

    def has_socket(self, path: str) -> bool:
        return path == "/v5/public/linear"

    def receive(self, session: Session, text: str) -> None:
        self._streams.receive(session, text)
