"""Coinbase International REST: JSON-RPC methods below /api/v2, asked by GET."""

from collections.abc import Callable, Iterable
from zlib import crc32

from simulator.candles import Candle
from simulator.clock import now_ms, now_s
from simulator.dialect import Dialect, Query, VenueError, whole
from simulator.funding import HOUR_MS, Funding
from simulator.happening import Trade
from simulator.market import MINUTE_MS, Market
from simulator.view_topic import sides
from simulator.weights import Limit

BASE = "/api/v2"
# "20 requests per second"; the venue fills a bucket of 100 and counts in credits.
LIMITS = {"requests": Limit(20, 1)}
VERSION = "1.2.26"

BOOK_DEFAULT, BOOK_MAX = 5, 10_000
TRADES_DEFAULT, TRADES_MAX = 10, 1000
CANDLES_MAX = 5000
FUNDINGS_MAX = 744
EIGHT_HOURS_MS = 8 * HOUR_MS
RESOLUTIONS = {
    "1": 1,
    "3": 3,
    "5": 5,
    "10": 10,
    "15": 15,
    "30": 30,
    "60": 60,
    "120": 120,
    "180": 180,
    "360": 360,
    "720": 720,
    "1D": 1440,
}
KINDS = frozenset({"future", "option", "spot", "future_combo", "option_combo"})
NEVER_EXPIRES_MS = 32_503_708_800_000

Handler = Callable[[Query], object]
Row = dict[str, object]


def error(code: int, message: str, **data: str) -> Row:
    """The inner part of a refusal."""
    return {"message": message, **({"data": data} if data else {}), "code": code}


def stamped(message: Row) -> Row:
    """With the microseconds at which the venue got and gave it."""
    now = int(now_s() * 1_000_000)
    times = {"usIn": now - 100, "usOut": now, "usDiff": 100}
    return {"jsonrpc": "2.0", **message, **times, "testnet": False}


def refusal(status: int, code: int, message: str, **data: str) -> VenueError:
    return VenueError(status, stamped({"error": error(code, message, **data)}))


def wrong(name: str, reason: str = "wrong format") -> VenueError:
    return refusal(400, -32602, "Invalid params", reason=reason, param=name)


def unknown_instrument() -> VenueError:
    return refusal(400, 13020, "not_found")


