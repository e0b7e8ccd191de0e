"""Bitget REST: paths below /api/v2/mix/market."""

from collections.abc import Callable

from simulator.candles import Candle, ChinaSpan
from simulator.clock import now_ms as _now
from simulator.dialect import Dialect, Query, VenueError, whole
from simulator.happening import Trade
from simulator.market import MINUTE_MS, Market
from simulator.view_topic import sides
from simulator.weights import Limit

BASE = "/api/v2/mix/market"
# "Rate limit: 20 times/1s (IP)" on most pages, each path for itself; 10 on fills-history.
LIMITS = {"path": Limit(20, 1), "slow": Limit(10, 1)}
SLOW_PATHS = frozenset({f"{BASE}/fills-history"})

PRODUCT = "USDT-FUTURES"
OTHER_PRODUCTS = frozenset(
    {"COIN-FUTURES", "USDC-FUTURES", "SUSDT-FUTURES", "SCOIN-FUTURES", "SUSDC-FUTURES"}
)
DEPTHS = {"1": 1, "5": 5, "15": 15, "50": 50, "max": 500}
DEPTH_DEFAULT = "100"
FILLS_MAX = 1000
FUNDINGS_DEFAULT, FUNDINGS_MAX = 20, 100
CANDLES_DEFAULT, CANDLES_MAX, HISTORY_CANDLES_MAX = 100, 1000, 200
# Widths above four hours begin at midnight in UTC+8, unless they say `utc`.
INTERVALS = {
    "1m": 1,
    "3m": 3,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "1H": 60,
    "2H": 120,
    "4H": 240,
    "6H": ChinaSpan(360),
    "12H": ChinaSpan(720),
    "1D": ChinaSpan(1440),
    "1W": ChinaSpan(10080),
    "6Hutc": 360,
    "12Hutc": 720,
    "1Dutc": 1440,
    "1Wutc": 10080,
}

Handler = Callable[[Query], object]


def refusal(status: int, code: str, text: str) -> VenueError:
    return VenueError(status, {"code": code, "msg": text, "requestTime": _now(), "data": None})


def verification(name: str) -> VenueError:
    return refusal(400, "40020", f"Parameter {name} error")


