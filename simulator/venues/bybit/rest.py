"""Bybit REST: paths below /v5/market."""

from collections.abc import Callable

from simulator.clock import now_ms as _now
from simulator.clock import now_s
from simulator.dialect import Dialect, Query, VenueError, whole
from simulator.happening import Trade
from simulator.market import MINUTE_MS, Market
from simulator.view_topic import sides
from simulator.weights import Limit

# "You are allowed to send 600 requests within a 5-second window per IP by default."
LIMITS = {"ip": Limit(600, 5)}

TRADES_MAX = 1000
BOOK_DEFAULT, BOOK_MAX = 25, 500
KLINE_DEFAULT, KLINE_MAX = 200, 1000
INTERVALS = {
    "1": 1,
    "3": 3,
    "5": 5,
    "15": 15,
    "30": 30,
    "60": 60,
    "120": 120,
    "240": 240,
    "360": 360,
    "720": 720,
    "D": 1440,
    "W": 10080,
}
INTEREST_MS = {
    "5min": 300_000,
    "15min": 900_000,
    "30min": 1_800_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}

Handler = Callable[[Query], object]


def refusal(text: str) -> VenueError:
    body = {"retCode": 10001, "retMsg": text, "result": {}, "retExtInfo": {}, "time": _now()}
    return VenueError(200, body)


