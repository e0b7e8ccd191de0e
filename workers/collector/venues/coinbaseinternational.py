"""coinbaseinternational, linear swaps."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import ccxt
import ccxt.pro

from shared.kinds import TRADES
from workers.collector.catalogue.row import StreamKind
from workers.collector.events import Acknowledged, BookUpdate, Candle, Event, Level, Print, Quote
from workers.collector.hot import HotFrames
from workers.collector.numbers import number

_KINDS = {"quote": StreamKind.QUOTE, "trades": StreamKind.TRADES, "book": StreamKind.BOOK}
_HOUR_MS = 3_600_000
_MOST_TRADES = 1000  # of one answer
#: Before a channel: the request to end it, among what ccxt calls subscriptions.
_END = "unsubscribe:"
#: The venue's error codes as the platform documents them; ccxt has one of them.
_ERRORS = {
    "10028": ccxt.RateLimitExceeded,  # too_many_requests
    "10040": ccxt.ExchangeNotAvailable,  # retry
    "10041": ccxt.OnMaintenance,  # settlement_in_progress
    "10047": ccxt.RateLimitExceeded,  # matching_engine_queue_full
    "11051": ccxt.OnMaintenance,  # system_maintenance
    "11094": ccxt.ExchangeNotAvailable,  # internal_server_error
    "13020": ccxt.BadSymbol,  # not_found
}


class Coinbaseinternational(HotFrames, ccxt.pro.coinbaseinternational):
    """Channels are `{kind}.{market id}.{interval}`, candles `chart.trades.{market id}.{minutes}`;
    sizes are in base currency everywhere, whatever a contract is. Nothing here needs keys: only
    channels with the interval `raw` do, which is not asked for."""

    timeframes: dict[str, str]
    has: dict[str, Any]

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.exceptions["exact"] |= _ERRORS
        self.has = self.has | {"fetchTrades": True}
        self._resolutions = {name: ours for ours, name in self.timeframes.items()}

    def peel(self, frame: Any) -> Sequence[Event] | None:
        params = frame.get("params") if type(frame) is dict else None
        if type(params) is not dict or "data" not in params or "channel" not in params:
            return None
        channel, data = params["channel"], params["data"]
        if channel.startswith("quote."):
            return _quotes(data)
        if channel.startswith("trades."):
            return self.each(TRADES, _print, data)
        if channel.startswith("book."):
            return (_book(data),)
        if channel.startswith("chart.trades."):
            market_id, resolution = _candles_of(channel)
            return (_candle(market_id, self._resolutions[resolution], data),)
        return None

    def book_of(self, frame: Any) -> Any:
        channel = frame["params"]["channel"]
        return channel.split(".")[1] if channel.startswith("book.") else None

    def acknowledged(self, client: Any, frame: Any) -> Iterator[Acknowledged]:
        """`{"id": 7, "result": ["book.BTC_USDC-PERPETUAL.100ms"]}`; the answer to the end of a
        subscription looks the same, and only the number tells them apart."""
        if type(frame) is not dict or type(frame.get("result")) is not list:
            return
        for channel in self._asked(client, frame):
            if channel not in frame["result"]:
                continue
            kind, _, rest = channel.partition(".")
            if kind in _KINDS:
                yield Acknowledged(rest.split(".")[0], _KINDS[kind])
            elif kind == "chart":
                market_id, resolution = _candles_of(channel)
                timeframe = self._resolutions[resolution]
                yield Acknowledged(market_id, StreamKind.CANDLES, timeframe)

    def handle_error_message(self, client: Any, message: Any) -> Any:
        """ccxt tells nobody who waits for a channel that the venue did not take it: it says so with
        an error, or takes what it can and names that."""
        asked = self._asked(client, message)
        if super().handle_error_message(client, message):
            self._reject(client, asked, self._error_of(message))
            return True
        if type(message.get("result")) is list:
            self._settle(client, asked, message["result"])
        return False

    def _settle(self, client: Any, asked: list[str], taken: list[str]) -> None:
        """What was to end and is not among what the venue took had ended before."""
        ended = [name for name in asked if name.startswith(_END)]
        for name in ended:
            self.clean_unsubscription(client, name.removeprefix(_END), name)
        refused = [name for name in asked if name not in taken and name not in ended]
        error = ccxt.ExchangeError(f"{self.id} did not take {', '.join(refused)}")
        self._reject(client, refused, error)

    async def un_subscribe(
        self, channels: list[str], is_private: bool = False, params: Any = None
    ) -> Any:
        """Waits for the venue's answer; ccxt goes on before anything was sent."""
        names = [_END + channel for channel in channels]
        request = {
            "jsonrpc": "2.0",
            "method": "public/unsubscribe",
            "params": {"channels": channels},
            "id": self.request_id(),
        }
        return await self.watch_multiple(self.get_ws_url(), names, request, names, request)

    @staticmethod
    def _reject(client: Any, channels: Iterable[str], error: Exception) -> None:
        for channel in channels:
            del client.subscriptions[channel]
            client.reject(error, channel)

    def _error_of(self, message: Any) -> Exception:
        error = message["error"]
        known = self.exceptions["exact"].get(str(error.get("code")), ccxt.ExchangeError)
        made: Exception = known(f"{self.id} {error.get('code')} {error.get('message')}")
        return made

    @staticmethod
    def _asked(client: Any, message: Any) -> list[str]:
        """What `message` answers among subscriptions and their ends; nothing, for other answers."""
        asked = message.get("id")
        return [
            name
            for name, request in client.subscriptions.items()
            if asked is not None and type(request) is dict and request.get("id") == asked
        ]

    async def fetch_markets(self, params: Any = None) -> Any:
        """Perpetuals that are settled in what they are quoted in. The venue's list has options,
        futures and spot markets as well."""
        listed = await super().fetch_markets(params or {})
        return [market for market in listed if market["swap"] and market["linear"]]

    def parse_market(self, market: Any) -> Any:
        """Amounts are in base currency, not in contracts."""
        parsed = super().parse_market(market)
        return parsed | {"contractSize": 1.0} if parsed["contract"] else parsed

    async def fetch_tickers(self, symbols: Any = None, params: Any = None) -> dict[str, Any]:
        """Of all perpetuals in USDC, by one request; ccxt asks for each by itself. `funding` and
        `openInterestAmount` are as in the tickers of other venues."""
        await self.load_markets()
        asked = {"currency": "USDC", "kind": "future"} | (params or {})
        response = await self.publicGetGetBookSummaryByCurrency(asked)
        by_id = {row["instrument_name"]: row for row in response["result"]}
        tickers = {
            market["symbol"]: self._summary(market, by_id[market["id"]])
            for market in self.markets.values()
            if market["id"] in by_id
        }
        return {name: tickers[name] for name in symbols if name in tickers} if symbols else tickers

    def _summary(self, market: Any, row: dict[str, Any]) -> Any:
        """Of a perpetual the estimated delivery price is its index."""
        ticker = {
            "info": row,
            "symbol": market["symbol"],
            "timestamp": row.get("creation_timestamp"),
            "bid": row.get("bid_price"),
            "ask": row.get("ask_price"),
            "high": row.get("high"),
            "low": row.get("low"),
            "last": row.get("last"),
            "close": row.get("last"),
            "baseVolume": row.get("volume"),
            "quoteVolume": row.get("volume_notional"),
            "markPrice": row.get("mark_price"),
            "indexPrice": row.get("estimated_delivery_price"),
        }
        beyond = _beyond_prices(row, row.get("price_change"), row.get("creation_timestamp"))
        return self.safe_ticker(ticker, market) | beyond

    def parse_ticker(self, ticker: Any, market: Any = None) -> Any:
        """With what ccxt leaves out."""
        change = (ticker.get("stats") or {}).get("price_change")
        beyond = _beyond_prices(ticker, change, ticker.get("timestamp"))
        return super().parse_ticker(ticker, market) | beyond

    async def fetch_trades(
        self, symbol: str, since: Any = None, limit: Any = None, params: Any = None
    ) -> Any:
        """The newest, or the oldest since then. ccxt knows the request and makes nothing of it."""
        await self.load_markets()
        market = self.market(symbol)
        asked = {"instrument_name": market["id"], "count": min(limit or _MOST_TRADES, _MOST_TRADES)}
        asked |= (
            {"sorting": "desc"} if since is None else {"sorting": "asc", "start_timestamp": since}
        )
        response = await self.publicGetGetLastTradesByInstrument(asked | (params or {}))
        return self.parse_trades(response["result"]["trades"], market, since, limit)

    async def fetch_older_trades(self, symbol: str, oldest: Print, limit: int) -> Any:
        return await self.fetch_trades(symbol, None, limit, {"end_seq": int(oldest.id) - 1})

    def parse_trade(self, trade: Any, market: Any = None) -> Any:
        """Under its number among the trades of its contract: ccxt's `trade_id` counts all trades of
        a currency, so that none is missed by it."""
        return super().parse_trade(trade, market) | {"id": str(trade["trade_seq"])}

    def parse_funding_rate_history(self, info: Any, market: Any = None) -> Any:
        """What was paid in the hour; ccxt has what was in the last eight, each hour."""
        parsed = super().parse_funding_rate_history(info, market)
        return parsed | {"fundingRate": self.safe_number(info, "interest_1h")}

    def convert_trading_view_to_ohlcv(self, ohlcvs: Any, *names: Any) -> list[list[Any]]:
        """With the quote volume behind; ccxt leaves it out."""
        rows = super().convert_trading_view_to_ohlcv(ohlcvs, *names)
        return [[*row, cost] for row, cost in zip(rows, ohlcvs.get("cost", ()), strict=True)]

    async def fetch_ohlcv(
        self,
        symbol: str,
        timeframe: str = "1m",
        since: Any = None,
        limit: Any = 100,
        params: Any = None,
    ) -> Any:
        self._check_timeframe(timeframe)
        return await super().fetch_ohlcv(symbol, timeframe, since, limit, params or {})

    async def watch_ohlcv(self, symbol: str, timeframe: str = "1m") -> Any:
        self._check_timeframe(timeframe)
        return await super().watch_ohlcv(symbol, timeframe)

    def _check_timeframe(self, timeframe: str) -> None:
        """Raises NotSupported; ccxt would ask for a resolution of that name, `4h`."""
        if timeframe not in self.timeframes:
            raise ccxt.NotSupported(f"{self.id} has no candles of {timeframe}")


