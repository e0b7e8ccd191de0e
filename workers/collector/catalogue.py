"""The venue catalogue: all that differs between venues and is data.

Depths, limits and id spaces come with their source. What needs code stands in
`workers/collector/venues/{venue}.py`.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from shared.budget import Limit, RequestClass


class StreamKind(Enum):
    QUOTE = "quote"
    BOOK = "book"
    TRADES = "trades"


@dataclass(frozen=True, slots=True)
class Call:
    """A ccxt method for one symbol; `listed` methods take it as a list of one."""

    method: str
    listed: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    """How a stream is subscribed, and how the venue is told to end it.

    Unwatch arguments are stated, since ccxt's defaults differ between the two and the call
    succeeds all the same; that a venue really stops was checked on its side of the wire.
    """

    watch: Call
    unwatch: Call


@dataclass(frozen=True, slots=True)
class BulkCall:
    """A REST request of the cycle that serves all symbols, or one symbol where `per_symbol`.

    `reader` names the function of `workers.collector.readers` that reads its answer; it is
    repeated every `refresh_s` seconds, or with each cycle.
    """

    name: str  # in log lines: "Failed to fetch {name}"
    method: str
    reader: str
    per_symbol: bool = False
    refresh_s: float = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    request_class: RequestClass = RequestClass.LIVE
    extra_weight: float = 0  # what the venue charges beyond ccxt's cost


@dataclass(frozen=True, slots=True)
class Venue:
    """A row of the catalogue."""

    name: str
    module: str  # below workers.collector.venues
    class_name: str
    options: dict[str, Any]  # ccxt options
    urls: dict[str, Any]  # ccxt urls.api where the config names base addresses {rest} and {ws}
    streams: dict[StreamKind, Stream]
    bulk: tuple[BulkCall, ...]
    depth: int  # levels a side of the book we keep and publish in full
    depth_source: str
    limit: Limit  # in ccxt's cost units
    limit_source: str
    trade_ids: str  # the id space that stream and REST share
    snapshot_weight: float | None = None  # of the REST snapshot that a book starts from, if it does


_KEEP_ALIVE = {"keepAlive": 15_000}  # ms between pings; ccxt's 30-180 s find a dead peer too late

BINANCE = Venue(
    name="binance",
    module="binance",
    class_name="Binance",
    options={
        "defaultType": "swap",
        "fetchMarkets": {"types": ["linear"]},
        # The REST trades are aggTrades: the same id space on both sides.
        "watchTradesForSymbols": {"name": "aggTrade"},
        # ccxt opens a connection per list of symbols; four carry all our lists of one.
        "streamLimits": {"linear": 4},
        # Counted by ccxt, never given back when a subscription ends; the venue's limit is 1024.
        "subscriptionLimitByStream": {"linear": 1_000_000},
        "ws": _KEEP_ALIVE,
    },
    urls={
        "fapiPublic": "{rest}/fapi/v1",
        "fapiPublicV2": "{rest}/fapi/v2",
        "fapiPublicV3": "{rest}/fapi/v3",
        "fapiData": "{rest}/futures/data",
        "ws": {"linear": "{ws}/ws"},
    },
    streams={
        StreamKind.QUOTE: Stream(
            Call("watch_bids_asks", listed=True), Call("un_watch_bids_asks", listed=True)
        ),
        StreamKind.BOOK: Stream(
            Call("watch_order_book_for_symbols", listed=True, arguments={"limit": 1000}),
            Call("un_watch_order_book_for_symbols", listed=True),
        ),
        StreamKind.TRADES: Stream(
            Call("watch_trades_for_symbols", listed=True),
            Call(
                "un_watch_trades_for_symbols",
                listed=True,
                arguments={"params": {"name": "aggTrade"}},
            ),
        ),
    },
    bulk=(
        BulkCall("tickers", "fetch_tickers", "tickers"),
        BulkCall("best prices", "fetch_bids_asks", "tickers"),
        BulkCall("funding rates", "fetch_funding_rates", "funding", extra_weight=9),
    ),
    depth=1000,
    depth_source="GET /fapi/v1/depth takes limit 5 … 1000; depth@100ms continues it",
    # 80 % of 2400 weight a minute and IP; ccxt's cost is the venue's weight.
    limit=Limit(per_second=32, burst=320),
    limit_source="exchangeInfo rateLimits: REQUEST_WEIGHT 2400 a minute",
    trade_ids="aggTrade `a`, dense, per symbol; stream @aggTrade and GET /fapi/v1/aggTrades",
    snapshot_weight=20,
)

BYBIT = Venue(
    name="bybit",
    module="bybit",
    class_name="Bybit",
    options={
        "defaultType": "swap",
        "defaultSubType": "linear",
        "fetchMarkets": {"types": ["linear"]},
    },
    urls={
        "public": "{rest}",
        "ws": {"public": {"linear": "{ws}/v5/public/linear"}},
    },
    streams={
        # Never watch_bids_asks: it shares the order book's slot in ccxt and leaves one level of it.
        StreamKind.QUOTE: Stream(Call("watch_ticker"), Call("un_watch_ticker")),
        StreamKind.BOOK: Stream(
            Call("watch_order_book", arguments={"limit": 1000}),
            # Its default is another depth than watch's: the call succeeds, the venue sends on.
            Call("un_watch_order_book", arguments={"params": {"limit": 1000}}),
        ),
        StreamKind.TRADES: Stream(Call("watch_trades"), Call("un_watch_trades")),
    },
    bulk=(BulkCall("tickers", "fetch_tickers_and_funding", "tickers"),),
    depth=1000,
    depth_source="orderbook.1000, the deepest of 1, 50, 200 and 1000",
    limit=Limit(per_second=40, burst=200),
    limit_source="80 % of ccxt's 50 units a second (5 a request); the venue's own: 600 in 5 s",
    trade_ids="execId, a UUID; stream publicTrade and GET /v5/market/recent-trade",
)

BITGET = Venue(
    name="bitget",
    module="bitget",
    class_name="Bitget",
    options={
        "defaultType": "swap",
        "uta": False,
        "fetchMarkets": {"types": ["swap"]},
        "fetchFundingRates": {"method": "publicMixGetV2MixMarketCurrentFundRate"},
        "ws": _KEEP_ALIVE,
    },
    urls={
        "mix": "{rest}",
        "spot": "{rest}",
        "common": "{rest}",
        "uta": "{rest}",
        "margin": "{rest}",
        "ws": {"public": "{ws}/v2/ws/public"},
    },
    streams={
        StreamKind.QUOTE: Stream(Call("watch_ticker"), Call("un_watch_ticker")),
        StreamKind.BOOK: Stream(Call("watch_order_book"), Call("un_watch_order_book")),
        StreamKind.TRADES: Stream(Call("watch_trades"), Call("un_watch_trades")),
    },
    bulk=(
        BulkCall("tickers", "fetch_tickers", "tickers"),
        BulkCall("funding rates", "fetch_funding_rates", "funding"),
    ),
    depth=200,
    depth_source="channel `books`: 200 levels a side, incremental, with a checksum of the top 25",
    limit=Limit(per_second=16, burst=80),
    limit_source="80 % of 20 requests a second and IP",
    trade_ids="tradeId; stream `trade` and GET /api/v2/mix/market/fills-history",
)

HTX = Venue(
    name="htx",
    module="htx",
    class_name="Htx",
    options={
        "defaultType": "swap",
        "defaultSubType": "linear",
        "fetchMarkets": {"types": {"spot": False, "linear": True, "inverse": False}},
        "watchTicker": {"name": "market.{marketId}.bbo"},
        "watchOrderBook": {"depth": 150},  # what unwatch reads; watch gets it as an argument
        "ws": _KEEP_ALIVE,
    },
    urls={
        "contract": "{rest}",
        "ws": {"api": {"swap": {"linear": {"public": "{ws}/linear-swap-ws"}}}},
    },
    streams={
        StreamKind.QUOTE: Stream(Call("watch_ticker"), Call("un_watch_ticker")),
        StreamKind.BOOK: Stream(
            Call("watch_order_book", arguments={"limit": 150}), Call("un_watch_order_book")
        ),
        StreamKind.TRADES: Stream(Call("watch_trades"), Call("un_watch_trades")),
    },
    bulk=(
        BulkCall("tickers", "fetch_tickers", "tickers"),
        # No bulk form for linear swaps of either.
        BulkCall(
            "funding rate",
            "fetch_funding_rate",
            "funding_of_one",
            per_symbol=True,
            refresh_s=60,
            request_class=RequestClass.FUNDING,
        ),
        BulkCall(
            "mark price",
            "fetch_ohlcv",
            "mark_candle",
            per_symbol=True,
            refresh_s=10,
            arguments={"timeframe": "1m", "limit": 1, "params": {"price": "mark"}},
        ),
    ),
    depth=150,
    depth_source="depth.size_150.high_freq; size_400 is named in ccxt, not in the swap docs",
    limit=Limit(per_second=8, burst=40),
    limit_source="80 % of ccxt's 10 units a second; the venue's own: 240 in 3 s for market data",
    trade_ids="trade id; stream trade.detail and GET /linear-swap-ex/market/history/trade",
)

GATE = Venue(
    name="gate",
    module="gate",
    class_name="Gate",
    options={
        "defaultType": "swap",
        "fetchMarkets": {"types": ["swap"]},
        "swap": {"fetchMarkets": {"settlementCurrencies": ["usdt"]}},
        "ws": _KEEP_ALIVE,
    },
    urls={
        "public": {"futures": "{rest}/api/v4"},
        "swap": {"usdt": "{ws}/v4/ws/usdt"},
    },
    streams={
        StreamKind.QUOTE: Stream(
            Call("watch_bids_asks", listed=True), Call("un_watch_bids_asks", listed=True)
        ),
        StreamKind.BOOK: Stream(Call("watch_order_book"), Call("un_watch_order_book")),
        StreamKind.TRADES: Stream(
            Call("watch_trades_for_symbols", listed=True),
            Call("un_watch_trades_for_symbols", listed=True),
        ),
    },
    bulk=(
        BulkCall("tickers", "fetch_tickers", "tickers"),
        BulkCall("funding rates", "fetch_funding_rates", "funding"),
    ),
    depth=100,
    depth_source="futures.order_book_update: level 20, 50 or 100",
    limit=Limit(per_second=16, burst=80),
    limit_source="80 % of 200 requests in 10 s and endpoint",
    trade_ids="trade id, dense, per contract; stream futures.trades and GET /futures/usdt/trades",
    snapshot_weight=1,
)

CATALOGUE = {venue.name: venue for venue in (BINANCE, BYBIT, BITGET, HTX, GATE)}
