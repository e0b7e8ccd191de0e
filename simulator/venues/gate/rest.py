"""Gate REST: paths below /api/v4/futures/usdt."""

from collections.abc import Callable

from simulator.candles import Candle
from simulator.clock import now_ms, now_s
from simulator.dialect import Dialect, Query, VenueError, whole
from simulator.happening import Trade
from simulator.market import MINUTE_MS, Market
from simulator.view_topic import sides
from simulator.weights import Limit

BASE = "/api/v4/futures/usdt"
# "Perpetual Swap, public endpoints: 200r/10s per endpoint, based on IP".
LIMITS = {"endpoint": Limit(200, 10)}

BOOK_DEFAULT, BOOK_MAX = 10, 300
TRADES_DEFAULT, TRADES_MAX = 100, 1000
FUNDINGS_DEFAULT, FUNDINGS_MAX = 100, 1000
STATS_DEFAULT, STATS_MAX = 30, 100
STATS_INTERVALS = {"5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "1d": 1440}
CANDLES_DEFAULT, CANDLES_MAX = 100, 2000
INTERVALS = {
    "1m": 1,
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
    "7d": 10080,
    "1w": 10080,
}

Handler = Callable[[Query], object]


def invalid(text: str) -> VenueError:
    return VenueError(400, {"label": "INVALID_PARAM_VALUE", "message": text})


class Rest:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._venue = dialect.venue

    def paths(self) -> dict[str, Handler]:
        return {
            f"{BASE}/contracts": self.contracts,
            f"{BASE}/tickers": self.tickers,
            f"{BASE}/order_book": self.order_book,
            f"{BASE}/candlesticks": self.candlesticks,
            f"{BASE}/trades": self.trades,
            f"{BASE}/funding_rate": self.funding_rates,
            f"{BASE}/contract_stats": self.contract_stats,
            "/api/v4/futures/btc/contracts": lambda _: [],
            "/api/v4/spot/time": lambda _: {"server_time": now_ms()},
        }

    def _market(self, id_: str | None) -> Market:
        missing = VenueError(
            400,
            {"label": "MISSING_REQUIRED_PARAM", "message": "Missing required parameter: contract"},
        )
        unknown = VenueError(
            400, {"label": "CONTRACT_NOT_FOUND", "message": f"contract {id_} not found"}
        )
        return self._dialect.market(id_, missing, unknown)

    def contract(self, name: str) -> object:
        return _contract(self._market(name))

    def contracts(self, query: Query) -> object:
        offset = whole(query, "offset", invalid("invalid argument: offset")) or 0
        limit = whole(query, "limit", invalid("invalid argument: limit")) or 1000
        markets = self._venue.markets[offset : offset + limit]
        return [_contract(market) for market in markets]

    def tickers(self, query: Query) -> object:
        one = query.get("contract")
        markets = [self._market(one)] if one else list(self._venue.all_markets())
        return [ticker(market) | _best(market) for market in markets]

    def order_book(self, query: Query) -> object:
        market = self._market(query.get("contract"))
        limit = whole(query, "limit", invalid("invalid argument: limit")) or BOOK_DEFAULT
        if not 1 <= limit <= BOOK_MAX:
            raise invalid("invalid argument: limit")
        if query.get("interval", "0") != "0":
            raise invalid("invalid argument: interval")
        bids, asks = sides(market.book.view(limit))
        body = {
            "current": round(now_s(), 3),
            "update": market.now_ms / 1000,
            "asks": levels(market, asks),
            "bids": levels(market, bids),
        }
        if query.get("with_id", "").lower() == "true":
            return {"id": market.book.update_id, **body}
        return body

    def candlesticks(self, query: Query) -> object:
        """`mark_CONTRACT` and `index_CONTRACT` are candles of those prices, without volume."""
        name = query.get("contract", "")
        priced = name.startswith(("mark_", "index_"))
        market = self._market(name.partition("_")[2] if priced else name)
        span = INTERVALS.get(query.get("interval", "5m"))
        if span is None:
            raise invalid("invalid argument: interval")
        start = whole(query, "from", invalid("invalid argument: from"))
        end = whole(query, "to", invalid("invalid argument: to"))
        limit = whole(query, "limit", invalid("invalid argument: limit"))
        if limit is not None and (start is not None or not 1 <= limit <= CANDLES_MAX):
            raise invalid("invalid argument: limit")
        last = int(end if end is not None else now_s()) // 60
        first = 0 if start is None else -(-start // 60)
        count = CANDLES_MAX if start is not None else limit or CANDLES_DEFAULT
        found = market.candles.spans(span, first, last, count)
        return [_candle(market, candle, priced) for candle in found]

    def trades(self, query: Query) -> object:
        market = self._market(query.get("contract"))
        limit = whole(query, "limit", invalid("invalid argument: limit")) or TRADES_DEFAULT
        if not 1 <= limit <= TRADES_MAX:
            raise invalid("invalid argument: limit")
        start = whole(query, "from", invalid("invalid argument: from"))
        end = whole(query, "to", invalid("invalid argument: to"))
        below = whole(query, "last_id", invalid("invalid argument: last_id"))
        offset = whole(query, "offset", invalid("invalid argument: offset")) or 0
        found = [
            deal(market, trade)
            for trade in reversed(market.trades)
            if (start is None or trade.t_ms >= start * 1000)
            and (end is None or trade.t_ms < (end + 1) * 1000)
            and (below is None or trade.id < below)
        ]
        return found[offset : offset + limit]

    def funding_rates(self, query: Query) -> object:
        """Settlements, newest first."""
        market = self._market(query.get("contract"))
        limit = whole(query, "limit", invalid("invalid argument: limit")) or FUNDINGS_DEFAULT
        if not 1 <= limit <= FUNDINGS_MAX:
            raise invalid("invalid argument: limit")
        start = whole(query, "from", invalid("invalid argument: from")) or 0
        end = whole(query, "to", invalid("invalid argument: to"))
        last = market.now_ms if end is None else end * 1000
        found = market.settlements(start * 1000, last)[-limit:]
        return [{"t": one.next_ms // 1000, "r": f"{one.rate:.6f}"} for one in reversed(found)]

    def contract_stats(self, query: Query) -> object:
        """Open interest at the ends of intervals, ascending; the last is still open."""
        market = self._market(query.get("contract"))
        span = STATS_INTERVALS.get(query.get("interval", "5m"))
        if span is None:
            raise invalid("invalid argument: interval")
        limit = whole(query, "limit", invalid("invalid argument: limit")) or STATS_DEFAULT
        if not 1 <= limit <= STATS_MAX:
            raise invalid("invalid argument: limit")
        every = span * MINUTE_MS
        last = market.now_ms // every * every
        start = whole(query, "from", invalid("invalid argument: from"))
        first = last - (limit - 1) * every if start is None else -(-start * 1000 // every) * every
        times = range(first, last + 1, every)[:limit]
        return [_stats(market, t_ms, min(t_ms + every, market.now_ms)) for t_ms in times]


def levels(market: Market, side: list[tuple[int, int]]) -> list[dict[str, object]]:
    return [{"p": market.price_text(price), "s": size} for price, size in side]


def deal(market: Market, trade: Trade) -> dict[str, object]:
    """`size` in contracts, negative where the taker sells."""
    return {
        "id": trade.id,
        "create_time": trade.t_ms // 1000,
        "create_time_ms": trade.t_ms / 1000,
        "contract": market.instrument.id,
        "size": trade.size if trade.taker_buys else -trade.size,
        "price": market.price_text(trade.price),
    }


def ticker(market: Market) -> dict[str, object]:
    day, funding = market.day, market.funding
    turnover = f"{market.quote(day.turnover):.0f}"
    places = market.instrument.price_places + 1
    return {
        "contract": market.instrument.id,
        "last": market.price_text(market.last),
        "change_percentage": f"{100 * (market.last - day.open) / day.open:.2f}",
        "funding_rate": f"{funding.rate:.6f}",
        "funding_rate_indicative": f"{funding.rate:.6f}",
        "mark_price": f"{market.mark:.{places}f}",
        "index_price": f"{market.index:.{places}f}",
        "total_size": str(market.open_interest),
        "volume_24h": str(day.volume),
        "volume_24h_btc": "0",
        "volume_24h_usd": turnover,
        "quanto_base_rate": "",
        "volume_24h_quote": turnover,
        "volume_24h_settle": turnover,
        "volume_24h_base": market.base_text(day.volume),
        "low_24h": market.price_text(day.low),
        "high_24h": market.price_text(day.high),
    }


def _best(market: Market) -> dict[str, object]:
    book = market.book
    return {
        "highest_bid": market.price_text(book.best_bid),
        "highest_size": str(book.sizes[book.best_bid]),
        "lowest_ask": market.price_text(book.best_ask),
        "lowest_size": str(book.sizes[-book.best_ask]),
    }


def _candle(market: Market, candle: Candle, priced: bool) -> dict[str, object]:
    prices = {
        "t": candle.minute * 60,
        "o": market.price_text(candle.open),
        "h": market.price_text(candle.high),
        "l": market.price_text(candle.low),
        "c": market.price_text(candle.close),
    }
    if priced:
        return prices
    return prices | {"v": candle.volume, "sum": f"{market.quote(candle.turnover):.4f}"}


def _stats(market: Market, t_ms: int, end_ms: int) -> dict[str, object]:
    contracts = market.open_interest_at(end_ms)
    return {
        "time": t_ms // 1000,
        "open_interest": contracts,
        "open_interest_usd": round(market.quote(contracts * market.last), 4),
        "mark_price": market.mark,
    }


def _contract(market: Market) -> dict[str, object]:
    instrument, funding = market.instrument, market.funding
    places = instrument.price_places + 1
    return {
        "name": instrument.id,
        "type": "direct",
        "quanto_multiplier": str(instrument.unit),
        "leverage_min": "1",
        "leverage_max": "100",
        "maintenance_rate": "0.005",
        "mark_type": "index",
        "mark_price": f"{market.mark:.{places}f}",
        "index_price": f"{market.index:.{places}f}",
        "last_price": market.price_text(market.last),
        "maker_fee_rate": "-0.0002",
        "taker_fee_rate": "0.0005",
        "order_price_round": str(instrument.tick),
        "mark_price_round": str(instrument.tick.scaleb(-1)),
        "funding_rate": f"{funding.rate:.6f}",
        "funding_rate_indicative": f"{funding.rate:.6f}",
        "order_size_min": 1,
        "order_size_max": 1_000_000,
        "order_price_deviate": "0.5",
        "interest_rate": "0.0003",
        "funding_interval": funding.interval_ms // 1000,
        "funding_next_apply": funding.next_ms // 1000,
        "orderbook_id": market.book.update_id,
        "trade_id": market.last_trade_id,
        "position_size": market.open_interest,
        "status": "trading" if market.listed else "delisted",
        "in_delisting": not market.listed,
        "create_time": market.candles.first_minute * MINUTE_MS // 1000,
        "enable_decimal": False,
    }
