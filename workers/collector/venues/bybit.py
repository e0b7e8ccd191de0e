"""bybit, v5 linear."""

from collections.abc import Sequence
from typing import Any

import ccxt.pro

from workers.collector.events import Event, Print, Quote
from workers.collector.hot import HotFrames


class Bybit(HotFrames, ccxt.pro.bybit):
    """Tickers come as a snapshot and then as the fields that changed; trades come in lists."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._ticker_fields: dict[str, dict[str, Any]] = {}  # by topic
        self._book_update: dict[str, int] = {}  # by topic: `u` of the last delta

    def peel(self, frame: Any) -> Sequence[Event] | None:
        topic = frame.get("topic") if type(frame) is dict else None
        if type(topic) is not str:
            return None
        if topic.startswith("publicTrade."):
            return self.prints(_print, frame["data"])
        if topic.startswith("tickers."):
            return self._quotes(topic, frame)
        return None

    def broken_book(self, frame: Any) -> tuple[str, str] | None:
        """`u` of a topic grows by one with each delta; ccxt does not look at it."""
        topic = frame.get("topic") if type(frame) is dict else None
        if type(topic) is not str or not topic.startswith("orderbook."):
            return None
        data = frame["data"]
        update, last = data["u"], self._book_update.get(topic)
        self._book_update[topic] = update
        # The venue restarts a book with u = 1, as a snapshot.
        if frame["type"] == "snapshot" or last is None or update == last + 1:
            return None
        return data["s"], f"delta {update} after {last}"

    def handle_order_book(self, client: Any, message: Any) -> None:
        """ccxt would start a book from a delta that comes after its end, and knows no `u`."""
        symbol = self.safe_symbol(message["data"]["s"], None, None, "contract")
        if message["type"] == "snapshot" or symbol in self.orderbooks:
            super().handle_order_book(client, message)
            self.orderbooks[symbol]["nonce"] = message["data"]["u"]

    async def fetch_tickers_and_funding(self) -> list[dict[str, Any]]:
        """All tickers, each with its funding rate under `funding`: one request holds both."""
        response = await self.publicGetV5MarketTickers({"category": "linear"})
        rows = response["result"]["list"]
        tickers = self.parse_tickers(rows)
        funding = self.parse_funding_rates(rows)
        return [ticker | {"funding": funding.get(symbol)} for symbol, ticker in tickers.items()]

    def _quotes(self, topic: str, frame: dict[str, Any]) -> Sequence[Event]:
        if frame["type"] == "snapshot":
            self._ticker_fields[topic] = dict(frame["data"])
        elif topic in self._ticker_fields:
            self._ticker_fields[topic].update(frame["data"])
        fields = self._ticker_fields.get(topic)
        if not fields or not fields.get("bid1Price") or not fields.get("ask1Price"):
            return ()  # a delta before its snapshot, or a market without a bid or an ask
        return (_quote(fields, frame["ts"]),)


def _quote(fields: dict[str, Any], timestamp: int) -> Quote:
    return Quote(
        market_id=fields["symbol"],
        bid=float(fields["bid1Price"]),
        ask=float(fields["ask1Price"]),
        bid_size=float(fields["bid1Size"]),
        ask_size=float(fields["ask1Size"]),
        last=float(fields["lastPrice"]),
        timestamp=timestamp,
    )


def _print(row: dict[str, Any]) -> Print:
    return Print(
        market_id=row["s"],
        id=row["i"],
        price=float(row["p"]),
        size=float(row["v"]),
        side=row["S"].lower(),
        timestamp=row["T"],
    )
