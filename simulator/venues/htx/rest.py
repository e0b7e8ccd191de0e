"""HTX REST: paths below /linear-swap-api, /linear-swap-ex, /v5 and /index."""

from collections.abc import Callable

from simulator.candles import Candle
from simulator.clock import now_ms as _now
from simulator.dialect import Dialect, Query, VenueError, whole
from simulator.happening import Trade
from simulator.market import MINUTE_MS, Market
from simulator.view_topic import sides
from simulator.weights import Limit

# Market data: 800 a second and IP. Information of contracts: 240 in 3 seconds and IP. Both as the
# section "API Rate Limit Illustration" of the documentation has them.
LIMITS = {"market": Limit(800, 1), "reference": Limit(240, 3)}

DEPTH = 150
TRADES_MAX = 2000
FUNDINGS_DEFAULT, FUNDINGS_MAX = 10, 100
KLINES_DEFAULT, KLINES_MAX = 150, 2000
PERIODS = {
    "1min": 1,
    "5min": 5,
    "15min": 15,
    "30min": 30,
    "60min": 60,
    "4hour": 240,
    "1day": 1440,
    "1week": 10080,
}

Handler = Callable[[Query], object]


def refusal(code: int, text: str) -> VenueError:
    """HTX refuses with status 200; the market paths write `err-code`, the others `err_code`."""
    return VenueError(200, {"status": "error", "err_code": code, "err_msg": text, "ts": _now()})


def market_refusal(text: str) -> VenueError:
    body = {"status": "error", "err-code": "bad-request", "err-msg": text, "ts": _now()}
    return VenueError(200, body)


