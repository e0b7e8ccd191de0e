"""krakenfutures, linear perpetuals (PF_)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import ccxt.pro

from shared.errors import ExchangeError
from shared.kinds import TRADES
from workers.collector.catalogue.row import StreamKind
from workers.collector.events import Acknowledged, BookUpdate, Day, Event, Print, Quote, Summary
from workers.collector.hot import HotFrames
from workers.collector.numbers import difference, number, price
from workers.collector.overview.pace import Pace

_FEEDS = {"ticker": StreamKind.QUOTE, "trade": StreamKind.TRADES, "book": StreamKind.BOOK}
#: The venue's names of feeds, by ccxt's of what they bring.
_NAMES = {"ticker": "ticker", "trade": "trade", "orderbook": "book"}
_END = "unsubscribe:"
#: Alerts that what was asked for is so already; the second answers a command to end a stream.
_ALREADY, _NOT_SUBSCRIBED = "Already subscribed to feed, re-requesting", "Not subscribed to feed"
_LINEAR = "PF_"
_HOUR = 1.0


class _Unsubscribing(ccxt.pro.krakenfutures):
    """ccxt has no way to end a subscription on this venue."""

    async def un_watch_tickers(self, symbols: list[str]) -> Any:
        return await self._end("ticker", symbols)

    async def un_watch_trades_for_symbols(self, symbols: list[str]) -> Any:
        return await self._end("trade", symbols)

    async def un_watch_order_book_for_symbols(self, symbols: list[str]) -> Any:
        return await self._end("orderbook", symbols)

    async def _end(self, element: str, symbols: list[str]) -> Any:
        hashes = [f"{_END}{element}:{self.symbol(symbol)}" for symbol in symbols]
        request = {
            "event": "unsubscribe",
            "feed": _NAMES[element],
            "product_ids": [self.market_id(symbol) for symbol in symbols],
        }
        return await self.watch_multiple(self.urls["api"]["ws"], hashes, request, hashes)

    def handle_message(self, client: Any, message: Any) -> None:
        """`{"event": "unsubscribed", "feed": "book", "product_ids": ["PF_XBTUSD"]}`."""
        if message.get("event") != "unsubscribed":
            super().handle_message(client, message)
            return
        element = next((ours for ours, name in _NAMES.items() if name == message["feed"]), None)
        for market_id in message.get("product_ids") or () if element else ():
            self._ended(client, f"{_END}{element}:{self.safe_symbol(market_id)}")

    def _ended(self, client: Any, name: str) -> None:
        self.clean_unsubscription(client, name.removeprefix(_END), name)


class KrakenFutures(HotFrames, _Unsubscribing):
    """`feed` names the frame; sizes are base currency. A change of a book is one level."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._pace = Pace()

    def peel(self, frame: Any) -> Sequence[Event] | None:
        feed = frame.get("feed") if type(frame) is dict else None
        if feed is None or "event" in frame:
            return None
        if feed == "book":
            return (_book(frame),)
        if feed == "trade":
            return self.each(TRADES, _print, (frame,))
        if feed == "ticker":
            return tuple(self._ticker(frame))
        if feed == "book_snapshot":
            return (_whole_book(frame),)
        if feed == "trade_snapshot":
            # The latest ones, newest first.
            return self.each(TRADES, _print, reversed(frame["trades"]))
        return None

    def book_of(self, frame: Any) -> Any:
        return frame["product_id"] if frame["feed"] in ("book", "book_snapshot") else None

    def acknowledged(self, client: Any, frame: Any) -> Iterable[Acknowledged]:
        """`{"event": "subscribed", "feed": "book", "product_ids": ["PF_XBTUSD"]}`."""
        if type(frame) is not dict or frame.get("event") != "subscribed":
            return
        kind = _FEEDS.get(str(frame.get("feed")))
        if kind is not None:
            yield from (Acknowledged(id_, kind) for id_ in frame["product_ids"])

    def handle_error_message(self, client: Any, message: Any) -> Any:
        """An alert does not say what it is about; ccxt would end all streams of the connection for
        it. Those that were not acknowledged are noticed by that. Commands are answered in the order
        in which they came, so that it is the first one to end a stream which had nothing to end."""
        said = str(message.get("message"))
        if said == _NOT_SUBSCRIBED:
            name = next((name for name in client.subscriptions if name.startswith(_END)), None)
            if name is not None:
                self._ended(client, name)
        elif said != _ALREADY:
            self.sink.on_bad_frame(message, ExchangeError(said))
        return False

    async def fetch_markets(self, params: Any = None) -> Any:
        """Linear perpetuals: inverse ones are worth an amount of dollars."""
        markets = await super().fetch_markets(params or {})
        return [one for one in markets if one["swap"] and one["id"].startswith(_LINEAR)]

    async def ask_time(self) -> None:
        """Of one contract: the venue has no question about the time alone."""
        id_ = next(iter(self.markets.values()))["id"]
        await self.publicGetTickersSymbol({"symbol": id_})

    async def fetch_older_trades(self, symbol: str, oldest: Print, limit: int) -> Any:
        """Those of its own millisecond among them."""
        if oldest.timestamp is None:
            return []
        before = self.iso8601(oldest.timestamp + 1)
        return await self.fetch_trades(symbol, None, limit, {"lastTime": before})

    async def fetch_tickers_and_funding(self) -> list[dict[str, Any]]:
        """All tickers, each with its funding rate under `funding`: one request holds both. Their
        times are those of the last trades, which is not what we ask about."""
        response = await self.publicGetTickers()
        rows = [row for row in response["tickers"] if row["symbol"] in self.markets_by_id]
        return [
            self.parse_ticker(row)
            | {"timestamp": None, "funding": self.parse_funding_rate(row) | {"timestamp": None}}
            for row in rows
        ]

    async def fetch_funding_rate_history(
        self,
        symbol: str | None = None,
        since: int | None = None,
        limit: int | None = None,
        params: dict[str, Any] | None = None,
    ) -> Any:
        """The venue answers with all that there ever were, an hour apart: of a contract of some
        years ccxt would read tens of thousands, while nothing else runs."""
        if symbol is None:
            return await super().fetch_funding_rate_history(symbol, since, limit, params or {})
        request = {"symbol": self.market_id(symbol)} | (params or {})
        rows = (await self.publicGetHistoricalfundingrates(request))["rates"]
        begin = "" if since is None else self.iso8601(since)
        # As text, which sorts as the times do; exactly below.
        recent = [self._settlement(symbol, row) for row in rows if row["timestamp"] >= begin]
        rising = self.sort_by(recent, "timestamp")
        return self.filter_by_symbol_since_limit(rising, symbol, since, limit)

    def _settlement(self, symbol: str, row: dict[str, Any]) -> dict[str, Any]:
        return {
            "info": row,
            "symbol": symbol,
            "fundingRate": number(row["relativeFundingRate"]),
            "timestamp": self.parse8601(row["timestamp"]),
            "datetime": row["timestamp"],
        }

    def parse_ticker(self, ticker: Any, market: Any = None) -> Any:
        """With what ccxt leaves out."""
        return super().parse_ticker(ticker, market) | {
            "high": number(ticker.get("high24h")),
            "low": number(ticker.get("low24h")),
            "quoteVolume": number(ticker.get("volumeQuote")),
            "openInterestAmount": number(ticker.get("openInterest")),
        }

    def _ticker(self, frame: dict[str, Any]) -> Iterator[Event]:
        if not frame.get("bid") or not frame.get("ask"):
            return  # a market without a bid or an ask
        yield _quote(frame)
        if self._pace.due(frame["product_id"], frame["time"]):
            yield _summary(frame)


