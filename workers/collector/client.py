"""A venue as the collector sees it: markets, streams to watch, bodies to fetch. ccxt ends here."""

import asyncio
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import ccxt

from shared.budget import Budget, RequestClass, Standing
from shared.clock import Clock
from shared.endpoints import Endpoint
from shared.errors import (
    NetworkError,
    NotSentError,
    NotSupportedError,
    SymbolNotListedError,
)
from shared.limits import Charge
from shared.requests import METHODS, Method, Request
from workers.collector.access import Access, constructor, go_to_sandbox, trade_page
from workers.collector.breakers import ENDPOINT, VenueBreakers
from workers.collector.catalogue.row import BulkCall, Call, Subscription, Venue
from workers.collector.edge import venue_errors
from workers.collector.events import BookUpdate, Candle, Print, RestUpdate, Settled
from workers.collector.hot import (
    GRANTED_AT,
    ON_SENT,
    PREPAID,
    PRICING,
    REQUEST_CLASS,
    FrameSink,
    Pool,
    Priced,
)
from workers.collector.readers import READERS
from workers.collector.recording.tap import Tap
from workers.collector.requests.live import LiveAnswer
from workers.collector.requests.units import in_base_units
from workers.collector.rest_trace import RestTrace
from workers.collector.unified import Market, candle_of, is_about, is_collected, levels_of, print_of
from workers.collector.venue_clock import VenueClock

_REST_DEADLINE_S = 120.0  # of one call: its wait for the budget included
_CLOSE_TIMEOUT_S = 1.5  # a venue that is frozen never answers the close of a websocket
_UNWATCH_TIMEOUT_S = 3.0  # from when it was sent
_UNWATCH_QUEUE_S = 60.0  # ccxt spaces what it sends, subscriptions among it
_SNAPSHOT_DEADLINE_S = 15.0
#: What requests are about that are not about prices.
_ENDPOINTS = {
    "fetch_order_book": Endpoint.BOOKS,
    "fetch_trades": Endpoint.HISTORY,
    "fetch_ohlcv": Endpoint.HISTORY,
    "fetch_funding_rate_history": Endpoint.HISTORY,
    "fetch_time": Endpoint.MARKETS,
}


class Answer(NamedTuple):
    """What a REST body says, and when it was asked for (monotonic seconds)."""

    asked_at: float
    updates: list[RestUpdate]


