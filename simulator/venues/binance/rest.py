"""Binance REST: paths below /fapi."""

from collections.abc import Callable

from simulator.candles import Candle
from simulator.clock import now_ms as _now
from simulator.dialect import Dialect, Query, VenueError, whole
from simulator.funding import Funding
from simulator.happening import Trade
from simulator.market import MINUTE_MS, Market
from simulator.weights import Charge, Limit

# exchangeInfo.rateLimits: 2400 weight a minute and IP; funding paths share 500 in 5 minutes.
LIMITS = {"ip": Limit(2400, 60), "funding": Limit(500, 300)}

# "Request Weight" of each endpoint's page: (with symbol, without).
WEIGHTS = {
    "/fapi/v1/ticker/24hr": (1, 40),
    "/fapi/v1/ticker/bookTicker": (2, 5),
    "/fapi/v1/ticker/price": (1, 2),
    "/fapi/v1/premiumIndex": (1, 10),
    "/fapi/v1/aggTrades": (20, 20),
    "/fapi/v1/trades": (5, 5),
}
DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
DEPTH_DEFAULT = 500
KLINE_WEIGHTS = ((99, 1), (499, 2), (1000, 5), (1500, 10))
KLINE_DEFAULT, KLINE_MAX = 500, 1500
AGG_DEFAULT, AGG_MAX = 500, 1000
FUNDINGS_DEFAULT, FUNDINGS_MAX = 100, 1000
HOUR_MS = 3_600_000
INTERVALS = {
    "1m": 1,
    "3m": 3,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "1h": 60,
    "2h": 120,
    "4h": 240,
    "6h": 360,
    "8h": 480,
    "12h": 720,
    "1d": 1440,
    "3d": 4320,
    "1w": 10080,
}

UNKNOWN = VenueError(400, {"code": -1121, "msg": "Invalid symbol."})
COMBINATION = VenueError(400, {"code": -1128, "msg": "Combination of optional parameters invalid."})
TOO_LONG = VenueError(
    400,
    {
        "code": -1127,
        "msg": "Lookup interval is too big. More than 1 hours between startTime and endTime.",
    },
)
BAD_INTERVAL = VenueError(400, {"code": -1120, "msg": "Invalid interval."})


def missing(name: str) -> VenueError:
    text = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    return VenueError(400, {"code": -1102, "msg": text})


def illegal(name: str) -> VenueError:
    text = f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
    return VenueError(400, {"code": -1100, "msg": text})


def weigh(path: str, query: Query) -> Charge:
    if path in ("/fapi/v1/fundingInfo", "/fapi/v1/fundingRate"):
        return Charge("funding", 1)
    if path == "/fapi/v1/depth":
        limit = _digits(query, DEPTH_DEFAULT)
        return Charge("ip", DEPTH_WEIGHTS.get(limit, 1))
    if path in ("/fapi/v1/klines", "/fapi/v1/markPriceKlines"):
        limit = _digits(query, KLINE_DEFAULT)
        return Charge("ip", next((cost for most, cost in KLINE_WEIGHTS if limit <= most), 10))
    one, every = WEIGHTS.get(path, (1, 1))
    return Charge("ip", one if "symbol" in query else every)


def _digits(query: Query, default: int) -> int:
    text = query.get("limit", "")
    return int(text) if text.isdecimal() else default


