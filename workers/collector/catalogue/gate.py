"""gate, v4 USDT futures."""

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

GATE = Venue(
    name="gate",
    module="gate",
    class_name="Gate",
    options={
        "defaultType": "swap",
        "fetchMarkets": {"types": ["swap"]},
        "swap": {"fetchMarkets": {"settlementCurrencies": ["usdt"]}},
        "ws": KEEP_ALIVE,
    },
    urls={
        # The time is asked of spot.
        "public": {"futures": "{rest}/api/v4", "spot": "{rest}/api/v4"},
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
        StreamKind.LIQUIDATIONS: Stream(Call("watch_liquidations"), Call("un_watch_liquidations")),
        StreamKind.CANDLES: Stream(
            Call("watch_ohlcv", arguments={"params": {}}),
            Call("un_watch_ohlcv", arguments={"params": {}}),
        ),
    },
    bulk=(
        BulkCall("tickers", "fetch_tickers", "tickers", subject="ticker", marks=True),
        BulkCall("funding rates", "fetch_funding_rates", "funding", subject="funding"),
    ),
    book=BookFeed(
        depth=100,
        source="futures.order_book_update: level 20, 50 or 100",
        chain=Chain.RANGE,
        snapshot=Request("{settle}/order_book", 1),
    ),
    candles=CandleFeed(page=1999, contracts=True),
    funding_history=FundingHistory(limit=1000),
    limits=VenueLimits(
        "gate",
        (
            Rule(
                "endpoint",
                200,
                10,
                each_path=True,
                told=UsedHeader(
                    remaining="x-gate-ratelimit-requests-remain",
                    reset="x-gate-ratelimit-reset-timestamp",
                ),
            ),
        ),
    ),
    limit_source="200 requests in 10 s, endpoint and IP",
    trades=TradeFeed(
        ids="trade id, per contract; stream futures.trades and GET /futures/usdt/trades",
        dense=True,
        limit=1000,
        pages=True,
        reach="days, by last_id",
    ),
    server_time=ServerTime(header="X-Out-Time"),  # "API Gateway in/out time", each answer
)
