"""Coinbase International's perpetuals on the JSON-RPC gateway of 2026, drb.coinbase.com:
https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/guides/derivatives/overview"""

from collections.abc import Callable, Mapping

from simulator.dialect import Dialect, Query, VenueError
from simulator.session import Session
from simulator.venue import Venue
from simulator.venues.coinbaseinternational.rest import LIMITS, Rest, refusal
from simulator.venues.coinbaseinternational.streams import Streams
from simulator.weights import Charge, Limit

SILENT_MAX_MS = 30_000
"""A client that says nothing for so long is let go; pings of the protocol do not count."""
INTERNAL_ERROR = 1011


class Coinbaseinternational(Dialect):
    name = "coinbaseinternational"
    limits: Mapping[str, Limit] = LIMITS

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._paths = Rest(self).paths()
        self._streams = Streams(self)

    def charge(self, _path: str, _query: Query) -> Charge:
        return Charge("requests")

    def handler(self, path: str) -> Callable[[Query], object] | None:
        return self._paths.get(path)

    def unknown_path(self, _path: str) -> VenueError:
        return refusal(404, -32601, "Method not found")

    def too_many(self, _retry_after_s: int) -> VenueError:
        return refusal(429, 10028, "too_many_requests")

    def maintenance(self) -> VenueError:
        return refusal(503, 11051, "system_maintenance")

    def has_socket(self, path: str) -> bool:
        return path == "/ws/api/v2"

    def receive(self, session: Session, text: str) -> None:
        self._streams.receive(session, text)

    def heartbeat(self, session: Session, now_ms: int) -> None:
        if now_ms - session.heard_ms <= SILENT_MAX_MS:
            return
        if session.unanswered:
            session.abort("silent")
            return
        session.unanswered += 1
        session.say_close(INTERNAL_ERROR)
