"""OKX v5 linear swaps: https://www.okx.com/docs-v5/en/"""

from collections.abc import Callable, Mapping

from simulator.dialect import Dialect, Query, VenueError
from simulator.happening import Trade
from simulator.market import Market
from simulator.session import Session
from simulator.venue import Venue
from simulator.venues.okx.rest import ENDPOINTS, LIMITS, Rest, refusal, trade_id
from simulator.venues.okx.streams import PATHS, Streams
from simulator.weights import Charge, Limit

SILENT_MAX_MS = 30_000
"""A connection on which neither side says anything for 30 seconds is closed."""


class Okx(Dialect):
    name = "okx"
    limits: Mapping[str, Limit] = LIMITS
    checksums = True

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._paths = Rest(self).paths()
        self._streams = Streams(self)

    def charge(self, path: str, query: Query) -> Charge:
        """By endpoint and address; funding rates by instrument as well."""
        per_instrument = path.startswith("/api/v5/public/funding-rate")
        bucket = f"{path} {query.get('instId')}" if per_instrument else path
        return Charge(ENDPOINTS.get(path, "20"), bucket=bucket)

    def handler(self, path: str) -> Callable[[Query], object] | None:
        return self._paths.get(path)

    def unknown_path(self, _path: str) -> VenueError:
        return refusal(404, "404", "Not Found")

    def too_many(self, _retry_after_s: int) -> VenueError:
        return refusal(429, "50011", "Too Many Requests")

    def maintenance(self) -> VenueError:
        return refusal(503, "50001", "Service temporarily unavailable. Try again later")

    def trade_id(self, _market: Market, trade: Trade) -> str:
        return trade_id(trade)

    def has_socket(self, path: str) -> bool:
        return path in PATHS

    def receive(self, session: Session, text: str) -> None:
        self._streams.receive(session, text)

    def heartbeat(self, session: Session, now_ms: int) -> None:
        """Where something is subscribed to, the venue itself has something to say."""
        if not session.groups and now_ms - session.heard_ms > SILENT_MAX_MS:
            session.abort("no ping")
