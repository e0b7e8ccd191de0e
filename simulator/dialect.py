"""The seam between the market model and a venue's protocol."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from simulator.weights import Charge, Limit

if TYPE_CHECKING:
    from simulator.happening import Trade
    from simulator.market import Market
    from simulator.session import Session
    from simulator.venue import Venue

Query = Mapping[str, str]


class VenueError(Exception):
    """A refusal in the venue's own words: JSON, or the text of the servers in front of it."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body

    def reply(self) -> "Reply":
        if isinstance(self.body, str):
            return Reply(self.status, self.body.encode(), content_type="text/html")
        return Reply(self.status, orjson.dumps(self.body))


@dataclass(frozen=True, slots=True)
class Reply:
    """A REST answer; `body` is JSON already encoded."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Dialect(ABC):
    """One venue's REST paths, commands and frames over the markets of a `Venue`."""

    name: str
    limits: Mapping[str, Limit]
    says_retry_after = False
    """Whether a refusal for too many requests carries the header `Retry-After`."""
    checksums = False
    """Whether messages of a book carry a checksum."""
    compressed = False
    """Whether frames are gzip."""
    websocket_ping_s: float | None = None
    """How often the server sends a protocol ping, if it does."""

    def __init__(self, venue: "Venue") -> None:
        self.venue = venue

    # --- REST

    @abstractmethod
    def charge(self, path: str, query: Query) -> Charge:
        """Which limit a request counts against, and how much."""

    @abstractmethod
    def handler(self, path: str) -> Callable[[Query], object] | None:
        """Who answers `path` with something JSON, or raises VenueError."""

    @abstractmethod
    def unknown_path(self, path: str) -> VenueError: ...

    @abstractmethod
    def too_many(self, retry_after_s: int) -> VenueError: ...

    def banned(self, _until_ms: int) -> VenueError:
        """To an address that asked on while it was refused."""
        return VenueError(403, "<html><body><h1>403 Forbidden</h1></body></html>")

    def maintenance(self) -> VenueError:
        return VenueError(503, "<html><body><h1>503 Service Unavailable</h1></body></html>")

    def usage(self, _charge: Charge, _used: int) -> dict[str, str]:
        """Headers that tell a client what it has spent."""
        return {}

    def answer(self, path: str, query: Query) -> Reply:
        try:
            handler = self.handler(path)
            if handler is None:
                raise self.unknown_path(path)
            return Reply(200, orjson.dumps(handler(query)))
        except VenueError as error:
            return error.reply()

    # --- websocket

    @abstractmethod
    def has_socket(self, path: str) -> bool:
        """Whether a websocket may be opened at `path`."""

    @abstractmethod
    def receive(self, session: "Session", text: str) -> None:
        """A client's text frame."""

    def opened(self, session: "Session") -> None:  # noqa: B027 - most venues wait
        """What the venue says to a new client by itself."""

    def heartbeat(self, session: "Session", now_ms: int) -> None:  # noqa: B027 - most venues wait
        """Once a second for each client."""

    # --- ids as the streams write them

    def trade_id(self, _market: "Market", trade: "Trade") -> str:
        return str(trade.id)

    def book_id(self, market: "Market") -> int:
        """What the last push of depth has as its last id."""
        return market.book.update_id

    # --- shared by the venues

    def market(self, id_: str | None, missing: VenueError, unknown: VenueError) -> "Market":
        if not id_:
            raise missing
        market = self.venue.market(id_)
        if market is None:
            raise unknown
        return market


def whole(query: Query, name: str, bad: VenueError) -> int | None:
    """The integer parameter `name`, if given."""
    text = query.get(name)
    if text is None or text == "":
        return None
    try:
        return int(text)
    except ValueError:
        raise bad from None
