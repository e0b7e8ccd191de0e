"""The frames of a venue, taken where ccxt receives them.

ccxt keeps connections, subscriptions and pings. Market data is peeled off before its parsers: they
cost 20-45 µs a frame, what `watch_*` returns starves all symbols but one, and its order books miss
most of what can go wrong with them. The futures of peeled subscriptions never resolve, except by an
error.
"""

import asyncio
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import ccxt
from aiohttp import ClientSession, TCPConnector, WSMessage, WSMsgType

from shared.budget import Budget, RequestClass, Standing
from shared.clock import Clock
from shared.errors import BlockedError, ExchangeError
from shared.kinds import Kind
from shared.limits import Charge
from workers.collector.breakers import BLOCKED_S, MAINTENANCE_S, VenueBreakers
from workers.collector.catalogue.row import StreamKind
from workers.collector.events import MALFORMED, Acknowledged, Event, Unread
from workers.collector.recording.tap import Tap
from workers.collector.rest_trace import PASSAGE, RestTrace
from workers.collector.venue_clock import VenueClock

T = TypeVar("T")

#: Why the request that this task is making is made.
REQUEST_CLASS: ContextVar[RequestClass | Standing] = ContextVar(
    "request_class", default=RequestClass.REPAIR
)

#: The path of this task's latest request, as ccxt spells it.
PATH = ContextVar("path", default="")

#: Whether the budget of this task's request was spent before.
PREPAID = ContextVar("prepaid", default=False)

#: Whether this task only wants to know what its request costs.
PRICING = ContextVar("pricing", default=False)

#: Called when this task's subscription is on its way: ccxt spaces what it sends.
ON_SENT: ContextVar[Callable[[], None] | None] = ContextVar("on_sent", default=None)

#: When this task's latest request was let go, monotonic seconds: its answer is not older.
GRANTED_AT = ContextVar("granted_at", default=0.0)

_DEFAULT_RETRY_AFTER_S = 60.0
#: Answers without a body that ccxt knows: our address or place is not welcome, or what we ask for
#: does not exist. ccxt takes both for trouble of the venue.
_BLOCKED, _NOT_SERVED = (403, 451), (404, 405, 410)
#: For zlib: a header of gzip, and any size of window.
_GZIP = 16 + zlib.MAX_WBITS


class Priced(Exception):
    """What a request would have cost; raised in its place, see PRICING."""

    def __init__(self, charges: tuple[Charge, ...]) -> None:
        super().__init__(charges)
        self.charges = charges


class Pool(NamedTuple):
    """Connections to a venue, websockets among them: how many, and how long unused ones stay."""

    size: int
    idle_s: float


class FrameSink(Protocol):
    """Where peeled frames go. No method may raise or wait."""

    def on_events(self, events: Sequence[Event], received_at: int) -> None: ...

    def on_bad_row(self, kind: Kind, row: object, error: Exception) -> None: ...

    def on_bad_frame(self, frame: object, error: Exception) -> None: ...

    def on_dataless_frame(self) -> None: ...


