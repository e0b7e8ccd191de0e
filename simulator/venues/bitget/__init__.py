"""Bitget v2 mix: https://www.bitget.com/api-doc/contract/intro"""

from collections.abc import Callable, Mapping

from simulator.dialect import Dialect, Query, VenueError
from simulator.happening import Trade
from simulator.market import Market
from simulator.session import Session
from simulator.venue import Venue
from simulator.venues.bitget.rest import LIMITS, SLOW_PATHS, Rest, refusal, trade_id
from simulator.venues.bitget.streams import Streams
from simulator.weights import Charge, Limit

SILENT_MAX_MS = 120_000
"""The server disconnects a client that sent no `ping` for two minutes."""


class Bitget(Dialect):
    name = "bitget"
    limits: Mapping[str, Limit] = LIMITS
    checksums = True

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._paths = Rest(self).paths()
        self._streams = Streams(self)

    def charge(self, path: str, _query: Query) -> Charge:
        return Charge("slow" if path in SLOW_PATHS else "path", bucket=path)

    def handler(self, path: str) -> Callable[[Query], object] | None:
        return self._paths.get(path)

    def unknown_path(self, _path: str) -> VenueError:
        return refusal(404, "40404", "Request URL NOT FOUND")

    def too_many(self, _retry_after_s: int) -> VenueError:
        return refusal(429, "429", "Too Many Requests")

    def maintenance(self) -> VenueError:
        return refusal(503, "40200", "Server upgrade, please try again later")

    def trade_id(self, _market: Market, trade: Trade) -> str:
        return trade_id(trade)

    def has_socket(self, path: str) -> bool:
        return path == "/v2/ws/public"

    def receive(self, session: Session, text: str) -> None:
        self._streams.receive(session, text)

    def heartbeat(self, session: Session, now_ms: int) -> None:
        if now_ms - session.heard_ms > SILENT_MAX_MS:
            session.abort("no ping")
