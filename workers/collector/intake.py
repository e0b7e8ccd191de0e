"""Events into parts and messages: the hot path of the collector.

Runs inside ccxt's receive loop: nothing here waits, and nothing leaves it by an exception.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import orjson
from pydantic import ValidationError

from shared.clock import Clock
from shared.fact import Fact
from shared.kinds import TICKER, TRADES
from shared.messages import Ticker, Trade
from shared.outbox import Outbox
from workers.collector.assembly import base_units
from workers.collector.client import Market
from workers.collector.events import Event, Print, Quote
from workers.collector.parts import Part, Parts
from workers.collector.quarantine import Quarantine

#: Trade ids remembered a symbol. Venues repeat up to some hundred trades on a new subscription.
_IDS_KEPT = 1000


class Intake:
    """See `workers.collector.hot.FrameSink`."""

    def __init__(self, exchange: str, outbox: Outbox, quarantine: Quarantine, clock: Clock) -> None:
        self.parts: dict[str, Parts] = {}  # by symbol: the ones that are collected
        self.markets_by_id: dict[str, Market] = {}
        self.on_book_lost: Callable[[str, str], None] = lambda _symbol, _reason: None
        self.unwanted = 0  # events of symbols that are not collected (any more)
        self._exchange = exchange
        self._outbox = outbox
        self._quarantine = quarantine
        self._clock = clock
        self._seen: dict[str, OrderedDict[str, None]] = {}

    def set_markets(self, markets: Sequence[Market]) -> None:
        """Collect these; what is known of others is forgotten, but for their trade ids: one that
        comes back may repeat them."""
        self.parts = {
            market.symbol: self.parts.get(market.symbol)
            or Parts(market.symbol, market.contract_size)
            for market in markets
        }

    def on_events(self, events: Sequence[Event], received_at: int) -> None:
        for event in events:
            market = self.markets_by_id.get(event.market_id)
            parts = self.parts.get(market.symbol) if market else None
            if market is None or parts is None:
                self.unwanted += 1
            elif type(event) is Print:
                self._on_print(event, market, parts, received_at)
            elif type(event) is Quote:
                self._on_quote(event, market, parts, received_at)

    def on_bad_row(self, row: object, error: Exception) -> None:
        counts = self._outbox.ledger[TRADES.name]
        counts.received += 1
        counts.invalid += 1
        self._quarantine.put("trade", error, row)

    def on_bad_frame(self, frame: object, error: Exception) -> None:
        self._quarantine.put("frame", error, frame)

    def on_book_broken(self, market_id: str, reason: str) -> None:
        market = self.markets_by_id.get(market_id)
        if market is not None:
            self.on_book_lost(market.symbol, reason)

    def _on_print(self, event: Print, market: Market, parts: Parts, received_at: int) -> None:
        counts = self._outbox.ledger[TRADES.name]
        try:
            trade = Trade(
                exchange=self._exchange,
                symbol=market.symbol,
                id=event.id,
                price=event.price,
                amount=base_units(event.size, market.contract_size),
                side=event.side,
                timestamp=event.timestamp,
                received_at=received_at,
            )
        except ValidationError as error:
            counts.received += 1
            counts.invalid += 1
            self._quarantine.put(f"trade of {market.symbol}", error, event)
            return
        if self._repeated(market.symbol, event.id):
            counts.received += 1
            counts.deduplicated += 1
            return
        parts.last = Part(trade.price, self._clock.monotonic(), "stream")
        body = orjson.dumps(trade.__dict__)
        self._outbox.put(Fact(TRADES, market.symbol, body, received_at, trade.id))

    def _on_quote(self, event: Quote, market: Market, parts: Parts, received_at: int) -> None:
        size = market.contract_size
        try:
            ticker = Ticker(
                exchange=self._exchange,
                symbol=market.symbol,
                bid=event.bid,
                ask=event.ask,
                bid_size=None if event.bid_size is None else base_units(event.bid_size, size),
                ask_size=None if event.ask_size is None else base_units(event.ask_size, size),
                last=event.last,
                timestamp=event.timestamp,
                received_at=received_at,
            )
        except ValidationError as error:
            counts = self._outbox.ledger[TICKER.name]
            counts.received += 1
            counts.invalid += 1
            self._quarantine.put(f"ticker of {market.symbol}", error, event)
            return
        parts.quote = Part((ticker.bid, ticker.ask), self._clock.monotonic(), "stream")
        body = orjson.dumps(ticker.__dict__)
        self._outbox.put(Fact(TICKER, market.symbol, body, received_at))

    def _repeated(self, symbol: str, trade_id: str) -> bool:
        seen = self._seen.get(symbol)
        if seen is None:
            seen = self._seen[symbol] = OrderedDict()
        if trade_id in seen:
            return True
        seen[trade_id] = None
        if len(seen) > _IDS_KEPT:
            seen.popitem(last=False)
        return False
