"""krakenfutures, linear perpetuals (PF_), quoted and settled in USD."""

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

KRAKENFUTURES = Venue(
    name="krakenfutures",
    module="krakenfutures",
    class_name="KrakenFutures",
    options={
        # Of the two lists of trades the one whose requests are public and cost nothing.
        "fetchTrades": {"method": "publicGetHistory"},
        # The venue takes 100 commands a second; ccxt spaces them by its REST pace, 600 ms.
        "ws": {**KEEP_ALIVE, "cost": 0.05},
    },
    urls={
        "public": "{rest}/derivatives/api/",
        "charts": "{rest}/api/charts/",
        "ws": "{ws}/ws/v1",
    },
    streams={
        # Feed `ticker`, once a second; `ticker_lite` is no quicker and has neither sizes nor times.
        StreamKind.QUOTE: Stream(
            Call("watch_tickers", listed=True), Call("un_watch_tickers", listed=True)
        ),
        StreamKind.BOOK: Stream(
            Call("watch_order_book_for_symbols", listed=True),
            Call("un_watch_order_book_for_symbols", listed=True),
        ),
        StreamKind.TRADES: Stream(
            Call("watch_trades_for_symbols", listed=True),
            Call("un_watch_trades_for_symbols", listed=True),
        ),
        # The venue has no feed of candles: closed ones come by REST. Nor has it one of
        # liquidations: it only marks the trades that they make.
    },
    bulk=(
        BulkCall("tickers", "fetch_tickers_and_funding", "tickers", subject="ticker", marks=True),
    ),
    book=BookFeed(
        depth=500,
        source="feed `book`: the whole book, however deep; the depth is our choice",
        chain=Chain.NEXT,
    ),
    candles=CandleFeed(page=2000, streamed=False),
    # All that there are, whatever is asked for.
    funding_history=FundingHistory(limit=100_000),
    limits=VenueLimits(
        "krakenfutures",
        (Rule("requests", 100, 10),),
    ),
    limit_source="none is documented: public requests cost nothing of the 500 in 10 s that others"
    " share. A fifth of that is our choice",
    trades=TradeFeed(
        ids="uid, a UUID; feed `trade` and GET /derivatives/api/v3/history",
        dense=False,
        limit=100,
        pages=True,
        reach="seven days, or since the trading engine started, by lastTime",
    ),
    server_time=ServerTime(),
)
