"""Gate v4 futures settled in USDT: https://www.gate.io/docs/developers/apiv4/en/#futures"""

from collections.abc import Callable, Mapping

from simulator.clock import now_s
from simulator.dialect import Dialect, Query, VenueError
from simulator.session import Session
from simulator.venue import Venue
from simulator.venues.gate.rest import BASE, LIMITS, Rest
from simulator.venues.gate.streams import Streams
from simulator.weights import Charge, Limit


class Gate(Dialect):
    name = "gate"
    limits: Mapping[str, Limit] = LIMITS

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._rest = Rest(self)
        self._paths = self._rest.paths()
        self._streams = Streams(self)

    def charge(self, path: str, _query: Query) -> Charge:
        if path.startswith(f"{BASE}/contracts/"):
            path = f"{BASE}/contracts/"
        return Charge("endpoint", bucket=path)

    def usage(self, charge: Charge, used: int) -> dict[str, str]:
        limit = LIMITS[charge.limit]
        reset = (int(now_s() // limit.window_s) + 1) * limit.window_s
        return {
            "X-Gate-RateLimit-Requests-Remain": str(max(0, limit.weight - used)),
            "X-Gate-RateLimit-Limit": str(limit.weight),
            "X-Gate-RateLimit-Reset-Timestamp": str(int(reset)),
            "X-In-Time": str(int(now_s() * 1_000_000)),
            "X-Out-Time": str(int(now_s() * 1_000_000)),
        }

    def handler(self, path: str) -> Callable[[Query], object] | None:
        name = path.removeprefix(f"{BASE}/contracts/")
        if name != path:
            return lambda _: self._rest.contract(name)
        return self._paths.get(path)

    def unknown_path(self, _path: str) -> VenueError:
        return VenueError(404, {"label": "NOT_FOUND", "message": "Not Found"})

    def too_many(self, _retry_after_s: int) -> VenueError:
        text = "Request Rate limit Exceeded (311)"
        return VenueError(429, {"label": "TOO_MANY_REQUESTS", "message": text})

    def maintenance(self) -> VenueError:
        return VenueError(503, {"label": "TOO_BUSY", "message": "The system is under maintenance"})

    def has_socket(self, path: str) -> bool:
        return path == "/v4/ws/usdt"

    def receive(self, session: Session, text: str) -> None:
        self._streams.receive(session, text)