class Rest:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._venue = dialect.venue

    def paths(self) -> dict[str, Handler]:
        handlers: dict[str, Handler] = {
            "test": lambda _: {"version": VERSION},
            "get_time": lambda _: now_ms(),
            "get_instruments": self.instruments,
            "get_book_summary_by_currency": self.summaries,
            "get_order_book": self.order_book,
            "get_last_trades_by_instrument": self.trades,
            "get_tradingview_chart_data": self.candles,
            "get_funding_rate_history": self.fundings,
            "ticker": lambda query: ticker(self._market(query)),
        }
        return {f"{BASE}/public/{name}": self._wrap(made) for name, made in handlers.items()}

    @staticmethod
    def _wrap(handler: Handler) -> Handler:
        return lambda query: stamped({"result": handler(query)})

    def _market(self, query: Query) -> Market:
        missing = wrong("instrument_name", "value required")
        return self._dialect.market(query.get("instrument_name"), missing, unknown_instrument())

    def _number(self, query: Query, name: str, otherwise: int) -> int:
        found = whole(query, name, wrong(name))
        return otherwise if found is None else found

    def _required(self, query: Query, name: str) -> int:
        found = whole(query, name, wrong(name))
        if found is None:
            raise wrong(name, "value required")
        return found

    def _is_asked(self, query: Query, currency: str) -> bool:
        """Whether perpetuals that are settled in the venue's dollar are among what is wanted."""
        kind = query.get("kind", "future")
        if kind not in KINDS:
            raise wrong("kind")
        dollars = {market.instrument.quote for market in self._venue.markets}
        return kind == "future" and currency in {"any", *dollars}

    def instruments(self, query: Query) -> object:
        if not self._is_asked(query, query.get("currency", "any")):
            return []
        return [contract(market) for market in self._venue.markets]

    def summaries(self, query: Query) -> object:
        if "currency" not in query:
            raise wrong("currency", "value required")
        if not self._is_asked(query, query["currency"]):
            return []
        return [summary(market) for market in self._venue.all_markets()]

    def order_book(self, query: Query) -> object:
        market = self._market(query)
        depth = self._number(query, "depth", BOOK_DEFAULT)
        if not 1 <= depth <= BOOK_MAX:
            raise wrong("depth")
        bids, asks = sides(market.book.view(depth))
        levels = {"bids": _pairs(market, bids), "asks": _pairs(market, asks)}
        return {**ticker(market), "change_id": market.book.update_id, **levels}

    def trades(self, query: Query) -> object:
        """Newest first unless they are wanted ascending: then the oldest of what is asked for."""
        market = self._market(query)
        count = self._number(query, "count", TRADES_DEFAULT)
        order = query.get("sorting", "default")
        if not 1 <= count <= TRADES_MAX:
            raise wrong("count")
        if order not in ("asc", "desc", "default"):
            raise wrong("sorting")
        first, last = self._number(query, "start_seq", 0), self._number(query, "end_seq", 2**63)
        since = self._number(query, "start_timestamp", 0)
        until = self._number(query, "end_timestamp", 2**63)
        found = [
            trade
            for trade in market.trades
            if first <= trade.id <= last and since <= trade.t_ms <= until
        ]
        page = found[:count] if order == "asc" else found[-count:][::-1]
        rows = [deal(market, trade) for trade in page]
        return {"trades": rows, "has_more": len(found) > len(page)}

    def candles(self, query: Query) -> object:
        """Columns, oldest first; `status` says whether there are any."""
        market = self._market(query)
        span = RESOLUTIONS.get(query.get("resolution", ""))
        if span is None:
            raise wrong("resolution")
        start = self._required(query, "start_timestamp")
        end = self._required(query, "end_timestamp")
        if end < start:
            raise wrong("end_timestamp")
        first, last = start // MINUTE_MS // span * span, min(end, now_ms()) // MINUTE_MS
        found = market.candles.spans(span, first, last, CANDLES_MAX) if last >= first else []
        rows = [candle(market, one) for one in found]
        names = ("ticks", "open", "high", "low", "close", "volume", "cost")
        keys = {"ticks": "tick"}
        columns: Row = {name: [row[keys.get(name, name)] for row in rows] for name in names}
        return {"status": "ok" if rows else "no_data", **columns}

    def fundings(self, query: Query) -> object:
        market = self._market(query)
        start = self._required(query, "start_timestamp")
        end = self._required(query, "end_timestamp")
        return [settled(market, one) for one in market.settlements(start, end)][-FUNDINGS_MAX:]


def _pairs(market: Market, side: Iterable[tuple[int, int]]) -> list[list[float]]:
    return [[market.price(price), market.base(size)] for price, size in side]


def deal(market: Market, trade: Trade) -> Row:
    """`trade_seq` counts the trades of a contract, `trade_id` those of a currency; of a liquidation
    it says whose: the taker's."""
    forced = {"liquidation": "T"} if trade.id in market.forced else {}
    return {
        **forced,
        "trade_seq": trade.id,
        "trade_id": f"{market.instrument.quote}-{trade.first_fill}",
        "timestamp": trade.t_ms,
        "tick_direction": 0 if trade.taker_buys else 2,
        "price": market.price(trade.price),
        "mark_price": market.mark,
        "instrument_name": market.instrument.id,
        "index_price": market.index,
        "direction": "buy" if trade.taker_buys else "sell",
        "contracts": float(trade.size),
        "amount": market.base(trade.size),
    }


def candle(market: Market, one: Candle) -> Row:
    return {
        "volume": market.base(one.volume),
        "tick": one.minute * MINUTE_MS,
        "open": market.price(one.open),
        "low": market.price(one.low),
        "high": market.price(one.high),
        "cost": round(market.quote(one.turnover), 4),
        "close": market.price(one.close),
    }


def paid(market: Market, until_ms: int) -> float:
    """The rates of the eight hours before `until_ms` together."""
    rates = market.settlements(until_ms - EIGHT_HOURS_MS + 1, until_ms)
    return round(sum(one.rate for one in rates), 8)