class Rest:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._venue = dialect.venue

    def paths(self) -> dict[str, Handler]:
        handlers: dict[str, Handler] = {
            "instruments-info": self.instruments,
            "tickers": self.tickers,
            "orderbook": self.order_book,
            "kline": self.kline,
            "mark-price-kline": self.mark_kline,
            "recent-trade": self.recent_trade,
            "open-interest": self.open_interest,
            "funding/history": self.funding_history,
        }
        paths = {f"/v5/market/{name}": self._linear(made) for name, made in handlers.items()}
        return paths | {"/v5/market/time": self._wrap(self.time)}

    def _wrap(self, handler: Handler) -> Handler:
        def wrapped(query: Query) -> object:
            result = handler(query)
            head = {"retCode": 0, "retMsg": "OK", "result": result}
            return {**head, "retExtInfo": {}, "time": _now()}

        return wrapped

    def _linear(self, handler: Handler) -> Handler:
        """Only the linear category is simulated; the others exist and are empty."""

        def checked(query: Query) -> object:
            category = query.get("category")
            if category in ("spot", "inverse", "option"):
                return {"category": category, "list": [], "nextPageCursor": ""}
            if category != "linear" and handler not in (self.kline, self.mark_kline):
                raise refusal("params error: Category is invalid")
            return handler(query)

        return self._wrap(checked)

    def _market(self, query: Query) -> Market:
        missing = refusal("params error: symbol invalid")
        return self._dialect.market(query.get("symbol"), missing, refusal("Not supported symbols"))

    def _limit(self, query: Query, default: int, most: int) -> int:
        limit = whole(query, "limit", refusal("params error: limit invalid"))
        return default if limit is None else max(1, min(limit, most))

    def time(self, _query: Query) -> object:
        now = now_s()
        return {"timeSecond": str(int(now)), "timeNano": str(int(now * 1e9))}

    def instruments(self, query: Query) -> object:
        wanted = query.get("status", "Trading")
        found = [self._market(query)] if query.get("symbol") else self._venue.markets
        found = [m for m in found if wanted == ("Trading" if m.listed else "Closed")]
        start = int(query.get("cursor") or "0")
        limit = self._limit(query, 500, 1000)
        more = str(start + limit) if start + limit < len(found) else ""
        page = [_contract(market) for market in found[start : start + limit]]
        return {"category": "linear", "list": page, "nextPageCursor": more}

    def tickers(self, query: Query) -> object:
        one = query.get("symbol")
        markets = [self._market(query)] if one else list(self._venue.all_markets())
        return {"category": "linear", "list": [ticker(market) for market in markets]}

    def order_book(self, query: Query) -> object:
        market = self._market(query)
        limit = self._limit(query, BOOK_DEFAULT, BOOK_MAX)
        bids, asks = text_levels(market, market.book.view(limit))
        return {
            "s": market.instrument.id,
            "b": bids,
            "a": asks,
            "ts": _now(),
            "u": market.stirs,  # as in the stream orderbook.1000
            "seq": market.book.update_id,
            "cts": market.now_ms,
        }

    def kline(self, query: Query) -> object:
        return self._klines(query, 7)

    def mark_kline(self, query: Query) -> object:
        """A mark price is not traded: no volume, no turnover."""
        return self._klines(query, 5)

    def _klines(self, query: Query, columns: int) -> object:
        market = self._market(query)
        span = INTERVALS.get(query.get("interval", ""))
        if span is None:
            raise refusal("Invalid period!")
        bad = refusal("params error: start or end invalid")
        start, end = whole(query, "start", bad), whole(query, "end", bad)
        limit = self._limit(query, KLINE_DEFAULT, KLINE_MAX)
        last = (end if end is not None else _now()) // MINUTE_MS
        first = 0 if start is None else -(-start // MINUTE_MS)
        if start is not None and end is None:
            last = min(last, first + span * limit - 1)
        rows = [
            [
                str(candle.minute * MINUTE_MS),
                *(market.price_text(p) for p in (candle.open, candle.high, candle.low)),
                market.price_text(candle.close),
                market.base_text(candle.volume),
                f"{market.quote(candle.turnover):.4f}",
            ][:columns]
            for candle in market.candles.spans(span, first, last, limit)
        ]
        return {"category": "linear", "symbol": market.instrument.id, "list": rows[::-1]}

    def recent_trade(self, query: Query) -> object:
        market = self._market(query)
        limit = self._limit(query, 500, TRADES_MAX)
        rows = [
            {
                "execId": trade_id(market, trade),
                "symbol": market.instrument.id,
                "price": market.price_text(trade.price),
                "size": market.base_text(trade.size),
                "side": "Buy" if trade.taker_buys else "Sell",
                "time": str(trade.t_ms),
                "isBlockTrade": False,
            }
            for trade in list(market.trades)[-limit:]
        ]
        return {"category": "linear", "list": rows[::-1]}

    def open_interest(self, query: Query) -> object:
        market = self._market(query)
        every = INTEREST_MS.get(query.get("intervalTime", ""))
        if every is None:
            raise refusal("params error: intervalTime invalid")
        limit = self._limit(query, 50, 200)
        last = _now() // every * every
        rows = [
            {
                "openInterest": market.base_text(market.open_interest_at(last - every * back)),
                "timestamp": str(last - every * back),
            }
            for back in range(limit)
        ]
        name = market.instrument.id
        return {"symbol": name, "category": "linear", "list": rows, "nextPageCursor": ""}

    def funding_history(self, query: Query) -> object:
        """The latest settlements in the asked span, newest first; a start needs an end."""
        market = self._market(query)
        bad = refusal("params error: startTime or endTime invalid")
        start, end = whole(query, "startTime", bad), whole(query, "endTime", bad)
        if start is not None and end is None:
            raise refusal("params error: Passing only startTime returns an error")
        found = market.settlements(start or 0, _now() if end is None else end)
        rows = [
            {
                "symbol": market.instrument.id,
                "fundingRate": f"{one.rate:.8f}",
                "fundingRateTimestamp": str(one.next_ms),
            }
            for one in found[-self._limit(query, 200, 200) :]
        ]
        return {"category": "linear", "list": rows[::-1]}


def trade_id(market: Market, trade: Trade) -> str:
    """Bybit's trade ids are UUIDs; this one counts in its last part."""
    return f"{market.uuid_head}-{trade.id:012x}"


def text_levels(market: Market, view: dict[int, int]) -> tuple[list[list[str]], list[list[str]]]:
    bids, asks = sides(view)
    text = [
        [
            [market.price_text(price), market.base_text(size) if size else "0"]
            for price, size in side
        ]
        for side in (bids, asks)
    ]
    return text[0], text[1]


def ticker(market: Market) -> dict[str, str]:
    day, book, funding = market.day, market.book, market.funding
    change = (market.last - day.open) / day.open
    interest = market.open_interest
    return {
        "symbol": market.instrument.id,
        "lastPrice": market.price_text(market.last),
        "indexPrice": f"{market.index:.{market.instrument.price_places + 1}f}",
        "markPrice": f"{market.mark:.{market.instrument.price_places + 1}f}",
        "prevPrice24h": market.price_text(day.open),
        "price24hPcnt": f"{change:.6f}",
        "highPrice24h": market.price_text(day.high),
        "lowPrice24h": market.price_text(day.low),
        "prevPrice1h": market.price_text(day.open),
        "openInterest": market.base_text(interest),
        "openInterestValue": f"{market.quote(interest * market.last):.2f}",
        "turnover24h": f"{market.quote(day.turnover):.4f}",
        "volume24h": market.base_text(day.volume),
        "fundingRate": f"{funding.rate:.8f}",
        "nextFundingTime": str(funding.next_ms),
        "bid1Price": market.price_text(book.best_bid),
        "bid1Size": market.base_text(book.sizes[book.best_bid]),
        "ask1Price": market.price_text(book.best_ask),
        "ask1Size": market.base_text(book.sizes[-book.best_ask]),
        "fundingIntervalHour": str(funding.interval_hours),
    }


def _contract(market: Market) -> dict[str, object]:
    instrument = market.instrument
    tick, step = str(instrument.tick), str(instrument.unit)
    return {
        "symbol": instrument.id,
        "contractType": "LinearPerpetual",
        "status": "Trading" if market.listed else "Closed",
        "baseCoin": instrument.base,
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "launchTime": str(market.candles.first_minute * MINUTE_MS),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(instrument.price_places),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "50.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999", "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": "10000000",
            "minOrderQty": step,
            "qtyStep": step,
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": market.funding.interval_ms // MINUTE_MS,
        "isPreListing": False,
    }