def _quote(frame: dict[str, Any]) -> Quote:
    return Quote(
        market_id=frame["product_id"],
        bid=float(frame["bid"]),
        ask=float(frame["ask"]),
        bid_size=float(frame["bid_size"]),
        ask_size=float(frame["ask_size"]),
        last=price(frame.get("last")),
        timestamp=frame["time"],
    )


def _print(row: dict[str, Any]) -> Print:
    return Print(
        market_id=row["product_id"],
        id=row["uid"],
        price=float(row["price"]),
        size=float(row["qty"]),
        side=row["side"],
        timestamp=row["time"],
    )


def _whole_book(frame: dict[str, Any]) -> BookUpdate:
    return BookUpdate(
        market_id=frame["product_id"],
        snapshot=True,
        bids=[(level["price"], level["qty"]) for level in frame["bids"]],
        asks=[(level["price"], level["qty"]) for level in frame["asks"]],
        timestamp=frame["timestamp"],
        last=frame["seq"],
    )


def _book(frame: dict[str, Any]) -> BookUpdate:
    """`seq` grows by one with each change of a product's book."""
    levels, side = ((frame["price"], frame["qty"]),), frame["side"]
    if side not in ("buy", "sell"):
        raise ValueError(f"side {side!r}")
    return BookUpdate(
        market_id=frame["product_id"],
        snapshot=False,
        bids=levels if side == "buy" else (),
        asks=levels if side == "sell" else (),
        timestamp=frame["timestamp"],
        last=frame["seq"],
    )


def _day(frame: dict[str, Any]) -> Day:
    return Day(
        open=price(frame["open"]),
        high=price(frame.get("high")),
        low=price(frame.get("low")),
        change=difference(str(frame["last"]), str(frame["open"])),
        percentage=number(frame.get("change")),
        base_volume=number(frame.get("volume")),
        quote_volume=number(frame.get("volumeQuote")),
    )


def _summary(frame: dict[str, Any]) -> Summary:
    """`funding_rate` is absolute: an amount of quote currency a unit."""
    next_funding = frame.get("next_funding_rate_time")
    said: dict[str, Any] = {} if frame.get("open") is None else {"day": _day(frame)}
    said |= {
        "volume_24h": number(frame.get("volume")),
        "mark_price": price(frame.get("markPrice")),
        "index_price": price(frame.get("index")),
        "funding_rate": number(frame.get("relative_funding_rate")),
        "next_funding_time": int(next_funding) if next_funding else None,
        "funding_interval_h": _HOUR,
        "open_interest": number(frame.get("openInterest")),
        "timestamp": frame["time"],
    }
    return Summary(frame["product_id"], said)