def settled(market: Market, one: Funding) -> Row:
    """`interest_1h` was paid in the hour before, `interest_8h` in the eight hours."""
    close = market.candles.close_at(one.next_ms)
    return {
        "timestamp": one.next_ms,
        "index_price": market.price(close),
        "prev_index_price": market.price(market.candles.close_at(one.next_ms - one.interval_ms)),
        "interest_8h": paid(market, one.next_ms),
        "interest_1h": one.rate,
    }


def quote(market: Market, t_ms: int) -> Row:
    book = market.book
    return {
        "timestamp": t_ms,
        "instrument_name": market.instrument.id,
        "best_bid_price": market.price(book.best_bid),
        "best_bid_amount": market.base(book.sizes[book.best_bid]),
        "best_ask_price": market.price(book.best_ask),
        "best_ask_amount": market.base(book.sizes[-book.best_ask]),
    }


def _change(market: Market) -> float:
    """Of the last 24 hours, percent."""
    return round(100 * (market.last / market.day.open - 1), 4)


def _eight_hours(market: Market) -> float:
    """The rate as it is now, for eight hours."""
    now = market.funding
    return round(now.rate * EIGHT_HOURS_MS / now.interval_ms, 8)


def ticker(market: Market) -> Row:
    day = market.day
    turnover = round(market.quote(day.turnover), 4)
    return {
        **quote(market, market.now_ms),
        "state": "open",
        "stats": {
            "high": market.price(day.high),
            "low": market.price(day.low),
            "price_change": _change(market),
            "volume": market.base(day.volume),
            "volume_usd": round(turnover, 2),
            "volume_notional": turnover,
        },
        "settlement_price": market.mark,
        "open_interest": market.base(market.open_interest),
        "min_price": round(market.mark * 0.985, market.instrument.price_places),
        "max_price": round(market.mark * 1.015, market.instrument.price_places),
        "mark_price": market.mark,
        "last_price": market.price(market.last),
        "index_price": market.index,
        "estimated_delivery_price": market.index,
        "interest_value": paid(market, market.now_ms),
        "funding_8h": paid(market, market.now_ms),
        "current_funding": _eight_hours(market),
    }


def summary(market: Market) -> Row:
    day, book = market.day, market.book
    turnover = round(market.quote(day.turnover), 4)
    bid, ask = market.price(book.best_bid), market.price(book.best_ask)
    return {
        "instrument_name": market.instrument.id,
        "base_currency": market.instrument.base,
        "quote_currency": market.instrument.quote,
        "creation_timestamp": now_ms(),
        "bid_price": bid,
        "ask_price": ask,
        "mid_price": round((bid + ask) / 2, market.instrument.price_places + 1),
        "mark_price": market.mark,
        "last": market.price(market.last),
        "high": market.price(day.high),
        "low": market.price(day.low),
        "price_change": _change(market),
        "volume": market.base(day.volume),
        "volume_usd": round(turnover, 2),
        "volume_notional": turnover,
        "open_interest": market.base(market.open_interest),
        "estimated_delivery_price": market.index,
        "funding_8h": paid(market, market.now_ms),
        "current_funding": _eight_hours(market),
    }


def contract(market: Market) -> Row:
    """Sizes are in base currency everywhere; a contract is the size step."""
    instrument = market.instrument
    step = float(instrument.unit)
    return {
        "instrument_name": instrument.id,
        "instrument_id": crc32(instrument.id.encode()) % 10**6,
        "kind": "future",
        "instrument_type": "linear",
        "future_type": "linear",
        "settlement_period": "perpetual",
        "settlement_currency": instrument.quote,
        "base_currency": instrument.base,
        "quote_currency": instrument.quote,
        "counter_currency": instrument.quote,
        "price_index": f"{instrument.base}_{instrument.quote}".lower(),
        "underlying_type": "crypto",
        "state": "open" if market.listed else "closed",
        "is_active": market.listed,
        "creation_timestamp": market.candles.first_minute * MINUTE_MS,
        "expiration_timestamp": NEVER_EXPIRES_MS,
        "contract_size": step,
        "min_trade_amount": step,
        "lot_size": 1,
        "tick_size": float(instrument.tick),
        "tick_size_steps": [],
        "maker_commission": 0.00015,
        "taker_commission": 0.00035,
        "max_leverage": 50,
        "block_trade_commission": 0.00025,
        "block_trade_min_trade_amount": 200_000,
        "block_trade_tick_size": float(instrument.tick),
    }
