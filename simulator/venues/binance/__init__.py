"""Binance USD-M futures: https://developers.binance.com/docs/derivatives/usds-margined-futures"""

from collections.abc import Callable, Mapping

from simulator.dialect import Dialect, Query, VenueError
from simulator.session import Session
from simulator.venue import Venue
from simulator.venues.binance.rest import LIMITS, Rest, weigh
from simulator.venues.binance.streams import Streams
from simulator.weights import Charge, Limit


class Binance(Dialect):
    name = "binance"
    limits: Mapping[str, Limit] = LIMITS
    says_retry_after = True
    websocket_ping_s = 180.0  # "The websocket server will send a ping frame every 3 minutes"

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._paths = Rest(self).paths()
        self._streams = Streams(self)

    def charge(self, path: str, query: Query) -> Charge:
        return weigh(path, query)

    def usage(self, charge: Charge, used: int) -> dict[str, str]:
        return {"x-mbx-used-weight-1m": str(used)} if charge.limit == "ip" else {}

    def handler(self, path: str) -> Callable[[Query], object] | None:
        return self._paths.get(path)

    def unknown_path(self, path: str) -> VenueError:
        return VenueError(404, {"code": -5000, "msg": f"Path {path}, Method GET is invalid"})

    def too_many(self, _retry_after_s: int) -> VenueError:
        text = "Too many requests; current limit of IP is 2400 requests per minute."
        return VenueError(429, {"code": -1003, "msg": text})

    def banned(self, until_ms: int) -> VenueError:
        text = (
            f"Way too many requests; IP banned until {until_ms}. "
            "Please use the websocket for live updates to avoid bans."
        )
        return VenueError(418, {"code": -1003, "msg": text})

    def maintenance(self) -> VenueError:
        return VenueError(503, {"code": 1, "msg": "System is under maintenance."})

    def has_socket(self, path: str) -> bool:
        """`/public/ws/N` serves book and trades, `/market/ws/N` the rest; N is any name."""
        parts = path.strip("/").split("/")
        return parts[0] in ("public", "market", "ws") and "ws" in parts[:2]

    def receive(self, session: Session, text: str) -> None:
        self._streams.receive(session, text)
