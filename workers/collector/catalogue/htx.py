"""htx, linear swaps."""

from shared.budget import RequestClass
from shared.limits import Rule, VenueLimits
from workers.collector.catalogue.row import (
    KEEP_ALIVE,
    BookFeed,
    BulkCall,
    Call,
    CandleFeed,
    Chain,
    FundingHistory,
    ServerTime,
    Stream,
    StreamKind,
    TradeFeed,
    Venue,
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
        "ws": KEEP_ALIVE,
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
        # ccxt can not subscribe to liquidations: the venue sends them on an address of its own,
        # /linear-swap-notification, which ccxt only uses for private channels.
        StreamKind.TRADES: Stream(Call("watch_trades"), Call("un_watch_trades")),
        StreamKind.CANDLES: Stream(
            Call("watch_ohlcv", arguments={"params": {}}),
            Call("un_watch_ohlcv", arguments={"params": {}}),
        ),
    },
    bulk=(
        BulkCall("tickers", "fetch_tickers", "tickers", subject="ticker"),
        # No bulk form for linear swaps of any.
        BulkCall(
            "open interest",
            "fetch_open_interest",
            "open_interest",
            per_symbol=True,
            refresh_s=60,
            request_class=RequestClass.FUNDING,
        ),
        BulkCall(
            "funding rate",
            "fetch_funding_rate",
            "funding_of_one",
            per_symbol=True,
            refresh_s=60,
            subject="funding",
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
    book=BookFeed(
        depth=150,
        source="depth.size_150.high_freq; size_400 is named in ccxt, not in the swap docs",
        chain=Chain.NEXT,
    ),
    # With `size` the newest 2000 at most: older ones can not be had through ccxt's fetch_ohlcv.
    candles=CandleFeed(page=2000),
    funding_history=FundingHistory(limit=100),
    lacks=("fetchFundingRates",),
    limits=VenueLimits(
        "htx",
        (
            Rule("market", 800, 1, paths=("linear-swap-ex/*", "index/*")),
            Rule("reference", 240, 3),
        ),
    ),
    limit_source="800 a second and IP for market data, 240 in 3 s for the rest",
    trades=TradeFeed(
        ids="trade id; stream trade.detail and GET /linear-swap-ex/market/history/trade",
        dense=False,
        limit=2000,
        pages=False,
        reach="the last 2000 trades",
    ),
    server_time=ServerTime(field="ts"),
)
