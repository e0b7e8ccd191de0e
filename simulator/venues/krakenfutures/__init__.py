"""Kraken Futures, linear perpetuals (PF_): https://docs.kraken.com/exchange/guides/futures/rest"""

from collections.abc import Callable, Mapping

import orjson

from simulator.dialect import Dialect, Query, VenueError
from simulator.happening import Trade
from simulator.market import Market
from simulator.session import Session
from simulator.venue import Venue
from simulator.venues.krakenfutures.rest import LIMITS, Rest, refusal, trade_id
from simulator.venues.krakenfutures.streams import HEARTBEAT, Streams
from simulator.weights import Charge, Limit


class KrakenFutures(Dialect):
    name = "krakenfutures"
    limits: Mapping[str, Limit] = LIMITS

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._rest = Rest(self)
        self._streams = Streams(self)

    def charge(self, _path: str, _query: Query) -> Charge:
        return Charge("public")

    def handler(self, path: str) -> Callable[[Query], object] | None:
        return self._rest.handler(path)

    def unknown_path(self, _path: str) -> VenueError:
        return refusal(404, "notFound")

    def too_many(self, _retry_after_s: int) -> VenueError:
        return refusal(429, "apiLimitExceeded")

    def maintenance(self) -> VenueError:
        return refusal(503, "Unavailable")

    def trade_id(self, market: Market, trade: Trade) -> str:
        return trade_id(market, trade)

    def has_socket(self, path: str) -> bool:
        return path == "/ws/v1"

    def opened(self, session: Session) -> None:
        session.reply(orjson.dumps({"event": "info", "version": 1}))

    def receive(self, session: Session, text: str) -> None:
        self._streams.receive(session, text)

    def heartbeat(self, session: Session, now_ms: int) -> None:
        if HEARTBEAT in session.groups:
            session.reply(orjson.dumps({"feed": HEARTBEAT, "time": now_ms}))
