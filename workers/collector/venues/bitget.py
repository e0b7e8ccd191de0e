"""bitget, v2 mix."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import ccxt.pro

from shared.kinds import CANDLE, TRADES
from workers.collector.catalogue.row import StreamKind
from workers.collector.events import (
    Acknowledged,
    BookUpdate,
    Candle,
    Day,
    Event,
    Print,
    Quote,
    Summary,
)
from workers.collector.hot import HotFrames
from workers.collector.numbers import difference, number, percent, price
from workers.collector.overview.pace import Pace

_CHANNELS = {"ticker": StreamKind.QUOTE, "trade": StreamKind.TRADES, "books": StreamKind.BOOK}
#: Channels of our timeframes. `candle1D` would be days of UTC+8.
_CANDLES = {
    "candle1m": "1m",
    "candle5m": "5m",
    "candle15m": "15m",
    "candle30m": "30m",
    "candle1H": "1h",
    "candle4H": "4h",
    "candle1Dutc": "1d",
}


class Bitget(HotFrames, ccxt.pro.bitget):
    """`arg` names the channel; the first push of a trade channel repeats recent trades."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._pace = Pace()

    def peel(self, frame: Any) -> Sequence[Event] | None:
        arg = frame.get("arg") if type(frame) is dict else None
        if type(arg) is not dict or "data" not in frame:
            return None
        market_id, channel = str(arg["instId"]), arg["channel"]
        if channel == "trade":
            # Newest first, as the venue's REST gives them.
            return self.each(TRADES, partial(_print, market_id), reversed(frame["data"]))
        if channel == "ticker":
            return [event for row in frame["data"] for event in self._ticker(market_id, row)]
        if channel == "books":
            snapshot = frame["action"] == "snapshot"
            return [_book(market_id, snapshot, row) for row in frame["data"]]
        if channel in _CANDLES:
            # The first push repeats up to 500; of the one before the open one it has the end.
            started = sorted(self.each(CANDLE, _started, frame["data"]), key=_start)[-2:]
            candle = partial(_candle, market_id, _CANDLES[channel], int(frame["ts"]))
            return self.each(CANDLE, candle, started)
        return None

    def book_of(self, frame: Any) -> Any:
        return frame["arg"]["instId"] if frame["arg"]["channel"] == "books" else None

    async def fetch_older_trades(self, symbol: str, oldest: Print, limit: int) -> Any:
        return await self.fetch_trades(symbol, None, limit, {"idLessThan": oldest.id})

    def acknowledged(self, client: Any, frame: Any) -> Iterable[Acknowledged]:
        """`{"event": "subscribe", "arg": {…}}`."""
        if type(frame) is dict and frame.get("event") == "subscribe":
            channel, market_id = frame["arg"]["channel"], str(frame["arg"]["instId"])
            if channel in _CHANNELS:
                yield Acknowledged(market_id, _CHANNELS[channel])
            elif channel in _CANDLES:
                yield Acknowledged(market_id, StreamKind.CANDLES, _CANDLES[channel])

    def parse_ohlcv(self, ohlcv: Any, market: Any = None) -> list[Any]:
        """With the quote volume behind; ccxt leaves it out."""
        return [*super().parse_ohlcv(ohlcv, market), self.safe_number(ohlcv, 6)]

    async def un_watch_ohlcv(
        self, symbol: str, timeframe: str = "1m", params: dict[str, Any] | None = None
    ) -> Any:
        """ccxt's own waits for ever on a name that the answer does not have: `1H` for `1h`."""
        channel = "candle" + self.options["timeframes"][timeframe]
        topic = f"candles:{timeframe}"
        return await self.un_watch_channel(symbol, channel, topic, "watchOHLCV", params or {})

    def parse_ticker(self, ticker: Any, market: Any = None) -> Any:
        amount = number(ticker.get("holdingAmount"))
        return super().parse_ticker(ticker, market) | {"openInterestAmount": amount}

    def _ticker(self, market_id: str, row: dict[str, Any]) -> Iterator[Event]:
        if not row["bidPr"] or not row["askPr"]:
            return
        yield _quote(market_id, row)
        if self._pace.due(market_id, int(row["ts"])):
            yield _summary(market_id, row)


def _quote(market_id: str, row: dict[str, Any]) -> Quote:
    return Quote(
        market_id=market_id,
        bid=float(row["bidPr"]),
        ask=float(row["askPr"]),
        bid_size=float(row["bidSz"]),
        ask_size=float(row["askSz"]),
        last=float(row["lastPr"]),
        timestamp=int(row["ts"]),
    )


def _print(market_id: str, row: dict[str, Any]) -> Print:
    return Print(
        market_id=market_id,
        id=row["tradeId"],
        price=float(row["price"]),
        size=float(row["size"]),
        side=row["side"].lower(),
        timestamp=int(row["ts"]),
    )


def _book(market_id: str, snapshot: bool, row: dict[str, Any]) -> BookUpdate:
    """`pseq` names the update before; the venue's documentation does not have it."""
    return BookUpdate(
        market_id=market_id,
        snapshot=snapshot,
        bids=row["bids"],
        asks=row["asks"],
        timestamp=int(row["ts"]),
        last=_whole(row.get("seq")),
        previous=_whole(row.get("pseq")),
        checksum=row.get("checksum") or None,  # 0 where there is none
    )


def _whole(value: Any) -> Any:
    """Numbers of updates stand in frames as text, too."""
    return int(value) if type(value) is str else value


def _summary(market_id: str, row: dict[str, Any]) -> Summary:
    next_funding = row.get("nextFundingTime")
    said = {
        "day": Day(
            open=price(row.get("open24h")),
            high=price(row.get("high24h")),
            low=price(row.get("low24h")),
            change=difference(row.get("lastPr"), row.get("open24h")),
            percentage=percent(row.get("change24h")),
            base_volume=number(row.get("baseVolume")),
            quote_volume=number(row.get("quoteVolume")),
        ),
        "volume_24h": number(row.get("baseVolume")),
        "mark_price": price(row.get("markPrice")),
        "index_price": price(row.get("indexPrice")),
        "funding_rate": number(row.get("fundingRate")),
        "next_funding_time": int(next_funding) if next_funding else None,
        "open_interest": number(row.get("holdingAmount")),
        "timestamp": int(row["ts"]),
    }
    return Summary(market_id, said)


def _started(row: list[str]) -> tuple[int, list[str]]:
    return int(row[0]), row


def _start(started: tuple[int, list[str]]) -> int:
    return started[0]


def _candle(
    market_id: str, timeframe: str, timestamp: int, started: tuple[int, list[str]]
) -> Candle:
    """The venue does not say whether it is closed."""
    start, row = started
    return Candle(
        market_id=market_id,
        timeframe=timeframe,
        start=start,
        open=float(row[1]),
        high=float(row[2]),
        low=float(row[3]),
        close=float(row[4]),
        volume=float(row[5]),
        closed=None,
        timestamp=timestamp,
        quote_volume=float(row[6]),
    )
