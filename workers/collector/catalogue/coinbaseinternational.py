"""coinbaseinternational, linear swaps in USDC, on the JSON-RPC gateway that the venue moved to."""

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

COINBASEINTERNATIONAL = Venue(
    name="coinbaseinternational",
    module="coinbaseinternational",
    class_name="Coinbaseinternational",
    # ccxt's own keepalive, a request each 15 s, is right: pings of the protocol do not count there.
    options={
        # Keys of a certain length would make ccxt speak to another venue.
        "route": "coinbase",
        # A subscription weighs six requests: 3.3 a second. ccxt spaces what weighs 1 by 100 ms.
        "ws": {"cost": 3},
    },
    # The private address, which nothing here needs, is another host's.
    urls={"rest": "{rest}/api/v2", "ws": "{ws}/ws/api/v2", "wsPrivate": "{ws}/ws/api/v2"},
    streams={
        StreamKind.QUOTE: Stream(
            Call("watch_bids_asks", listed=True), Call("un_watch_bids_asks", listed=True)
        ),
        # Each 100 ms; `raw`, without a pause, is for those who authenticate.
        StreamKind.BOOK: Stream(
            Call("watch_order_book_for_symbols", listed=True),
            Call("un_watch_order_book_for_symbols", listed=True),
        ),
        StreamKind.TRADES: Stream(
            Call("watch_trades_for_symbols", listed=True),
            Call("un_watch_trades_for_symbols", listed=True),
        ),
        # No channel of liquidations: the trades that they make are marked, which ccxt leaves out.
        StreamKind.CANDLES: Stream(Call("watch_ohlcv"), Call("un_watch_ohlcv")),
    },
    # Funding rates and open interests come with the tickers.
    bulk=(BulkCall("tickers", "fetch_tickers", "tickers", subject="ticker", marks=True),),
    book=BookFeed(
        depth=1000,
        source="channel `book.{instrument}.100ms`: all levels, then what changed of them",
        chain=Chain.PREVIOUS,
    ),
    candles=CandleFeed(page=1000),
    funding_history=FundingHistory(limit=744),
    limits=VenueLimits("coinbaseinternational", (Rule("requests", 10, 1),)),
    limit_source="10 a second by ccxt; the platform says 20 for who authenticates, none for others",
    trades=TradeFeed(
        ids="trade_seq, per contract; stream `trades` and public/get_last_trades_by_instrument",
        dense=True,
        limit=1000,
        pages=True,
        reach="24 hours, by `end_seq`",
    ),
    server_time=ServerTime(),
)
