"""okx, linear swaps."""

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

OKX = Venue(
    name="okx",
    module="okx",
    class_name="Okx",
    # The venue wants text pings; ccxt's own, each 18 s, are right.
    options={
        "defaultType": "swap",
        "fetchMarkets": {"types": ["swap"]},
        # Not "UTC", nor an empty text, which is the same to ccxt: our class's timeframes say utc.
        "fetchOHLCV": {"timezone": "as asked"},
    },
    urls={"rest": "{rest}", "ws": "{ws}/ws/v5"},
    streams={
        # Channel bbo-tbt, up to 100 a second; `tickers` comes each 100 ms.
        StreamKind.QUOTE: Stream(
            Call("watch_bids_asks", listed=True), Call("un_watch_bids_asks", listed=True)
        ),
        StreamKind.BOOK: Stream(
            Call("watch_order_book_for_symbols", listed=True),
            Call("un_watch_order_book_for_symbols", listed=True),
        ),
        StreamKind.TRADES: Stream(
            Call("watch_trades_for_symbols", listed=True),
            Call("un_watch_trades_for_symbols", listed=True),
        ),
        StreamKind.CANDLES: Stream(Call("watch_ohlcv"), Call("un_watch_ohlcv")),
        # One subscription for all symbols; at most one a contract and second.
        StreamKind.LIQUIDATIONS: Stream(
            Call("watch_liquidations_for_symbols", listed=True),
            Call("un_watch_liquidations_for_symbols", listed=True),
        ),
    },
    bulk=(
        BulkCall("tickers", "fetch_tickers", "tickers", subject="ticker"),
        BulkCall("funding rates", "fetch_funding_rates", "funding", subject="funding"),
        BulkCall("mark prices", "fetch_mark_prices", "prices"),
        BulkCall("index prices", "fetch_index_prices", "prices"),
        BulkCall("open interests", "fetch_open_interests", "open_interests"),
    ),
    book=BookFeed(
        depth=400,
        source="channel `books`: 400 levels a side, each 100 ms, incremental",
        chain=Chain.PREVIOUS,
        checksum=True,
    ),
    candles=CandleFeed(page=300),
    funding_history=FundingHistory(limit=400),
    limits=VenueLimits(
        "okx",
        (
            Rule("status", 1, 5, paths=("system/status",), at_once=1.0),
            Rule(
                "10",
                10,
                2,
                paths=("public/funding-rate*", "public/mark-price", "public/time"),
                each_path=True,
            ),
            Rule("40", 40, 2, paths=("market/books", "market/candles"), each_path=True),
            Rule("100", 100, 2, paths=("market/trades",), each_path=True),
            Rule("20", 20, 2, each_path=True),
        ),
    ),
    limit_source="requests in 2 s, endpoint and IP, as the documentation of each says",
    trades=TradeFeed(
        # The stream puts the fills of an order at one price together under their last id;
        # GET /api/v5/market/trades and history-trades list each.
        ids="tradeId, per contract; stream `trades` and GET /api/v5/market/history-trades",
        dense=True,
        limit=500,
        pages=True,
        reach="three months, by `after`",
    ),
    server_time=ServerTime(),
)
