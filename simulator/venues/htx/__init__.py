"""HTX linear swaps: https://huobiapi.github.io/docs/usdt_swap/v1/en/"""

from collections.abc import Callable, Mapping

from simulator.dialect import Dialect, Query, VenueError
from simulator.happening import Trade
from simulator.market import Market
from simulator.session import Session
from simulator.venue import Venue
from simulator.venues.htx.rest import LIMITS, Rest, refusal, trade_id
from simulator.venues.htx.streams import Streams, send
from simulator.weights import Charge, Limit

PING_EVERY_S = 5
UNANSWERED_MAX = 2
"""Pings after which the server gives a client up."""


class Htx(Dialect):
    name = "htx"
    limits: Mapping[str, Limit] = LIMITS
    compressed = True

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._paths = Rest(self).paths()
        self._streams = Streams(self)

    def charge(self, path: str, _query: Query) -> Charge:
        return Charge("market" if path.startswith(("/linear-swap-ex/", "/index/")) else "reference")

    def handler(self, path: str) -> Callable[[Query], object] | None:
        return self._paths.get(path)

    def unknown_path(self, path: str) -> VenueError:
        return VenueError(404, {"status": 404, "error": "Not Found", "path": path})

    def too_many(self, _retry_after_s: int) -> VenueError:
        text = "The number of visits exceeds the limit. Please try again later!"
        error = refusal(1032, text)
        return VenueError(429, error.body)

    def maintenance(self) -> VenueError:
        text = "System is in maintenance!"
        body = {"status": "error", "err-code": "system-maintenance", "err-msg": text, "data": None}
        return VenueError(503, body)

    def trade_id(self, _market: Market, trade: Trade) -> str:
        return str(trade_id(trade))

    def book_id(self, market: Market) -> int:
        return market.stirs

    def has_socket(self, path: str) -> bool:
        return path == "/linear-swap-ws"

    def receive(self, session: Session, text: str) -> None:
        self._streams.receive(session, text)

    def heartbeat(self, session: Session, now_ms: int) -> None:
        if now_ms // 1000 % PING_EVERY_S:
            return
        if session.unanswered >= UNANSWERED_MAX:
            session.abort("no pong")
            return
        session.unanswered += 1
        send(session, {"ping": now_ms})
