"""bybit, v5 linear."""

from shared.limits import Rule, VenueLimits
from workers.collector.catalogue.row import (
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
        StreamKind.LIQUIDATIONS: Stream(Call("watch_liquidations"), Call("un_watch_liquidations")),
        StreamKind.CANDLES: Stream(
            Call("watch_ohlcv", arguments={"params": {}}),
            Call("un_watch_ohlcv", arguments={"params": {}}),
        ),
    },
    bulk=(
        BulkCall("tickers", "fetch_tickers_and_funding", "tickers", subject="ticker", marks=True),
    ),
    book=BookFeed(
        depth=1000,
        source="orderbook.1000, the deepest of 1, 50, 200 and 1000",
        chain=Chain.NEXT,
    ),
    candles=CandleFeed(page=1000),
    funding_history=FundingHistory(limit=200),
    limits=VenueLimits(
        "bybit",
        (Rule("requests", 600, 5),),
    ),
    limit_source="600 requests in 5 s and IP",
    trades=TradeFeed(
        ids="execId, a UUID; stream publicTrade and GET /v5/market/recent-trade",
        dense=False,
        limit=1000,
        pages=False,
        reach="the last 1000 trades",
    ),
    server_time=ServerTime(field="time"),
)
