"""Kraken Futures REST: paths below /derivatives/api and /api/charts."""

from collections.abc import Callable
from datetime import UTC, datetime

from simulator.candles import Candle
from simulator.clock import now_ms as _now
from simulator.dialect import Dialect, Query, VenueError, whole
from simulator.funding import Funding
from simulator.happening import Trade
from simulator.market import LEVELS, MINUTE_MS, Market
from simulator.universe import base_name
from simulator.view_topic import sides
from simulator.weights import Limit

BASE = "/derivatives/api/v3"
CHARTS = "/api/charts/v1"
# "Clients can spend up to 500 every 10 seconds"; public endpoints are said to cost nothing. One
# each stands for what guards them all the same.
LIMITS = {"public": Limit(500, 10)}

WHOLE_BOOK = 2 * LEVELS
TRADES_MAX = 100
CANDLES_MAX = 2000
PRICES = ("spot", "mark", "trade")
RESOLUTIONS = {
    "1m": 1,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "1h": 60,
    "4h": 240,
    "12h": 720,
    "1d": 1440,
    "1w": 10_080,
}

Handler = Callable[[Query], object]


def refusal(status: int, error: str) -> VenueError:
    return VenueError(status, {"result": "error", "error": error, "serverTime": iso(_now())})


def iso(t_ms: int) -> str:
    stamp = datetime.fromtimestamp(t_ms / 1000, UTC)
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{t_ms % 1000:03d}Z"


