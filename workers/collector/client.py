"""A venue as the collector sees it: markets, streams to watch, bodies to fetch. ccxt ends here."""

import asyncio
import importlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import ccxt

from shared.budget import Budget, RequestClass
from shared.clock import Clock
from shared.config import VenueConfig, VenueKeys
from shared.errors import NetworkError
from workers.collector.catalogue import BulkCall, Call, StreamKind, Venue
from workers.collector.edge import venue_errors
from workers.collector.events import RestUpdate
from workers.collector.hot import GRANTED_AT, REQUEST_CLASS, FrameSink
from workers.collector.readers import READERS

_REST_TIMEOUT_MS = 10_000
_REST_DEADLINE_S = 120.0  # of one call: its wait for the budget included
_CLOSE_TIMEOUT_S = 1.5  # a venue that is frozen never answers the close of a websocket
_UNWATCH_TIMEOUT_S = 3.0
#: Snapshots that stand in the budget's queue at a time: hundreds of symbols start with one each,
#: and the bulk requests must not wait for them all.
_SNAPSHOTS_WAITING = 4


@dataclass(frozen=True, slots=True)
class Market:
    """A contract that the venue lists; sizes in its frames times `contract_size` are base units."""

    symbol: str
    id: str
    contract_size: float


class Answer(NamedTuple):
    """What a REST body says, and when it was asked for (monotonic seconds)."""

    asked_at: float
    updates: list[RestUpdate]


class VenueClient:
    """One ccxt.pro instance, with our catalogue row, our budget and our sink."""

    def __init__(
        self, venue: Venue, config: VenueConfig, keys: VenueKeys, budget: Budget, clock: Clock
    ) -> None:
        self.markets: dict[str, Market] = {}  # by symbol
        self.markets_by_id: dict[str, Market] = {}
        self._venue = venue
        self._clock = clock
        self._budget = budget
        self._snapshots = asyncio.Semaphore(_SNAPSHOTS_WAITING)
        module = importlib.import_module(f"workers.collector.venues.{venue.module}")
        self._ccxt: Any = getattr(module, venue.class_name)(_constructor(venue, config, keys))
        self._ccxt.budget = budget
        self._ccxt.budget_key = venue.name
        self._ccxt.clock = clock

    def send_frames_to(self, sink: FrameSink) -> None:
        self._ccxt.sink = sink

    async def load_markets(self) -> None:
        """Learn what the venue lists; what it listed before is replaced. Raises ExchangeError."""
        REQUEST_CLASS.set(RequestClass.LIVE)
        with venue_errors():
            async with asyncio.timeout(_REST_DEADLINE_S):
                await self._ccxt.load_markets(True)
        listed = [market for market in self._ccxt.markets.values() if _collected(market)]
        markets = [Market(m["symbol"], m["id"], float(m["contractSize"])) for m in listed]
        self.markets = {market.symbol: market for market in markets}
        self.markets_by_id = {market.id: market for market in markets}

    async def watch(self, kind: StreamKind, symbol: str) -> Any:
        """Subscribe if that is due, and wait for ccxt's next value; for peeled kinds there is none
        and this only ends by an error. Raises ExchangeError."""
        try:
            with venue_errors():
                return await self._call(self._venue.streams[kind].watch, symbol)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # ccxt cancels everybody's wait on a connection that it closes for one's trouble.
            raise NetworkError("ccxt ended the subscription") from None

    async def prepay_snapshot(self) -> None:
        """Spend the budget of the snapshot that a new book will ask for, before its deltas come:
        ccxt keeps them all until the snapshot is there, however long that takes."""
        weight = self._venue.snapshot_weight
        if weight is not None:
            async with self._snapshots:
                await self._budget.acquire(self._venue.name, weight, RequestClass.LIVE)
            self._ccxt.prepaid_snapshots += 1

    async def unwatch(self, kind: StreamKind, symbol: str) -> None:
        """Tell the venue to stop; cancel the watch before. Raises ExchangeError."""
        with venue_errors():
            async with asyncio.timeout(_UNWATCH_TIMEOUT_S):
                await self._call(self._venue.streams[kind].unwatch, symbol)

    def drop_connections(self) -> None:
        """Every watch ends with NetworkError, and the next one connects anew."""
        for connection in list((self._ccxt.clients or {}).values()):
            connection.on_error(ccxt.NetworkError("dropped by the collector"))

    def forget_book(self, symbol: str) -> None:
        """The next snapshot starts a new book."""
        self._ccxt.orderbooks.pop(symbol, None)

    async def fetch(self, bulk: BulkCall, symbol: str | None) -> Answer:
        """Ask for `bulk`, of one symbol where it is per symbol. Raises ExchangeError."""
        arguments = [symbol] if bulk.per_symbol else []
        REQUEST_CLASS.set(bulk.request_class)
        if bulk.extra_weight:
            await self._budget.acquire(self._venue.name, bulk.extra_weight, bulk.request_class)
        with venue_errors():
            async with asyncio.timeout(_REST_DEADLINE_S):
                answer = await getattr(self._ccxt, bulk.method)(*arguments, **bulk.arguments)
            updates = list(READERS[bulk.reader](answer, symbol, self._clock.now_ms()))
        return Answer(GRANTED_AT.get(), updates)

    async def close(self) -> None:
        """End the connections. Raises ExchangeError where a venue does not let go in time."""
        with venue_errors():
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._ccxt.close()

    async def _call(self, call: Call, symbol: str) -> Any:
        subject = [symbol] if call.listed else symbol
        # ccxt writes into `params`: it gets its own each time.
        arguments = {k: dict(v) if isinstance(v, dict) else v for k, v in call.arguments.items()}
        return await getattr(self._ccxt, call.method)(subject, **arguments)


def _constructor(venue: Venue, config: VenueConfig, keys: VenueKeys) -> dict[str, Any]:
    """What the ccxt class is made with; it merges nested dictionaries over its own."""
    made: dict[str, Any] = {
        "timeout": _REST_TIMEOUT_MS,
        "has": {"fetchCurrencies": False},  # else load_markets asks for them as well
        "options": _merged(venue.options, config.options),
        **keys.credentials(),
    }
    if config.urls is not None:
        bases = {"rest": config.urls.rest.rstrip("/"), "ws": config.urls.ws.rstrip("/")}
        made["urls"] = {"api": _filled(venue.urls, bases)}
    return made


def _filled(template: Any, bases: dict[str, str]) -> Any:
    if isinstance(template, dict):
        return {key: _filled(value, bases) for key, value in template.items()}
    return template.format(**bases)


def _merged(ours: dict[str, Any], users: dict[str, Any]) -> dict[str, Any]:
    merged = dict(ours)
    for key, value in users.items():
        old = merged.get(key)
        merged[key] = (
            _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _collected(market: dict[str, Any]) -> bool:
    return bool(market["contract"] and market["active"] is not False and market["contractSize"])