class Rest:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._venue = dialect.venue

    def paths(self) -> dict[str, Handler]:
        handlers: dict[str, Handler] = {
            "contracts": self._list(_contract),
            "tickers": self._list(ticker),
            "ticker": self._one(ticker),
            "current-fund-rate": self._list(_funding),
            "symbol-price": self._one(_prices),
            "merge-depth": self.depth,
            "candles": self._candles(CANDLES_MAX),
            "history-candles": self._candles(HISTORY_CANDLES_MAX),
            "fills": self.fills,
            "fills-history": self.fills_history,
            "open-interest": self.open_interest,
            "history-fund-rate": self.funding_history,
        }
        paths = {f"{BASE}/{name}": self._product(made) for name, made in handlers.items()}
        return paths | {"/api/v2/public/time": self._wrap(lambda _: {"serverTime": str(_now())})}

    def _wrap(self, handler: Handler) -> Handler:
        def wrapped(query: Query) -> object:
            data = handler(query)
            return {"code": "00000", "msg": "success", "requestTime": _now(), "data": data}

        return wrapped

    def _product(self, handler: Handler) -> Handler:
        """Only USDT futures are simulated; the other product types exist and are empty."""

        def checked(query: Query) -> object:
            product = query.get("productType", "").upper()
            if product in OTHER_PRODUCTS:
                return []
            if product != PRODUCT:
                raise verification("productType")
            return handler(query)

        return self._wrap(checked)

    def _market(self, query: Query) -> Market:
        missing = refusal(400, "400172", "Parameter verification failed symbol")
        unknown = refusal(400, "40034", f"Parameter {query.get('symbol')} does not exist")
        return self._dialect.market(query.get("symbol"), missing, unknown)

    def _one(self, describe: Callable[[Market], object]) -> Handler:
        return lambda query: [describe(self._market(query))]

    def _list(self, describe: Callable[[Market], object]) -> Handler:
        def handler(query: Query) -> object:
            one = query.get("symbol")
            markets = [self._market(query)] if one else list(self._venue.all_markets())
            return [describe(market) for market in markets]

        return handler

    def depth(self, query: Query) -> object:
        market = self._market(query)
        depth = DEPTHS.get(query.get("limit") or DEPTH_DEFAULT, 100)
        bids, asks = sides(market.book.view(depth))
        return {
            "asks": [[market.price(price), market.base(size)] for price, size in asks],
            "bids": [[market.price(price), market.base(size)] for price, size in bids],
            "ts": str(market.now_ms),
            "scale": str(market.instrument.tick),
            "precision": "scale0",
            "isMaxPrecision": "NO",
        }

    def _candles(self, most: int) -> Handler:
        def handler(query: Query) -> object:
            market = self._market(query)
            span = INTERVALS.get(query.get("granularity", ""))
            if span is None:
                raise refusal(400, "400171", "Parameter verification failed granularity")
            start = whole(query, "startTime", verification("startTime"))
            end = whole(query, "endTime", verification("endTime"))
            limit = whole(query, "limit", verification("limit")) or CANDLES_DEFAULT
            if start is not None and end is not None and start > end:
                raise refusal(400, "40017", "Parameter verification failed")
            last = (end - 1 if end is not None else _now()) // MINUTE_MS
            first = 0 if start is None else -(-start // MINUTE_MS)
            found = market.candles.spans(span, first, last, min(limit, most))
            return [row(market, candle) for candle in found]

        return handler

    def fills(self, query: Query) -> object:
        market = self._market(query)
        limit = whole(query, "limit", verification("limit")) or 100
        return self._rows(market, list(market.trades)[-min(limit, 100) :])

    def fills_history(self, query: Query) -> object:
        market = self._market(query)
        limit = min(whole(query, "limit", verification("limit")) or 500, FILLS_MAX)
        start = whole(query, "startTime", verification("startTime"))
        end = whole(query, "endTime", verification("endTime"))
        below = whole(query, "idLessThan", verification("idLessThan"))
        trades = [
            trade
            for trade in market.trades
            if (start is None or trade.t_ms >= start)
            and (end is None or trade.t_ms <= end)
            and (below is None or int(trade_id(trade)) < below)
        ]
        return self._rows(market, trades[-limit:])

    @staticmethod
    def _rows(market: Market, trades: list[Trade]) -> list[dict[str, object]]:
        return [
            {
                "tradeId": trade_id(trade),
                "price": market.price_text(trade.price),
                "size": market.base_text(trade.size),
                "side": "Buy" if trade.taker_buys else "Sell",
                "ts": str(trade.t_ms),
                "symbol": market.instrument.id,
            }
            for trade in reversed(trades)
        ]

    def open_interest(self, query: Query) -> object:
        market = self._market(query)
        size = market.base_text(market.open_interest)
        rows = [{"symbol": market.instrument.id, "size": size}]
        return {"openInterestList": rows, "ts": str(_now())}

    def funding_history(self, query: Query) -> object:
        """Settlements, newest first, in numbered pages."""
        market = self._market(query)
        size = whole(query, "pageSize", verification("pageSize")) or FUNDINGS_DEFAULT
        page = whole(query, "pageNo", verification("pageNo")) or 1
        if not 1 <= size <= FUNDINGS_MAX or page < 1:
            raise verification("pageSize")
        found = market.settlements(0, market.now_ms)[::-1]
        return [
            {
                "symbol": market.instrument.id,
                "fundingRate": f"{one.rate:.8f}",
                "fundingTime": str(one.next_ms),
            }
            for one in found[(page - 1) * size : page * size]
        ]


def trade_id(trade: Trade) -> str:
    """Nineteen digits, ascending, not dense: the venue counts all its trades in one sequence."""
    return str(1_300_000_000_000_000_000 + trade.id * 1009)


def row(market: Market, candle: Candle) -> list[str]:
    return [
        str(candle.minute * MINUTE_MS),
        market.price_text(candle.open),
        market.price_text(candle.high),
        market.price_text(candle.low),
        market.price_text(candle.close),
        market.base_text(candle.volume),
        f"{market.quote(candle.turnover):.4f}",
    ]


def ticker(market: Market) -> dict[str, object]:
    day, book = market.day, market.book
    change = f"{(market.last - day.open) / day.open:.5f}"
    turnover = f"{market.quote(day.turnover):.4f}"
    places = market.instrument.price_places + 1
    return {
        "symbol": market.instrument.id,
        "lastPr": market.price_text(market.last),
        "askPr": market.price_text(book.best_ask),
        "bidPr": market.price_text(book.best_bid),
        "bidSz": market.base_text(book.sizes[book.best_bid]),
        "askSz": market.base_text(book.sizes[-book.best_ask]),
        "high24h": market.price_text(day.high),
        "low24h": market.price_text(day.low),
        "ts": str(market.now_ms),
        "change24h": change,
        "baseVolume": market.base_text(day.volume),
        "quoteVolume": turnover,
        "usdtVolume": turnover,
        "openUtc": market.price_text(day.open),
        "changeUtc24h": change,
        "indexPrice": f"{market.index:.{places}f}",
        "fundingRate": f"{market.funding.rate:.8f}",
        "holdingAmount": market.base_text(market.open_interest),
        "open24h": market.price_text(day.open),
        "deliveryStartTime": None,
        "deliveryTime": None,
        "deliveryStatus": "",
        "markPrice": f"{market.mark:.{places}f}",
    }


def _prices(market: Market) -> dict[str, object]:
    full = ticker(market)
    names = ("symbol", "indexPrice", "markPrice", "ts")
    return {"price": full["lastPr"]} | {name: full[name] for name in names}


def _funding(market: Market) -> dict[str, object]:
    funding = market.funding
    return {
        "symbol": market.instrument.id,
        "fundingRate": f"{funding.rate:.8f}",
        "fundingRateInterval": str(funding.interval_hours),
        "nextUpdate": str(funding.next_ms),
        "minFundingRate": "-0.003",
        "maxFundingRate": "0.003",
    }


def _contract(market: Market) -> dict[str, object]:
    instrument = market.instrument
    step = str(instrument.unit)
    return {
        "symbol": instrument.id,
        "baseCoin": instrument.base,
        "quoteCoin": "USDT",
        "buyLimitPriceRatio": "0.05",
        "sellLimitPriceRatio": "0.05",
        "makerFeeRate": "0.0002",
        "takerFeeRate": "0.0006",
        "supportMarginCoins": ["USDT"],
        "minTradeNum": step,
        "priceEndStep": str(instrument.tick.as_tuple().digits[-1]),
        "volumePlace": str(instrument.size_places),
        "pricePlace": str(instrument.price_places),
        "sizeMultiplier": step,
        "symbolType": "perpetual",
        "minTradeUSDT": "5",
        "symbolStatus": "normal" if market.listed else "off",
        "offTime": "-1",
        "limitOpenTime": "-1",
        "deliveryTime": "",
        "launchTime": str(market.candles.first_minute * MINUTE_MS),
        "fundInterval": str(market.funding.interval_hours),
        "minLever": "1",
        "maxLever": "125",
    }