class Rest:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._venue = dialect.venue

    def paths(self) -> dict[str, Callable[[Query], object]]:
        return {
            "/fapi/v1/ping": lambda _: {},
            "/fapi/v1/time": lambda _: {"serverTime": _now()},
            "/fapi/v1/exchangeInfo": self.exchange_info,
            "/fapi/v1/ticker/24hr": self._each(_day),
            "/fapi/v1/ticker/bookTicker": self._each(_best),
            "/fapi/v1/ticker/price": self._each(_price),
            "/fapi/v1/premiumIndex": self._each(_premium),
            "/fapi/v1/fundingInfo": self.funding_info,
            "/fapi/v1/fundingRate": self.funding_rates,
            "/fapi/v1/depth": self.depth,
            "/fapi/v1/aggTrades": self.agg_trades,
            "/fapi/v1/trades": self.trades,
            "/fapi/v1/klines": self.klines,
            "/fapi/v1/markPriceKlines": self.mark_klines,
            "/fapi/v1/openInterest": self.open_interest,
        }

    def _market(self, query: Query) -> Market:
        return self._dialect.market(query.get("symbol"), missing("symbol"), UNKNOWN)

    def _each(self, describe: Callable[[Market], object]) -> Callable[[Query], object]:
        """One market where a symbol is asked for, else a list of all."""

        def handler(query: Query) -> object:
            if query.get("symbol"):
                return describe(self._market(query))
            return [describe(market) for market in self._venue.all_markets()]

        return handler

    def exchange_info(self, _query: Query) -> object:
        return {
            "timezone": "UTC",
            "serverTime": _now(),
            "futuresType": "U_MARGINED",
            "rateLimits": [
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": LIMITS["ip"].weight,
                }
            ],
            "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
            "symbols": [_contract(market) for market in self._venue.markets],
        }

    def funding_info(self, _query: Query) -> object:
        return [
            {
                "symbol": market.instrument.id,
                "adjustedFundingRateCap": "0.02000000",
                "adjustedFundingRateFloor": "-0.02000000",
                "fundingIntervalHours": market.funding.interval_hours,
                "disclaimer": False,
            }
            for market in self._venue.markets
            if market.listed
        ]

    def funding_rates(self, query: Query) -> object:
        """Settlements, ascending: the first ones after `startTime`, else the latest."""
        asked = query.get("symbol")
        markets = [self._market(query)] if asked else list(self._venue.all_markets())
        limit = min(whole(query, "limit", illegal("limit")) or FUNDINGS_DEFAULT, FUNDINGS_MAX)
        start = whole(query, "startTime", illegal("startTime"))
        end = whole(query, "endTime", illegal("endTime"))
        last = _now() if end is None else end
        first = start or 0
        rows = [_settled(one, each) for one in markets for each in one.settlements(first, last)]
        rows.sort(key=lambda row: int(str(row["fundingTime"])))
        return rows[:limit] if start is not None else rows[-limit:]

    def depth(self, query: Query) -> object:
        market = self._market(query)
        limit = whole(query, "limit", illegal("limit")) or DEPTH_DEFAULT
        if limit not in DEPTH_WEIGHTS:
            raise VenueError(400, {"code": -4021, "msg": f"{limit} is not valid depth limit."})
        bids, asks = levels(market, market.book.view(limit))
        return {
            "lastUpdateId": market.book.update_id,
            "E": _now(),
            "T": market.now_ms,
            "bids": bids,
            "asks": asks,
        }

    def agg_trades(self, query: Query) -> object:
        market = self._market(query)
        start = whole(query, "startTime", illegal("startTime"))
        end = whole(query, "endTime", illegal("endTime"))
        first = whole(query, "fromId", illegal("fromId"))
        limit = min(whole(query, "limit", illegal("limit")) or AGG_DEFAULT, AGG_MAX)
        if first is not None and (start is not None or end is not None):
            raise COMBINATION
        if start is not None and end is not None and end - start > HOUR_MS:
            raise TOO_LONG
        trades = list(market.trades)
        if first is not None:
            trades = [trade for trade in trades if trade.id >= first][:limit]
        elif start is not None:
            last = end if end is not None else start + HOUR_MS
            trades = [trade for trade in trades if start <= trade.t_ms <= last][:limit]
        else:
            last = end if end is not None else _now()
            trades = [trade for trade in trades if trade.t_ms <= last][-limit:]
        return [agg_trade(market, trade) for trade in trades]

    def trades(self, query: Query) -> object:
        market = self._market(query)
        limit = min(whole(query, "limit", illegal("limit")) or 500, 1000)
        fills = [fill for trade in list(market.trades)[-limit:] for fill in _fills(market, trade)]
        return fills[-limit:]

    def klines(self, query: Query) -> list[list[object]]:
        market = self._market(query)
        if not query.get("interval"):
            raise missing("interval")
        span = INTERVALS.get(query["interval"])
        if span is None:
            raise BAD_INTERVAL
        limit = min(whole(query, "limit", illegal("limit")) or KLINE_DEFAULT, KLINE_MAX)
        start = whole(query, "startTime", illegal("startTime"))
        end = whole(query, "endTime", illegal("endTime"))
        last = (end if end is not None else _now()) // MINUTE_MS
        first = 0 if start is None else -(-start // MINUTE_MS)
        if start is not None:
            last = min(last, first + span * limit - 1)
        found = market.candles.spans(span, first, last, limit)
        return [_kline(market, candle, span) for candle in found]

    def mark_klines(self, query: Query) -> object:
        """A mark price is not traded: no volume."""
        return [[*row[:5], "0", row[6], "0", row[8], "0", "0", "0"] for row in self.klines(query)]

    def open_interest(self, query: Query) -> object:
        market = self._market(query)
        return {
            "symbol": market.instrument.id,
            "openInterest": market.base_text(market.open_interest),
            "time": _now(),
        }


def levels(market: Market, view: dict[int, int]) -> tuple[list[list[str]], list[list[str]]]:
    bids = [
        [market.price_text(key), market.base_text(size)] for key, size in view.items() if key > 0
    ]
    asks = [
        [market.price_text(-key), market.base_text(size)] for key, size in view.items() if key < 0
    ]
    return bids, asks


def agg_trade(market: Market, trade: Trade) -> dict[str, object]:
    return {
        "a": trade.id,
        "p": market.price_text(trade.price),
        "q": market.base_text(trade.size),
        "f": trade.first_fill,
        "l": trade.first_fill + len(trade.fills) - 1,
        "T": trade.t_ms,
        "m": not trade.taker_buys,
    }


def _fills(market: Market, trade: Trade) -> list[dict[str, object]]:
    return [
        {
            "id": trade.first_fill + number,
            "price": market.price_text(trade.price),
            "qty": market.base_text(size),
            "quoteQty": f"{market.quote(size * trade.price):.4f}",
            "time": trade.t_ms,
            "isBuyerMaker": not trade.taker_buys,
        }
        for number, size in enumerate(trade.fills)
    ]


def _contract(market: Market) -> dict[str, object]:
    instrument = market.instrument
    tick, step = str(instrument.tick), str(instrument.unit)
    born = market.candles.first_minute * MINUTE_MS
    return {
        "symbol": instrument.id,
        "pair": instrument.id,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": born,
        "status": "TRADING" if market.listed else "SETTLING",
        "baseAsset": instrument.base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": instrument.price_places,
        "quantityPrecision": instrument.size_places,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "10000000",
                "tickSize": tick,
            },
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "100000000", "stepSize": step},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
    }