def _beyond_prices(row: dict[str, Any], change: float | None, at: int | None) -> dict[str, Any]:
    """`change` is that of 24 hours, percent; what there was before is not said."""
    return {
        "percentage": number(change),
        "funding": _funding(number(row.get("current_funding")), at),
        "openInterestAmount": number(row.get("open_interest")),
    }


def _funding(eight_hours: float | None, at: int | None) -> dict[str, Any]:
    """The venue's rate is for eight hours and paid all the time; what was paid is told by the hour.
    So the next hour is what it is a forecast of. `at` in ms."""
    return {
        "fundingRate": None if eight_hours is None else eight_hours / 8,
        "fundingTimestamp": None if at is None else (at // _HOUR_MS + 1) * _HOUR_MS,
        "interval": "1h",
    }


def _candles_of(channel: str) -> tuple[str, str]:
    """Market id and resolution."""
    market_id, _, resolution = channel.removeprefix("chart.trades.").rpartition(".")
    return market_id, resolution


def _quotes(data: dict[str, Any]) -> Sequence[Quote]:
    """None while one side of the book is empty."""
    if not data["best_bid_price"] or not data["best_ask_price"]:
        return ()
    quote = Quote(
        market_id=data["instrument_name"],
        bid=float(data["best_bid_price"]),
        ask=float(data["best_ask_price"]),
        bid_size=float(data["best_bid_amount"]),
        ask_size=float(data["best_ask_amount"]),
        last=None,
        timestamp=data["timestamp"],
    )
    return (quote,)


def _print(row: dict[str, Any]) -> Print:
    return Print(
        market_id=row["instrument_name"],
        id=str(row["trade_seq"]),
        price=float(row["price"]),
        size=float(row["amount"]),
        side=row["direction"],
        timestamp=row["timestamp"],
    )


def _book(data: dict[str, Any]) -> BookUpdate:
    return BookUpdate(
        market_id=data["instrument_name"],
        snapshot=data["type"] == "snapshot",
        bids=list(map(_level, data["bids"])),
        asks=list(map(_level, data["asks"])),
        timestamp=data["timestamp"],
        last=data["change_id"],
        previous=data.get("prev_change_id"),
    )


def _level(row: Sequence[Any]) -> Level:
    """`["new", price, amount]`, `["change", …]` or `["delete", price, 0]`."""
    action, price, amount = row
    return price, 0 if action == "delete" else amount


def _candle(market_id: str, timeframe: str, data: dict[str, Any]) -> Candle:
    """Whether it is closed is not said, nor when this was."""
    return Candle(
        market_id=market_id,
        timeframe=timeframe,
        start=data["tick"],
        open=float(data["open"]),
        high=float(data["high"]),
        low=float(data["low"]),
        close=float(data["close"]),
        volume=float(data["volume"]),
        closed=None,
        timestamp=None,
        quote_volume=float(data["cost"]),
    )