class Rest:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._venue = dialect.venue
        self._paths: dict[str, Handler] = {
            f"{BASE}/instruments": self.instruments,
            f"{BASE}/tickers": self.tickers,
            f"{BASE}/orderbook": self.orderbook,
            f"{BASE}/history": self.history,
            f"{BASE}/historical-funding-rates": self.funding_rates,
            "/derivatives/api/v4/historicalfundingrates": self.funding_rates,
        }

    def handler(self, path: str) -> Handler | None:
        found = self._paths.get(path)
        if found is None and path.startswith(f"{BASE}/tickers/"):
            return lambda _: self.ticker(path.removeprefix(f"{BASE}/tickers/"))
        if found is None and path.startswith(f"{CHARTS}/"):
            return self._charts(path.removeprefix(f"{CHARTS}/").split("/"))
        if found is None:
            return None
        return lambda query: _said(found(query))

    def _market(self, name: str | None) -> Market:
        missing = refusal(400, "requiredArgumentMissing")
        return self._dialect.market(name, missing, refusal(404, "contractNotFound"))

    def instruments(self, _query: Query) -> object:
        return {"instruments": [contract(market) for market in self._venue.markets]}

    def tickers(self, _query: Query) -> object:
        return {"tickers": [ticker(market) for market in self._venue.all_markets()]}

    def ticker(self, name: str) -> object:
        return _said({"ticker": ticker(self._market(name))})

    def orderbook(self, query: Query) -> object:
        """The whole book, without the number that the stream gives it."""
        market = self._market(query.get("symbol"))
        bids, asks = (
            [[market.price(price), market.base(size)] for price, size in side]
            for side in sides(market.book.view(WHOLE_BOOK))
        )
        return {"orderBook": {"bids": bids, "asks": asks}}

    def history(self, query: Query) -> object:
        """The newest hundred, or the newest before `lastTime`; newest first."""
        market, before = self._market(query.get("symbol")), _time(query.get("lastTime"))
        found = [one for one in market.trades if before is None or one.t_ms < before]
        latest = found[-TRADES_MAX:]
        return {"history": [fill(market, one, n) for n, one in enumerate(latest, 1)][::-1]}

    def funding_rates(self, query: Query) -> object:
        """All that there ever were, oldest first."""
        market = self._market(query.get("symbol"))
        return {"rates": [settled(market, one) for one in market.settlements(0, market.now_ms)]}

    def _charts(self, parts: list[str]) -> Handler | None:
        """`{price}/{symbol}/{resolution}`, times in whole seconds."""
        if len(parts) != 3 or parts[0] not in PRICES or parts[2] not in RESOLUTIONS:
            return None
        price, name, resolution = parts
        return lambda query: self.candles(query, name, RESOLUTIONS[resolution], price == "trade")

    def candles(self, query: Query, name: str, span: int, traded: bool) -> object:
        """The oldest of those asked for. Of mark and index prices those of the trades, unmoved."""
        market, bad = self._market(name), refusal(400, "Bad Request")
        since, until = whole(query, "from", bad), whole(query, "to", bad)
        last = (_now() // 1000 if until is None else until) // 60
        first = last - CANDLES_MAX * span if since is None else -(-since // 60)
        count = max(1, (last - first) // span + 2)
        found = market.candles.spans(span, first, last, count)
        shown = found[:CANDLES_MAX]
        rows = [candle_row(market, one, traded) for one in shown]
        return {"candles": rows, "more_candles": len(shown) < len(found)}


def _said(body: object) -> object:
    assert isinstance(body, dict)
    return {"result": "success", **body, "serverTime": iso(_now())}


def _time(text: str | None) -> int | None:
    """Milliseconds of a time as the venue writes it."""
    if not text:
        return None
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        raise refusal(400, "invalidArgument: lastTime") from None


def trade_id(market: Market, trade: Trade) -> str:
    return f"{market.uuid_head}-{trade.id:012x}"


def trade_type(market: Market, trade: Trade) -> str:
    """Of the taker's side."""
    return "liquidation" if trade.id in market.forced else "fill"


def fill(market: Market, trade: Trade, number: int) -> dict[str, object]:
    """`trade_id` numbers the rows of one answer."""
    return {
        "time": iso(trade.t_ms),
        "trade_id": number,
        "price": market.price(trade.price),
        "size": market.base(trade.size),
        "side": "buy" if trade.taker_buys else "sell",
        "type": trade_type(market, trade),
        "uid": trade_id(market, trade),
    }


def candle_row(market: Market, candle: Candle, traded: bool) -> dict[str, object]:
    return {
        "time": candle.minute * MINUTE_MS,
        "open": market.price_text(candle.open),
        "high": market.price_text(candle.high),
        "low": market.price_text(candle.low),
        "close": market.price_text(candle.close),
        "volume": market.base_text(candle.volume) if traded else "0",
    }


def pair(market: Market) -> str:
    instrument = market.instrument
    return f"{base_name(instrument.venue, instrument.base)}:{instrument.quote}"


def absolute(market: Market, rate: float) -> float:
    """A relative rate as quote currency a unit of base currency."""
    return round(rate * market.mark, 18)


def ticker(market: Market) -> dict[str, object]:
    """`fundingRate` is absolute and hourly; `lastTime` that of the last trade."""
    day, book, funding = market.day, market.book, market.funding
    last = market.trades[-1] if market.trades else None
    return {
        "symbol": market.instrument.id,
        "last": market.price(market.last),
        "lastTime": iso(last.t_ms if last else market.now_ms),
        "tag": "perpetual",
        "pair": pair(market),
        "markPrice": market.mark,
        "bid": market.price(book.best_bid),
        "bidSize": market.base(book.sizes[book.best_bid]),
        "ask": market.price(book.best_ask),
        "askSize": market.base(book.sizes[-book.best_ask]),
        "vol24h": market.base(day.volume),
        "volumeQuote": round(market.quote(day.turnover), 4),
        "openInterest": market.base(market.open_interest),
        "open24h": market.price(day.open),
        "high24h": market.price(day.high),
        "low24h": market.price(day.low),
        "lastSize": market.base(last.size if last else 0),
        "fundingRate": absolute(market, funding.rate),
        "fundingRatePrediction": absolute(market, funding.rate),
        "suspended": False,
        "indexPrice": market.index,
        "postOnly": False,
        "change24h": change(market),
    }


def change(market: Market) -> float:
    """Of 24 hours, in percent."""
    opened = market.day.open
    return round(100 * (market.last - opened) / opened, 2)


def settled(market: Market, one: Funding) -> dict[str, object]:
    """Both rates stay as they were, whatever the price is by now."""
    price = market.price(market.candles.close_at(one.next_ms))
    return {
        "timestamp": iso(one.next_ms),
        "fundingRate": round(one.rate * price, 18),
        "relativeFundingRate": one.rate,
    }


def contract(market: Market) -> dict[str, object]:
    instrument = market.instrument
    levels = [{"numNonContractUnits": 0.0, "initialMargin": 0.02, "maintenanceMargin": 0.01}]
    return {
        "symbol": instrument.id,
        "type": "flexible_futures",
        "tradeable": market.listed,
        "tickSize": float(instrument.tick),
        "contractSize": 1,
        "contractValueTradePrecision": instrument.size_places,
        "impactMidSize": 1,
        "maxPositionSize": 1_000_000.0,
        "openingDate": iso(market.candles.first_minute * MINUTE_MS),
        "marginLevels": levels,
        "fundingRateCoefficient": 1,
        "maxRelativeFundingRate": 0.0025,
        "isin": "",
        "postOnly": False,
        "category": "",
        "tags": [],
        "base": instrument.base,
        "quote": instrument.quote,
        "pair": f"{instrument.base}:{instrument.quote}",
    }