def _day(market: Market) -> dict[str, object]:
    day, now = market.day, _now()
    last_trade = market.trades[-1] if market.trades else None
    return {
        "symbol": market.instrument.id,
        **changes(market, day),
        "lastPrice": market.price_text(market.last),
        "lastQty": market.base_text(last_trade.size if last_trade else 0),
        "openPrice": market.price_text(day.open),
        "highPrice": market.price_text(day.high),
        "lowPrice": market.price_text(day.low),
        "volume": market.base_text(day.volume),
        "quoteVolume": f"{market.quote(day.turnover):.2f}",
        "openTime": now - 24 * HOUR_MS,
        "closeTime": now,
        "firstId": market.last_trade_id - day.count,
        "lastId": market.last_trade_id,
        "count": day.count,
    }


def changes(market: Market, day: Candle) -> dict[str, str]:
    percent = 100 * (market.last - day.open) / day.open
    average = day.turnover / day.volume if day.volume else day.close
    return {
        "priceChange": market.price_text(market.last - day.open),
        "priceChangePercent": f"{percent:.3f}",
        "weightedAvgPrice": market.price_text(round(average)),
    }


def _best(market: Market) -> dict[str, object]:
    book = market.book
    return {
        "symbol": market.instrument.id,
        "bidPrice": market.price_text(book.best_bid),
        "bidQty": market.base_text(book.sizes[book.best_bid]),
        "askPrice": market.price_text(book.best_ask),
        "askQty": market.base_text(book.sizes[-book.best_ask]),
        "time": market.now_ms,
        "lastUpdateId": book.update_id,
    }


def _price(market: Market) -> dict[str, object]:
    return {
        "symbol": market.instrument.id,
        "price": market.price_text(market.last),
        "time": market.now_ms,
    }


def _premium(market: Market) -> dict[str, object]:
    funding = market.funding
    return {
        "symbol": market.instrument.id,
        "markPrice": f"{market.mark:.8f}",
        "indexPrice": f"{market.index:.8f}",
        "estimatedSettlePrice": f"{market.index:.8f}",
        "lastFundingRate": f"{funding.rate:.8f}",
        "interestRate": "0.00010000",
        "nextFundingTime": funding.next_ms,
        "time": market.now_ms,
    }


def _settled(market: Market, settled: Funding) -> dict[str, object]:
    return {
        "symbol": market.instrument.id,
        "fundingTime": settled.next_ms,
        "fundingRate": f"{settled.rate:.8f}",
        "markPrice": f"{market.price(market.candles.close_at(settled.next_ms)):.8f}",
    }


def _kline(market: Market, candle: Candle, span: int) -> list[object]:
    opened = candle.minute * MINUTE_MS
    volume, turnover = market.base_text(candle.volume), f"{market.quote(candle.turnover):.4f}"
    return [
        opened,
        market.price_text(candle.open),
        market.price_text(candle.high),
        market.price_text(candle.low),
        market.price_text(candle.close),
        volume,
        opened + span * MINUTE_MS - 1,
        turnover,
        candle.count,
        market.base_text(candle.volume // 2),
        f"{market.quote(candle.turnover // 2):.4f}",
        "0",
    ]