class HotFrames:
    """Mixed into a ccxt.pro class: peels market data, and spends our budget instead of ccxt's.

    An error that left ccxt's message handler would end its receive loop without a word, with the
    connection open and silent: none does.
    """

    sink: FrameSink
    budget: Budget
    clock: Clock
    breakers: VenueBreakers
    venue_clock: VenueClock
    rest_trace: RestTrace | None = None
    tap: Tap | None = None  # of a recording
    pool: Pool = Pool(100, 30.0)
    slots: asyncio.Semaphore  # one for each request that is on its way
    user_slots: asyncio.Semaphore  # those that others than the collector may have
    session: Any  # of aiohttp
    markets: Any  # ccxt's, by symbol; None before the first list
    cafile: str
    aiohttp_trust_env: bool
    closed_by_user: bool

    def peel(self, frame: Any) -> Sequence[Event] | None:
        """The events of a hot frame, or None for a frame that is ccxt's business."""
        raise NotImplementedError

    def book_of(self, frame: Any) -> Any:
        """The market id of a frame about an order book. May raise one of MALFORMED for others."""
        return None

    def acknowledged(self, client: Any, frame: Any) -> Iterable[Acknowledged]:
        """The subscriptions which this frame confirms."""
        return ()

    def carries(self, connection: Any, kind: StreamKind, market: Any) -> bool:
        """Whether a stream of this market runs on that connection."""
        names = (market.id.lower(), market.symbol.lower())
        return any(name in str(key).lower() for key in connection.subscriptions for name in names)

    def each(self, kind: Kind, parse: Callable[[Any], T], rows: Iterable[Any]) -> list[T]:
        """What the rows of a frame say; one that is not as expected costs no other its place."""
        said: list[T] = []
        for row in rows:
            try:
                said.append(parse(row))
            except Exception as error:
                self.sink.on_bad_row(kind, row, error)
        return said

    def open(self, lazy: bool = False) -> None:
        """ccxt makes its session here when it needs one; it takes and closes ours."""
        if self.session is None and not (lazy and self.closed_by_user):
            self.tcp_connector = TCPConnector(
                ssl=ssl.create_default_context(cafile=self.cafile),
                limit=self.pool.size,
                keepalive_timeout=self.pool.idle_s,
                happy_eyeballs_delay=0,
            )
            self.session = ClientSession(
                connector=self.tcp_connector, trust_env=self.aiohttp_trust_env
            )
        super().open(lazy)  # type: ignore[misc]
        if self.session is not None and self.rest_trace is not None:
            self.rest_trace.follow(self.session)

    async def load_markets(self, reload: bool = False, params: Any = None) -> Any:
        """What is known, or with `reload` what is listed now. ccxt has all who wait for a list wait
        for one task, and whoever of them is cancelled takes it from the others. Raises NetworkError
        where nothing is known yet."""
        if reload:
            return await self.load_markets_helper(True, params or {})  # type: ignore[attr-defined]
        if not self.markets:
            raise ccxt.NetworkError("the markets are not known yet")
        return self.markets

    def set_markets(self, markets: Any, currencies: Any = None) -> Any:
        """Raises BadResponse for a list that lost most of its markets at once: venues in trouble
        answer with nothing, in good form."""
        known = len(self.markets or ())
        if len(markets) * 2 < known:
            raise ccxt.BadResponse(f"{len(markets)} of {known} markets are listed")
        return super().set_markets(markets, currencies)  # type: ignore[misc]

    def client(self, url: str) -> Any:
        """ccxt's connection to `url`. It decodes frames before `handle_message` sees them."""
        client = super().client(url)  # type: ignore[misc]
        if not hasattr(client, "guarded"):
            client.guarded = True
            if client.gunzip:
                client.handle_message = partial(_unzipped, client.handle_message)
            client.handle_message = partial(self._decode, client.handle_message)
            client.send = partial(self._send, client.send)
            if self.tap is not None:
                self.tap.attach(client)
        return client

    def handle_message(self, client: Any, message: Any) -> None:
        received_at = self.clock.now_ms()
        if client.error is not None:
            self.sink.on_dataless_frame()  # given up: its streams count as lost already
            return
        try:
            events = self.peel(message)
            if events:
                self.sink.on_events(events, received_at)
                return
            self.sink.on_dataless_frame()
            if events is not None:
                return
            for confirmed in self.acknowledged(client, message):
                self.sink.on_events((confirmed,), received_at)
            super().handle_message(client, message)  # type: ignore[misc]
        except Exception as error:
            self.sink.on_bad_frame(message, error)
            self._doubt_book(message, received_at)

    def _doubt_book(self, frame: Any, received_at: int) -> None:
        """A change of a book that nobody could read is missing from it."""
        try:
            market_id = self.book_of(frame)
        except MALFORMED:
            return
        if type(market_id) is str:
            self.sink.on_events((Unread(market_id),), received_at)

    def _decode(self, handle: Callable[[Any], None], message: Any) -> None:
        try:
            handle(message)
        except Exception as error:
            self.sink.on_bad_frame(getattr(message, "data", message), error)

    async def _send(self, send: Callable[[Any], Awaitable[None]], message: Any) -> None:
        await send(message)
        on_sent = ON_SENT.get()
        if on_sent is not None:
            on_sent()

    async def ask_time(self) -> None:
        """Whatever answers tells what time it is."""
        await self.fetch_time()  # type: ignore[attr-defined]

    async def fetch_one_ticker(self, symbol: str) -> list[Any]:
        """What one cheap request says of a symbol's best prices, as a list of one ticker."""
        return [await self.fetch_ticker(symbol)]  # type: ignore[attr-defined]

    async def fetch2(self, path: str, *request: Any, **more: Any) -> Any:
        """Called by ccxt for each request, before it asks for the budget."""
        PATH.set(path)
        return await super().fetch2(path, *request, **more)  # type: ignore[misc]

    async def throttle(self, cost: float | None = None) -> None:
        """Called by ccxt before each request with its cost. Raises CircuitBreakerOpenError."""
        charges = self.budget.limits.charges(PATH.get(), cost or 1.0)
        if PRICING.get():
            raise Priced(charges)
        self.breakers.check()
        if not PREPAID.get():
            await self.budget.acquire(charges, REQUEST_CLASS.get())
        GRANTED_AT.set(self.clock.monotonic())

    async def fetch(self, *request: Any, **more: Any) -> Any:
        """Called by ccxt for each request: how it ends decides about the next ones."""
        users = self.user_slots if isinstance(REQUEST_CLASS.get(), Standing) else nullcontext()
        async with users, self.slots:
            await self.budget.unbanned()
            return await self._fetched(*request, **more)

    async def _fetched(self, *request: Any, **more: Any) -> Any:
        self.breakers.admit()
        try:
            answer = await super().fetch(*request, **more)  # type: ignore[misc]
        except asyncio.CancelledError:
            if isinstance(REQUEST_CLASS.get(), Standing):
                self.breakers.dropped()  # somebody's haste says nothing of the venue
            else:
                self.breakers.failed()  # our own deadline
            raise
        except Exception as error:
            self.breakers.ended_by(error)
            if isinstance(error, ccxt.OnMaintenance):
                self.breakers.open_for(MAINTENANCE_S, "maintenance")
            elif isinstance(error, BlockedError):
                self.breakers.open_for(BLOCKED_S, str(error))
            raise
        self.breakers.succeeded()
        return answer

    def hear_status(self, status: int, headers: Mapping[str, str]) -> None:
        """A ban is one, whatever becomes of the body that tells of it."""
        if status in (418, 429):
            self.budget.ban(retry_after_s(headers.get("Retry-After")))

    def handle_errors(self, code: int, reason: str, url: str, method: str, *rest: Any) -> Any:
        """Called by ccxt with each answer. One that says that it was too much stops all requests to
        this venue, of whoever is behind our address. Raises BlockedError and ExchangeError for what
        ccxt would take for a venue that is away."""
        self.venue_clock.hear(PASSAGE.get(), rest[2])
        headers = {name.lower(): value for name, value in (rest[0] or {}).items()}
        self._hear_used(headers)
        try:
            handled = super().handle_errors(code, reason, url, method, *rest)  # type: ignore[misc]
        except ccxt.RateLimitExceeded:  # some venues say so with a status of 200
            self.budget.ban(retry_after_s(headers.get("retry-after")))
            raise
        if handled is None and code in _BLOCKED:
            self.budget.ban(BLOCKED_S)
            raise BlockedError(f"turned away with {code} {reason}")
        if handled is None and code in _NOT_SERVED:
            raise ExchangeError(f"{code} {reason} for {url.partition('?')[0]}")
        return handled

    def _hear_used(self, headers: Mapping[str, str]) -> None:
        """What the venue says of its limits."""
        for charge in self.budget.limits.charges(PATH.get()):
            if charge.rule.told is not None:
                time_s = self.clock.now_ms() / 1000 + (self.venue_clock.offset_ms or 0.0) / 1000
                said = charge.rule.told.read(headers, charge.rule, time_s)
                if said is not None:
                    self.budget.used(charge, said)


def retry_after_s(value: str | None) -> float:
    """Seconds of a Retry-After header, given as seconds or as a date."""
    if not value:
        return _DEFAULT_RETRY_AFTER_S
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return _DEFAULT_RETRY_AFTER_S


def _unzipped(handle: Callable[[Any], None], message: Any) -> None:
    """ccxt reads gzip through a file object, which takes five times as long: 10 µs a frame."""
    if message.type is WSMsgType.BINARY:
        text = zlib.decompress(message.data, _GZIP).decode()
        message = WSMessage(WSMsgType.TEXT, text, message.extra)
    handle(message)