class Rest:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._venue = dialect.venue

    def paths(self) -> dict[str, Handler]:
        return {
            "/linear-swap-api/v1/swap_contract_info": self.contracts,
            "/linear-swap-ex/market/detail/batch_merged": self.all_merged,
            "/linear-swap-ex/market/detail/merged": self.merged,
            "/linear-swap-ex/market/depth": self.depth,
            "/linear-swap-ex/market/history/kline": self.klines,
            "/linear-swap-ex/market/history/trade": self.trades,
            "/index/market/history/linear_swap_mark_price_kline": self.mark_klines,
            "/v5/market/funding_rate": self.funding,
            "/v5/market/funding_rate_history": self.funding_history,
            "/v5/market/open_interest": self.open_interest,
            "/api/v1/timestamp": lambda _: {"status": "ok", "ts": _now()},
        }

    def _market(self, query: Query) -> Market:
        missing = refusal(1066, "The contract_code field cannot be empty. Please re-enter.")
        unknown = refusal(1332, "The contract doesnt exist.")
        return self._dialect.market(query.get("contract_code"), missing, unknown)

    def _quoted(self, query: Query) -> Market:
        bad = market_refusal("invalid symbol")
        return self._dialect.market(query.get("contract_code"), bad, bad)

    def contracts(self, query: Query) -> object:
        one = query.get("contract_code")
        markets = [self._market(query)] if one else self._venue.markets
        if query.get("business_type", "swap") not in ("swap", "all"):
            markets = []
        return {"status": "ok", "data": [_contract(market) for market in markets], "ts": _now()}

    def all_merged(self, query: Query) -> object:
        one = query.get("contract_code")
        markets = [self._quoted(query)] if one else list(self._venue.all_markets())
        ticks = [
            detail(market)
            | {
                "contract_code": market.instrument.id,
                "business_type": "swap",
                "number_of": str(2 * market.day.volume),
                "ts": market.now_ms,
            }
            for market in markets
        ]
        return {"status": "ok", "ticks": ticks, "ts": _now()}

    def merged(self, query: Query) -> object:
        market = self._quoted(query)
        return {
            "ch": f"market.{market.instrument.id}.detail.merged",
            "status": "ok",
            "tick": detail(market) | {"ts": market.now_ms},
            "ts": _now(),
        }

    def depth(self, query: Query) -> object:
        market = self._quoted(query)
        kind = query.get("type", "")
        if not kind.startswith("step"):
            raise market_refusal("invalid type")
        channel = f"market.{market.instrument.id}.depth.{kind}"
        return {"ch": channel, "status": "ok", "tick": step(market, channel), "ts": _now()}

    def _candles(self, query: Query) -> tuple[Market, list[Candle]]:
        market = self._quoted(query)
        span = PERIODS.get(query.get("period", ""))
        if span is None:
            raise market_refusal("invalid period")
        size = whole(query, "size", market_refusal("invalid size"))
        start = whole(query, "from", market_refusal("invalid from"))
        end = whole(query, "to", market_refusal("invalid to"))
        if size is not None and not 1 <= size <= KLINES_MAX:
            raise market_refusal("invalid size, valid range: [1,2000]")
        first, last = 0, _now() // MINUTE_MS
        if size is None and start is not None:
            first, size = -(-start // 60), KLINES_MAX
            last = min(last, end // 60) if end is not None else last
        found = market.candles.spans(span, first, last, size or KLINES_DEFAULT)
        return market, found

    def klines(self, query: Query) -> object:
        market, candles = self._candles(query)
        channel = f"market.{market.instrument.id}.kline.{query['period']}"
        rows = [kline(market, candle) for candle in candles]
        return {"ch": channel, "data": rows, "status": "ok", "ts": _now()}

    def mark_klines(self, query: Query) -> object:
        """Prices as text, volumes zero: a mark price is not traded."""
        market, candles = self._candles(query)
        channel = f"market.{market.instrument.id}.mark_price.{query['period']}"
        span = PERIODS[query["period"]]
        now = market.candles.current(span, market.candles.last.minute)
        if candles and candles[-1].minute == now.minute:
            middle = (market.book.best_bid + market.book.best_ask) // 2
            candles[-1].merge(Candle(now.minute, middle, middle, middle, middle))
        rows = [mark_kline(market, candle) for candle in candles]
        return {"ch": channel, "data": rows, "status": "ok", "ts": _now()}

    def trades(self, query: Query) -> object:
        market = self._quoted(query)
        size = whole(query, "size", market_refusal("invalid size")) or 1
        if not 1 <= size <= TRADES_MAX:
            raise market_refusal("invalid size, valid range: [1,2000]")
        rows = [
            {"id": trade_id(trade) // 10_000, "ts": trade.t_ms, "data": [deal(market, trade)]}
            for trade in list(market.trades)[-size:]
        ]
        channel = f"market.{market.instrument.id}.trade.detail"
        return {"ch": channel, "data": rows[::-1], "status": "ok", "ts": _now()}

    def _v5(self, query: Query) -> Market:
        bad = VenueError(200, {"code": 1332, "message": "The contract doesnt exist.", "ts": _now()})
        return self._dialect.market(query.get("contract_code"), bad, bad)

    def funding(self, query: Query) -> object:
        market = self._v5(query)
        funding = market.funding
        data = {
            "contract_code": market.instrument.id,
            "funding_rate": f"{funding.rate:.12f}",
            "estimated_rate": None,
            "funding_time": str(funding.next_ms),
            "next_funding_time": str(funding.next_ms + funding.interval_ms),
        }
        return {"code": 200, "message": "Success", "data": [data], "ts": _now()}

    def open_interest(self, query: Query) -> object:
        market = self._v5(query)
        contracts = market.open_interest
        data = {
            "contract_code": market.instrument.id,
            "volume": str(contracts),
            "value": f"{market.quote(contracts * market.last):.4f}",
            "amount": market.base_text(contracts),
        }
        return {"code": 200, "message": "Success", "data": data, "ts": _now()}

    def funding_history(self, query: Query) -> object:
        """Settlements, newest first."""
        market = self._v5(query)
        bad = VenueError(200, {"code": 1067, "message": "Parameter error.", "ts": _now()})
        limit = min(whole(query, "limit", bad) or FUNDINGS_DEFAULT, FUNDINGS_MAX)
        start, end = whole(query, "start_time", bad) or 0, whole(query, "end_time", bad)
        found = market.settlements(start, market.now_ms if end is None else end)[-limit:]
        data = [
            {
                "contract_code": market.instrument.id,
                "fee_asset": "USDT",
                "funding_rate": f"{one.rate:.12f}",
                "realized_rate": f"{one.rate:.12f}",
                "avg_premium_index": "0",
                "funding_time": str(one.next_ms),
            }
            for one in reversed(found)
        ]
        return {"code": 200, "message": "Success", "data": data, "ts": _now()}


def trade_id(trade: Trade) -> int:
    """The id of a taker's order followed by the number of its fill, here always 0."""
    return trade.id * 10_000


def deal(market: Market, trade: Trade) -> dict[str, object]:
    """`amount` in contracts, `quantity` in base currency."""
    return {
        "amount": trade.size,
        "quantity": market.base(trade.size),
        "trade_turnover": round(market.quote(trade.size * trade.price), 6),
        "ts": trade.t_ms,
        "id": trade_id(trade),
        "price": market.price(trade.price),
        "direction": "buy" if trade.taker_buys else "sell",
    }


def best(market: Market) -> dict[str, list[float]]:
    book = market.book
    return {
        "bid": [market.price(book.best_bid), book.sizes[book.best_bid]],
        "ask": [market.price(book.best_ask), book.sizes[-book.best_ask]],
    }


def detail(market: Market) -> dict[str, object]:
    day = market.day
    return {
        "id": market.now_ms // 1000,
        "mrid": market.book.update_id,
        "open": market.price_text(day.open),
        "close": market.price_text(market.last),
        "high": market.price_text(day.high),
        "low": market.price_text(day.low),
        "amount": market.base_text(day.volume),
        "vol": str(day.volume),
        "trade_turnover": f"{market.quote(day.turnover):.4f}",
        "count": day.count,
        **best(market),
    }


def levels(market: Market, view: dict[int, int]) -> dict[str, list[list[float]]]:
    bids, asks = sides(view)
    return {
        "bids": [[market.price(price), size] for price, size in bids],
        "asks": [[market.price(price), size] for price, size in asks],
    }


def step(market: Market, channel: str) -> dict[str, object]:
    book = market.book
    ids = {"ch": channel, "id": book.update_id, "mrid": book.update_id}
    return {
        **levels(market, book.view(DEPTH)),
        **ids,
        "ts": market.now_ms,
        "version": book.update_id,
    }


def kline(market: Market, candle: Candle) -> dict[str, object]:
    return {
        "id": candle.minute * 60,
        "open": market.price(candle.open),
        "close": market.price(candle.close),
        "low": market.price(candle.low),
        "high": market.price(candle.high),
        "amount": market.base(candle.volume),
        "vol": candle.volume,
        "trade_turnover": round(market.quote(candle.turnover), 4),
        "count": candle.count,
    }


def mark_kline(market: Market, candle: Candle) -> dict[str, object]:
    return {
        "id": candle.minute * 60,
        "trade_turnover": "0",
        "open": market.price_text(candle.open),
        "close": market.price_text(candle.close),
        "high": market.price_text(candle.high),
        "low": market.price_text(candle.low),
        "vol": "0",
        "amount": "0",
        "count": "0",
    }


def _contract(market: Market) -> dict[str, object]:
    instrument = market.instrument
    return {
        "symbol": instrument.base,
        "contract_code": instrument.id,
        "contract_size": float(instrument.unit),
        "price_tick": float(instrument.tick),
        "delivery_date": "",
        "delivery_time": "",
        "create_date": "20201021",
        "contract_status": 1 if market.listed else 0,
        "settlement_date": str(market.funding.next_ms),
        "support_margin_mode": "all",
        "business_type": "swap",
        "pair": instrument.id,
        "contract_type": "swap",
        "trade_partition": "USDT",
    }
