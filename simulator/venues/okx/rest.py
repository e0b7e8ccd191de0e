"""OKX REST: paths below /api/v5."""

from collections.abc import Callable, Iterable

from simulator.candles import Candle, ChinaSpan
from simulator.clock import now_ms as _now
from simulator.dialect import Dialect, Query, VenueError, whole
from simulator.funding import Funding
from simulator.happening import Trade
from simulator.market import MINUTE_MS, Market
from simulator.view_topic import sides
from simulator.weights import Limit

BASE = "/api/v5"
# "Rate Limit: N requests per 2 seconds", by address; the name of a limit is its N.
LIMITS = {
    "10": Limit(10, 2),
    "20": Limit(20, 2),
    "40": Limit(40, 2),
    "100": Limit(100, 2),
    "status": Limit(1, 5),
}
ENDPOINTS = {
    f"{BASE}/market/books": "40",
    f"{BASE}/market/candles": "40",
    f"{BASE}/market/trades": "100",
    f"{BASE}/public/funding-rate": "10",
    f"{BASE}/public/funding-rate-history": "10",
    f"{BASE}/public/mark-price": "10",
    f"{BASE}/public/time": "10",
    f"{BASE}/system/status": "status",
}

SWAP = "SWAP"
BOOK_DEFAULT, BOOK_MAX = 1, 400
TRADES_DEFAULT, TRADES_MAX, HISTORY_TRADES_MAX = 100, 500, 100
CANDLES_DEFAULT, CANDLES_MAX = 100, 300
CANDLES_REACH = 1440
"""The latest candles of a width that `candles` serves; older ones are `history-candles`."""
FUNDINGS_MAX = 400
# Widths above four hours begin at midnight in UTC+8, unless they say `utc`.
BARS = {
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
Fill = dict[str, str]


def refusal(status: int, code: str, text: str) -> VenueError:
    return VenueError(status, {"code": code, "msg": text, "data": []})


def wrong(name: str) -> VenueError:
    return refusal(400, "51000", f"Parameter {name} error")


def empty(name: str) -> VenueError:
    return refusal(400, "50014", f"Parameter {name} can not be empty")


class Rest:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._venue = dialect.venue

    def paths(self) -> dict[str, Handler]:
        handlers: dict[str, Handler] = {
            "public/instruments": self._listed(contract),
            "public/mark-price": self._listed(mark_price),
            "public/open-interest": self._listed(open_interest),
            "public/funding-rate": self.funding_rate,
            "public/funding-rate-history": self.funding_history,
            "public/time": lambda _: [{"ts": str(_now())}],
            "market/tickers": self._listed(ticker),
            "market/ticker": lambda query: [ticker(self._market(query))],
            "market/index-tickers": self.index_tickers,
            "market/books": self.books,
            "market/trades": self.trades,
            "market/history-trades": self.history_trades,
            "market/candles": self._candles(history=False),
            "market/history-candles": self._candles(history=True),
            "system/status": lambda _: [],
        }
        return {f"{BASE}/{name}": self._wrap(made) for name, made in handlers.items()}

    @staticmethod
    def _wrap(handler: Handler) -> Handler:
        return lambda query: {"code": "0", "msg": "", "data": handler(query)}

    def _market(self, query: Query) -> Market:
        unknown = refusal(200, "51001", "Instrument ID or Spread ID doesn't exist.")
        return self._dialect.market(query.get("instId"), empty("instId"), unknown)

    def _listed(self, describe: Callable[[Market], object]) -> Handler:
        """Of one type, which may be narrowed to an instrument; other types than SWAP are empty."""

        def handler(query: Query) -> object:
            kind = query.get("instType")
            if kind is None:
                raise empty("instType")
            if kind not in (SWAP, "SPOT", "MARGIN", "FUTURES", "OPTION"):
                raise wrong("instType")
            if kind != SWAP:
                return []
            if query.get("instId"):
                return [describe(self._market(query))]
            return [describe(market) for market in self._venue.all_markets()]

        return handler

    def index_tickers(self, query: Query) -> object:
        name = query.get("instId")
        if name is None and query.get("quoteCcy") != "USDT":
            raise empty("instId")
        rows = [index_ticker(market) for market in self._venue.all_markets()]
        return [row for row in rows if name in (None, row["instId"])]

    def books(self, query: Query) -> object:
        market = self._market(query)
        depth = whole(query, "sz", wrong("sz")) or BOOK_DEFAULT
        if not 1 <= depth <= BOOK_MAX:
            raise wrong("sz")
        book = levels(market, market.book.view(depth))
        return [{**book, "ts": str(market.now_ms), "seqId": market.book.update_id}]

    def trades(self, query: Query) -> object:
        market = self._market(query)
        limit = whole(query, "limit", wrong("limit")) or TRADES_DEFAULT
        return _newest(market, min(limit, TRADES_MAX))

    def history_trades(self, query: Query) -> object:
        """Ids or times older than `after` and newer than `before`, newest first."""
        market = self._market(query)
        limit = min(whole(query, "limit", wrong("limit")) or TRADES_DEFAULT, HISTORY_TRADES_MAX)
        field = {"1": "tradeId", "2": "ts"}.get(query.get("type", "1"))
        if field is None:
            raise wrong("type")
        found = _between(query, fills(market, market.trades), field)
        return found[-limit:][::-1]

    def _candles(self, history: bool) -> Handler:
        def handler(query: Query) -> object:
            market = self._market(query)
            span = BARS.get(query.get("bar", "1m"))
            if span is None:
                raise wrong("bar")
            limit = whole(query, "limit", wrong("limit")) or CANDLES_DEFAULT
            older, newer = (
                whole(query, "after", wrong("after")),
                whole(query, "before", wrong("before")),
            )
            last = (_now() if older is None else min(older - 1, _now())) // MINUTE_MS
            first = 0 if newer is None else newer // MINUTE_MS + 1
            if not history:
                first = max(first, _now() // MINUTE_MS - CANDLES_REACH * span)
            found = market.candles.spans(span, first, last, min(limit, CANDLES_MAX))
            open_minute = market.candles.current(span, market.candles.last.minute).minute
            rows = [row(market, one, one.minute < open_minute) for one in reversed(found)]
            return [one for one in rows if one[-1] == "1"] if history else rows

        return handler

    def funding_rate(self, query: Query) -> object:
        if query.get("instId") == "ANY":
            return [funding(market) for market in self._venue.all_markets()]
        return [funding(self._market(query))]

    def funding_history(self, query: Query) -> object:
        market = self._market(query)
        limit = min(whole(query, "limit", wrong("limit")) or FUNDINGS_MAX, FUNDINGS_MAX)
        rows = [settled(market, one) for one in market.settlements(0, market.now_ms)]
        return _between(query, rows, "fundingTime")[-limit:][::-1]


def _between(query: Query, rows: Iterable[Fill], field: str) -> list[Fill]:
    older, newer = whole(query, "after", wrong("after")), whole(query, "before", wrong("before"))
    return [
        one
        for one in rows
        if (older is None or int(one[field]) < older) and (newer is None or int(one[field]) > newer)
    ]


def fills(market: Market, trades: Iterable[Trade]) -> list[Fill]:
    """Single executions, ascending; the stream `trades` pushes them together."""
    return [
        {
            "instId": market.instrument.id,
            "side": "buy" if trade.taker_buys else "sell",
            "sz": market.lots_text(size),
            "source": "0",
            "px": market.price_text(trade.price),
            "tradeId": str(trade.first_fill + number),
            "ts": str(trade.t_ms),
        }
        for trade in trades
        for number, size in enumerate(trade.fills)
    ]


def trade_id(trade: Trade) -> str:
    """Of the last fill: what the stream `trades` writes."""
    return str(trade.first_fill + len(trade.fills) - 1)


def _newest(market: Market, limit: int) -> list[Fill]:
    return fills(market, list(market.trades)[-limit:])[-limit:][::-1]


def levels(market: Market, view: dict[int, int]) -> dict[str, list[list[str]]]:
    """Price, contracts, a zero that means nothing any more, orders."""
    bids, asks = (
        [
            [
                market.price_text(price),
                market.lots_text(size) if size else "0",
                "0",
                str(min(size, 1 + size % 9)),
            ]
            for price, size in side
        ]
        for side in sides(view)
    )
    return {"asks": asks, "bids": bids}


def row(market: Market, candle: Candle, closed: bool) -> list[str]:
    return [
        str(candle.minute * MINUTE_MS),
        market.price_text(candle.open),
        market.price_text(candle.high),
        market.price_text(candle.low),
        market.price_text(candle.close),
        market.lots_text(candle.volume),
        market.base_text(candle.volume),
        f"{market.quote(candle.turnover):.4f}",
        "1" if closed else "0",
    ]


def _head(market: Market) -> dict[str, str]:
    return {"instType": SWAP, "instId": market.instrument.id}


def ticker(market: Market) -> dict[str, str]:
    """`vol24h` in contracts, `volCcy24h` in base currency."""
    day, book = market.day, market.book
    last_size = market.trades[-1].size if market.trades else 0
    return _head(market) | {
        "last": market.price_text(market.last),
        "lastSz": market.lots_text(last_size),
        "askPx": market.price_text(book.best_ask),
        "askSz": market.lots_text(book.sizes[-book.best_ask]),
        "bidPx": market.price_text(book.best_bid),
        "bidSz": market.lots_text(book.sizes[book.best_bid]),
        "open24h": market.price_text(day.open),
        "high24h": market.price_text(day.high),
        "low24h": market.price_text(day.low),
        "volCcy24h": market.base_text(day.volume),
        "vol24h": market.lots_text(day.volume),
        "ts": str(market.now_ms),
        "sodUtc0": market.price_text(_opened(market, 1440)),
        "sodUtc8": market.price_text(_opened(market, ChinaSpan(1440))),
    }


def _opened(market: Market, span: int) -> int:
    return market.candles.current(span, market.candles.last.minute).open


def index_ticker(market: Market) -> dict[str, str]:
    day, places = market.day, market.instrument.price_places + 1
    return {
        "instId": f"{market.instrument.base}-USDT",
        "idxPx": f"{market.index:.{places}f}",
        "high24h": market.price_text(day.high),
        "low24h": market.price_text(day.low),
        "open24h": market.price_text(day.open),
        "sodUtc0": market.price_text(_opened(market, 1440)),
        "sodUtc8": market.price_text(_opened(market, ChinaSpan(1440))),
        "ts": str(market.now_ms),
    }


def mark_price(market: Market) -> dict[str, str]:
    places = market.instrument.price_places + 1
    return _head(market) | {"markPx": f"{market.mark:.{places}f}", "ts": str(market.now_ms)}


def open_interest(market: Market) -> dict[str, str]:
    """`oi` in contracts, `oiCcy` in base currency."""
    units = market.open_interest
    return _head(market) | {
        "oi": market.lots_text(units),
        "oiCcy": market.base_text(units),
        "oiUsd": f"{market.quote(units * market.last):.4f}",
        "ts": str(market.now_ms),
    }


def funding(market: Market) -> dict[str, str]:
    now = market.funding
    before = market.settlements(now.next_ms - now.interval_ms, market.now_ms)
    return _head(market) | {
        "formulaType": "withRate",
        "fundingRate": f"{now.rate:.8f}",
        "fundingTime": str(now.next_ms),
        "impactValue": "",
        "interestRate": "0.0001",
        "maxFundingRate": "0.00375",
        "method": "current_period",
        "minFundingRate": "-0.00375",
        "nextFundingRate": "",
        "nextFundingTime": str(now.next_ms + now.interval_ms),
        "premium": f"{market.mark / market.index - 1:.8f}",
        "prevFundingTime": str(now.next_ms - now.interval_ms),
        "settFundingRate": f"{before[-1].rate:.8f}" if before else "",
        "settState": "settled",
        "ts": str(market.now_ms),
    }


def settled(market: Market, one: Funding) -> dict[str, str]:
    return _head(market) | {
        "formulaType": "withRate",
        "fundingRate": f"{one.rate:.8f}",
        "fundingTime": str(one.next_ms),
        "method": "current_period",
        "realizedRate": f"{one.rate:.8f}",
    }


def contract(market: Market) -> dict[str, str]:
    instrument = market.instrument
    family, lot = f"{instrument.base}-USDT", str(instrument.lot)
    return _head(market) | {
        "alias": "",
        "baseCcy": "",
        "category": "1",
        "ctMult": "1",
        "ctType": "linear",
        "ctVal": f"{(instrument.unit / instrument.lot).normalize():f}",
        "ctValCcy": instrument.base,
        "expTime": "",
        "instFamily": family,
        "lever": "100",
        "listTime": str(market.candles.first_minute * MINUTE_MS),
        "lotSz": lot,
        "maxLmtSz": "100000000",
        "maxMktSz": "1000000",
        "minSz": lot,
        "optType": "",
        "quoteCcy": "",
        "ruleType": "normal",
        "settleCcy": "USDT",
        "state": "live" if market.listed else "suspend",
        "stk": "",
        "tickSz": str(instrument.tick),
        "uly": family,
    }
