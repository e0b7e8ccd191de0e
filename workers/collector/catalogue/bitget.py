"""bitget, v2 mix."""

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

BITGET = Venue(
    name="bitget",
    module="bitget",
    class_name="Bitget",
    options={
        "defaultType": "swap",
        "uta": False,
        "fetchMarkets": {"types": ["swap"]},
        "fetchFundingRates": {"method": "publicMixGetV2MixMarketCurrentFundRate"},
        "timeframes": {"1d": "1Dutc"},  # its `1D` on websockets is a day of UTC+8
        "ws": KEEP_ALIVE,
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
        # The venue has no public channel of liquidations.
        StreamKind.TRADES: Stream(Call("watch_trades"), Call("un_watch_trades")),
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
        depth=200,
        source="channel `books`: 200 levels a side, incremental, with a checksum of the top 25",
        chain=Chain.CHECKSUM,
        checksum=True,
    ),
    # history-candles gives 200 at most, candles 1000.
    candles=CandleFeed(page=200),
    funding_history=FundingHistory(limit=100),
    limits=VenueLimits(
        "bitget",
        (
            Rule("slow", 10, 1, paths=("v2/mix/market/fills-history",), each_path=True),
            Rule("path", 20, 1, each_path=True),
        ),
    ),
    limit_source="20 requests a second, path and IP; 10 for fills-history",
    trades=TradeFeed(
        ids="tradeId; stream `trade` and GET /api/v2/mix/market/fills-history",
        dense=False,
        limit=1000,
        pages=True,
        reach="90 days, by idLessThan",
    ),
    server_time=ServerTime(field="requestTime"),
)
