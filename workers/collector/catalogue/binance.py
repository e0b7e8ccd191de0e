"""binance, USD-M futures."""

from shared.budget import RequestClass
from shared.limits import Rule, UsedHeader, VenueLimits
from workers.collector.catalogue.row import (
    KEEP_ALIVE,
    BookFeed,
    BulkCall,
    Call,
    CandleFeed,
    Chain,
    FundingHistory,
    Request,
    ServerTime,
    Stream,
    StreamKind,
    TradeFeed,
    Venue,
)

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
        # ccxt's cost of a message, in units of 50 ms: 8 a second and connection of the venue's 10.
        "ws": KEEP_ALIVE | {"cost": 2.5},
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
        # At most the latest of each symbol and second.
        StreamKind.LIQUIDATIONS: Stream(
            Call("watch_liquidations_for_symbols", listed=True),
            Call("un_watch_liquidations_for_symbols", listed=True),
        ),
        StreamKind.CANDLES: Stream(
            Call("watch_ohlcv", arguments={"params": {}}),
            Call("un_watch_ohlcv", arguments={"params": {}}),
        ),
    },
    bulk=(
        BulkCall("tickers", "fetch_tickers", "tickers", subject="ticker"),
        BulkCall("best prices", "fetch_bids_asks", "best_prices"),
        BulkCall(
            "funding rates",
            "fetch_funding_rates",
            "funding",
            subject="funding",
            marks=True,
        ),
        # No bulk form.
        BulkCall(
            "open interest",
            "fetch_open_interest",
            "open_interest",
            per_symbol=True,
            refresh_s=60,
            request_class=RequestClass.FUNDING,
        ),
    ),
    book=BookFeed(
        depth=1000,
        source="GET /fapi/v1/depth takes limit 5 … 1000; depth@100ms continues it",
        chain=Chain.PREVIOUS,
        snapshot=Request("depth", 20),
        window=False,
    ),
    # 80 % of 2400 weight a minute and IP; ccxt's cost is the venue's weight.
    # klines weigh 1 up to 99 of them, 2 up to 499, 5 up to 1000.
    candles=CandleFeed(page=499),
    funding_history=FundingHistory(limit=1000, all_symbols=True),
    limits=VenueLimits(
        "binance",
        (
            Rule("funding", 500, 300, paths=("fundingRate", "fundingInfo")),
            Rule(
                "weight",
                2400,
                60,
                by_cost=True,
                weights={"premiumIndex": 10, "fundingRate": 0, "fundingInfo": 0},
                at_once=1 / 6,
                told=UsedHeader(used="x-mbx-used-weight-1m"),
            ),
        ),
    ),
    limit_source="exchangeInfo rateLimits: REQUEST_WEIGHT 2400 a minute; funding 500 in 5 minutes",
    trades=TradeFeed(
        ids="aggTrade `a`, per symbol; stream @aggTrade and GET /fapi/v1/aggTrades",
        dense=True,
        limit=1000,
        pages=True,
        reach="a day and more, by fromId",
    ),
    server_time=ServerTime(field="serverTime"),  # of exchangeInfo; the other answers have `Date`
)