class VenueClient:
    """One ccxt.pro instance, with our catalogue row, our budget and our sink."""

    def __init__(self, venue: Venue, access: Access, budget: Budget, clock: Clock) -> None:
        """Raises ConfigurationError for a test network that the venue does not have."""
        self.markets: dict[str, Market] = {}  # by symbol
        self._learned_at = 0.0  # monotonic seconds
        self._known: dict[str, Market] = {}  # the same, with those that are not listed any more
        self.on_sent: Callable[[Subscription], None] = lambda _stream: None
        #: Told of a symbol that the venue denies to list.
        self.on_unlisted: Callable[[str], None] = lambda _symbol: None
        self._venue = venue
        self.clock = clock
        self.budget = budget
        module = importlib.import_module(f"workers.collector.venues.{venue.module}")
        self._ccxt: Any = getattr(module, venue.class_name)(constructor(venue, access))
        self._ccxt.pool = Pool(
            access.performance.connection_pool_size, access.performance.connection_idle_s
        )
        slots = access.performance.max_concurrent_requests
        self._ccxt.slots = asyncio.Semaphore(slots)
        self._ccxt.user_slots = asyncio.Semaphore(max(1, slots // 2))
        self._page = trade_page(venue, access)
        self._ccxt.budget = budget
        if access.config.sandbox:
            go_to_sandbox(self._ccxt, venue.name)
        self._ccxt.clock = clock
        self.breakers = self._ccxt.breakers = VenueBreakers(venue.name, clock)
        self.venue_clock = self._ccxt.venue_clock = VenueClock(clock, venue.server_time)
        self.rest_trace = self._ccxt.rest_trace = RestTrace(clock)
        self.rest_trace.slow_s = access.slow_s
        self.rest_trace.on_answer = self._ccxt.hear_status

    def send_frames_to(self, sink: FrameSink) -> None:
        self._ccxt.sink = sink

    def record_by(self, tap: Tap) -> None:
        """Let `tap` have whatever passes from now on; before anything is connected."""
        self._ccxt.tap = tap
        self.rest_trace.on_body = tap.on_body

    async def load_markets(self) -> None:
        """Learn what the venue lists; what it listed before is replaced. Raises ExchangeError."""
        _about(RequestClass.LIVE, Endpoint.MARKETS)
        with venue_errors():
            async with asyncio.timeout(_REST_DEADLINE_S):
                await self._ccxt.load_markets(True)
        self._learn(0.0)

    def recall_markets(self, rows: list[dict[str, Any]], age_s: float) -> None:
        """The same from what `market_rows` was so long ago. Raises ExchangeError."""
        with venue_errors():
            self._ccxt.set_markets(rows)
        self._learn(age_s)

    def market_rows(self) -> list[dict[str, Any]]:
        """What the venue lists, as ccxt has it."""
        return list(self._ccxt.markets.values())

    @property
    def addresses(self) -> Any:
        """Where ccxt asks."""
        return self._ccxt.urls["api"]

    def listed(self) -> LiveAnswer | None:
        """The same, and how old that is; None before it is known."""
        if not self.markets:
            return None
        return LiveAnswer(self.market_rows(), self.clock.monotonic() - self._learned_at)

    def _learn(self, age_s: float) -> None:
        self._learned_at = self.clock.monotonic() - age_s
        listed = [market for market in self._ccxt.markets.values() if is_collected(market)]
        markets = [Market(m["symbol"], m["id"], float(m["contractSize"])) for m in listed]
        self.markets = {market.symbol: market for market in markets}
        self._known |= self.markets

    async def watch(self, stream: Subscription) -> None:
        """Subscribe if that is due, which is told to `on_sent`, and wait: what a stream brings goes
        to the sink, and this only ends by an error. Raises ExchangeError."""
        ON_SENT.set(partial(self.on_sent, stream))
        try:
            with self._errors_about(stream.symbol):
                await self._call(self._venue.streams[stream.kind].watch, stream)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # ccxt cancels everybody's wait on a connection that it closes for one's trouble.
            raise NetworkError("ccxt ended the subscription") from None

    async def unwatch(self, stream: Subscription) -> None:
        """Tell the venue to stop; cancel the watch before. What is not listed any more has stopped:
        venues refuse to hear of it, and ccxt does not know it. Raises ExchangeError, and its
        NotSentError where other frames were in the way for too long."""
        if stream.symbol not in self.markets:
            self._forget(stream)
            return
        sent = False

        def on_sent() -> None:
            nonlocal sent
            sent = True
            _shorten(deadline, _UNWATCH_TIMEOUT_S)

        with venue_errors():
            try:
                async with asyncio.timeout(_UNWATCH_QUEUE_S) as deadline:
                    ON_SENT.set(on_sent)
                    await self._call(self._venue.streams[stream.kind].unwatch, stream)
            except TimeoutError:
                if not sent:
                    raise NotSentError(f"nothing was sent for {_UNWATCH_QUEUE_S:g} s") from None
                raise

    async def afford_snapshot(self) -> None:
        """Wait until the budget of an order book's snapshot is ours."""
        request = self._venue.book.snapshot
        if request is not None:
            await self.budget.acquire(self.budget.limits.charges(*request), RequestClass.LIVE)

    async def fetch_book(self, symbol: str) -> BookUpdate:
        """A snapshot for which `afford_snapshot` has paid. Raises ExchangeError."""
        _about(RequestClass.LIVE, Endpoint.BOOKS)
        PREPAID.set(True)
        try:
            with self._errors_about(symbol):
                async with asyncio.timeout(_SNAPSHOT_DEADLINE_S):
                    book = await self._ccxt.fetch_snapshot(symbol, self._venue.book.depth)
                bids, asks = levels_of(book["bids"]), levels_of(book["asks"])
        finally:
            PREPAID.set(False)
        market_id, number = self.markets[symbol].id, book["nonce"]
        return BookUpdate(market_id, True, bids, asks, book["timestamp"], number)

    async def fetch_trades(self, symbol: str, older_than: Print | None = None) -> list[Print]:
        """The newest trades, or those before `older_than`; oldest first, as many as one answer
        holds. Raises ExchangeError."""
        _about(RequestClass.REPAIR, Endpoint.HISTORY)
        limit, exchange = self._page, self._ccxt
        with self._errors_about(symbol):
            async with asyncio.timeout(_REST_DEADLINE_S):
                if older_than is None:
                    rows = await exchange.fetch_trades(symbol, None, limit)
                else:
                    rows = await exchange.fetch_older_trades(symbol, older_than, limit)
            market_id = self.markets[symbol].id
            return [print_of(market_id, row) for row in rows]

    def drop_connections(self) -> None:
        """Every watch ends with NetworkError, and the next one connects anew."""
        for connection in list((self._ccxt.clients or {}).values()):
            connection.on_error(ccxt.NetworkError("dropped by the collector"))

    def drop_connection(self, stream: Subscription) -> None:
        """The same for the connection that carries one stream."""
        market = self.markets.get(stream.symbol)
        for connection in list((self._ccxt.clients or {}).values()):
            if market is not None and self._ccxt.carries(connection, stream.kind, market):
                connection.on_error(ccxt.NetworkError("dropped by the collector"))

    async def fetch(self, bulk: BulkCall, symbol: str | None) -> Answer:
        """Ask for `bulk`, of one symbol where it is per symbol. Raises ExchangeError."""
        arguments = [symbol] if bulk.per_symbol else []
        _about(bulk.request_class, Endpoint.PRICES)
        with self._errors_about(symbol):
            async with asyncio.timeout(_REST_DEADLINE_S):
                answer = await getattr(self._ccxt, bulk.method)(*arguments, **bulk.arguments)
            updates = list(READERS[bulk.reader](answer, symbol, self.clock.now_ms()))
        return Answer(GRANTED_AT.get(), updates)

    async def fetch_settlements(self, symbol: str | None, since: int) -> list[Settled]:
        """Settled funding rates from `since` (ms) on, of all symbols where none is named.

        Raises ExchangeError.
        """
        _about(RequestClass.FUNDING, Endpoint.HISTORY)
        limit = self._venue.funding_history.limit
        with venue_errors():
            async with asyncio.timeout(_REST_DEADLINE_S):
                rows = await self._ccxt.fetch_funding_rate_history(symbol, since, limit)
            return [Settled(row["symbol"], row["timestamp"], row["fundingRate"]) for row in rows]

    async def fetch_candles(
        self, symbol: str, timeframe: str, since: int, limit: int
    ) -> tuple[float, list[Candle]]:
        """See `workers.collector.candles.filler.CandleClient`. Raises ExchangeError."""
        _about(RequestClass.REPAIR, Endpoint.HISTORY)
        with self._errors_about(symbol):
            async with asyncio.timeout(_REST_DEADLINE_S):
                rows = await self._ccxt.fetch_ohlcv(symbol, timeframe, since, limit)
            market_id = self.markets[symbol].id
            candles = [candle_of(market_id, timeframe, row) for row in rows if None not in row[:6]]
        return GRANTED_AT.get(), candles

    async def ask_time(self) -> None:
        """Have the venue say what time it is; `venue_clock` hears it. Raises ExchangeError."""
        _about(RequestClass.LIVE, Endpoint.MARKETS)
        with venue_errors():
            async with asyncio.timeout(_REST_DEADLINE_S):
                await self._ccxt.ask_time()

    def methods(self) -> list[str]:
        """Those of `shared.requests` that the venue has."""
        return [n for n, m in METHODS.items() if m.of_budget or self._ccxt.has.get(_camel(n))]

    async def price(self, method: Method, symbol: str | None) -> tuple[Charge, ...]:
        """What the first request of a method costs; nothing is asked. Raises ExchangeError."""
        arguments = {}
        if method.of_one_symbol:
            arguments["symbol"] = self._listed(symbol or next(iter(self.markets), "any"))
        self._check_has(method)
        PRICING.set(True)
        with venue_errors():
            try:
                await getattr(self._ccxt, method.name)(**arguments)
            except Priced as priced:
                return priced.charges
            finally:
                PRICING.set(False)
        raise NotSupportedError(f"{method.name} asks for nothing")

    async def call(self, method: Method, request: Request, standing: Standing) -> Any:
        """The answer to somebody's request, sizes in base units. Raises ExchangeError; how long it
        may take is the caller's business."""
        _about(standing, _ENDPOINTS.get(method.name, Endpoint.PRICES))
        symbol = request.arguments.get("symbol")
        if symbol is not None:
            self._listed(symbol)
        self._check_has(method)
        with self._errors_about(symbol):
            answer = await getattr(self._ccxt, method.name)(**request.arguments)
        size = self.markets[symbol].contract_size if symbol is not None else 1.0
        contracts = self._venue.candles.contracts
        return in_base_units(method.name, answer, size, candles_in_contracts=contracts)

    async def close(self) -> None:
        """End the connections. Raises ExchangeError where a venue does not let go in time."""
        with venue_errors():
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._ccxt.close()

    def _listed(self, symbol: str) -> str:
        if symbol not in self.markets:
            raise SymbolNotListedError(f"{symbol} is not listed")
        return symbol

    def _check_has(self, method: Method) -> None:
        if not self._ccxt.has.get(_camel(method.name)):
            raise NotSupportedError(f"the venue has no {method.name}")

    @contextmanager
    def _errors_about(self, symbol: str | None) -> Iterator[None]:
        try:
            with venue_errors():
                yield
        except SymbolNotListedError:
            if symbol is not None:
                self.on_unlisted(symbol)
            raise

    def _forget(self, stream: Subscription) -> None:
        """Else a symbol that is listed again would be taken for subscribed."""
        market = self._known.get(stream.symbol)
        if market is None:
            return
        for connection in list((self._ccxt.clients or {}).values()):
            for name in [n for n in connection.subscriptions if is_about(str(n), market)]:
                del connection.subscriptions[name]

    async def _call(self, call: Call, stream: Subscription) -> Any:
        subject = [stream.symbol] if call.listed else stream.symbol
        # ccxt writes into `params`: it gets its own each time.
        arguments = {k: dict(v) if isinstance(v, dict) else v for k, v in call.arguments.items()}
        if stream.timeframe:
            arguments["timeframe"] = stream.timeframe
        return await getattr(self._ccxt, call.method)(subject, **arguments)


def _camel(method: str) -> str:
    first, *rest = method.split("_")
    return first + "".join(word.upper() if word == "ohlcv" else word.title() for word in rest)


def _about(request_class: RequestClass | Standing, endpoint: Endpoint) -> None:
    """What this task's next requests are for, and about."""
    REQUEST_CLASS.set(request_class)
    ENDPOINT.set(endpoint)


def _shorten(deadline: asyncio.Timeout, seconds: float) -> None:
    with suppress(RuntimeError):  # nobody waits for it any more
        deadline.reschedule(asyncio.get_running_loop().time() + seconds)
