"""Kraken Futures websocket v1: feeds of products."""

from collections.abc import Callable, Iterable

import orjson

from simulator.dialect import Dialect
from simulator.frame import Frame
from simulator.happening import Event, Trade, Trigger
from simulator.market import Market
from simulator.session import Session
from simulator.topic import Topic
from simulator.venues.krakenfutures.rest import WHOLE_BOOK, change, pair, trade_id, trade_type
from simulator.venues.krakenfutures.rest import absolute as absolute_rate
from simulator.view_topic import sides

HEARTBEAT = "heartbeat"
RECENT_TRADES = 100
ALREADY = "Already subscribed to feed, re-requesting"
NOT_SUBSCRIBED = "Not subscribed to feed"

Maker = Callable[[Market, str], Topic]


class Streams:
    """Each product of a command is answered by itself. A refusal does not say what it is about."""

    def __init__(self, dialect: Dialect) -> None:
        self._venue = dialect.venue

    def receive(self, session: Session, text: str) -> None:
        try:
            command = orjson.loads(text)
            event, feed = command["event"], str(command.get("feed"))
            products = [str(one) for one in command.get("product_ids") or ()]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            _alert(session, "Bad websocket message")
            return
        if event not in ("subscribe", "unsubscribe"):
            _alert(session, "Invalid event")
        elif feed == HEARTBEAT:
            self._beat(session, event)
        elif feed not in FEEDS:
            _alert(session, "Invalid feed")
        elif not products:
            _alert(session, "Invalid product id")
        else:
            apply = self._subscribe if event == "subscribe" else _unsubscribe
            for product in products:
                apply(session, feed, product)

    @staticmethod
    def _beat(session: Session, event: str) -> None:
        if event == "subscribe":
            session.subscribe(HEARTBEAT, [])
        else:
            session.unsubscribe(HEARTBEAT)
        session.reply(orjson.dumps({"event": f"{event}d", "feed": HEARTBEAT}))

    def _subscribe(self, session: Session, feed: str, product: str) -> None:
        key, market = f"{feed}:{product}", self._venue.market(product)
        if market is None:
            _alert(session, "Invalid product id")
            return
        if key in session.groups:
            _alert(session, ALREADY)
            for topic in session.groups[key]:
                topic.welcome(session)
            return
        _answer(session, "subscribed", feed, product)
        session.subscribe(key, [self._venue.topic(market, feed, FEEDS[feed])])


def _unsubscribe(session: Session, feed: str, product: str) -> None:
    if session.unsubscribe(f"{feed}:{product}"):
        _answer(session, "unsubscribed", feed, product)
    else:
        _alert(session, NOT_SUBSCRIBED)


def _answer(session: Session, event: str, feed: str, product: str) -> None:
    session.reply(orjson.dumps({"event": event, "feed": feed, "product_ids": [product]}))


def _alert(session: Session, message: str) -> None:
    session.reply(orjson.dumps({"event": "alert", "message": message}))


class Books(Topic):
    """A snapshot of the whole book, then each change of a level at once, by itself."""

    triggers = (Trigger.BOOK, Trigger.TOUCH, Trigger.TRADE)
    kind = "book"
    incremental = True

    def __init__(self, market: Market, channel: str) -> None:
        super().__init__(market, channel)
        self._number = market.book.update_id

    def greet(self) -> Iterable[Frame]:
        market = self.market
        bids, asks = (
            [{"price": market.price(price), "qty": market.base(size)} for price, size in side]
            for side in sides(market.book.view(WHOLE_BOOK))
        )
        message = {
            "feed": "book_snapshot",
            "product_id": market.instrument.id,
            "timestamp": market.now_ms,
            "seq": self._number,
            "tickSize": None,
            "bids": bids,
            "asks": asks,
        }
        return (self.frame(message, {"seq": self._number}),)

    def publish(self, event: Event) -> None:
        while (frame := self.render(event)) is not None:
            self._send(frame)

    def render(self, event: Event) -> Frame | None:
        """The next change that was not pushed yet."""
        found = next(self.market.book.each_since(self._number), None)
        if found is None:
            return None
        self._number, key, size = found
        message = {
            "feed": self.channel,
            "product_id": self.market.instrument.id,
            "side": "buy" if key > 0 else "sell",
            "seq": self._number,
            "price": self.market.price(abs(key)),
            "qty": self.market.base(size),
            "timestamp": event.t_ms,
        }
        return self.frame(message, {"seq": self._number})


class Trades(Topic):
    """The latest ones, newest first; then each as it happens."""

    triggers = (Trigger.TRADE,)

    def greet(self) -> Iterable[Frame]:
        recent = list(self.market.trades)[-RECENT_TRADES:][::-1]
        message = {
            "feed": "trade_snapshot",
            "product_id": self.market.instrument.id,
            "trades": [self._row(trade) for trade in recent],
        }
        return (self.frame(message, {"uid": [trade_id(self.market, one) for one in recent]}),)

    def render(self, event: Event) -> Frame | None:
        if event.trade is None:
            return None
        ids: dict[str, object] = {"uid": [trade_id(self.market, event.trade)]}
        return self.frame(self._row(event.trade), ids)

    def _row(self, trade: Trade) -> dict[str, object]:
        return {
            "feed": self.channel,
            "product_id": self.market.instrument.id,
            "uid": trade_id(self.market, trade),
            "side": "buy" if trade.taker_buys else "sell",
            "type": trade_type(self.market, trade),
            "seq": trade.id,
            "time": trade.t_ms,
            "qty": self.market.base(trade.size),
            "price": self.market.price(trade.price),
        }


class Tickers(Topic):
    """At once, and then once a second."""

    triggers = (Trigger.SECOND,)

    def greet(self) -> Iterable[Frame]:
        return (self._frame(self.market.now_ms),)

    def render(self, event: Event) -> Frame | None:
        return self._frame(event.t_ms)

    def _frame(self, t_ms: int) -> Frame:
        return self.frame({"feed": self.channel} | self._said(t_ms), {"time": t_ms})

    def _said(self, t_ms: int) -> dict[str, object]:
        market = self.market
        day, book, funding = market.day, market.book, market.funding
        rate = absolute_rate(market, funding.rate)
        return _lite(market) | {
            "time": t_ms,
            "bid_size": market.base(book.sizes[book.best_bid]),
            "ask_size": market.base(book.sizes[-book.best_ask]),
            "leverage": "50x",
            "index": market.index,
            "last": market.price(market.last),
            "suspended": False,
            "openInterest": market.base(market.open_interest),
            "markPrice": market.mark,
            "post_only": False,
            "funding_rate": rate,
            "funding_rate_prediction": rate,
            "relative_funding_rate": funding.rate,
            "relative_funding_rate_prediction": funding.rate,
            "next_funding_rate_time": funding.next_ms,
            "open": market.price(day.open),
            "high": market.price(day.high),
            "low": market.price(day.low),
        }


class LiteTickers(Tickers):
    """Without sizes, and without the time."""

    def _said(self, _t_ms: int) -> dict[str, object]:
        return _lite(self.market)


def _lite(market: Market) -> dict[str, object]:
    book, day = market.book, market.day
    return {
        "product_id": market.instrument.id,
        "bid": market.price(book.best_bid),
        "ask": market.price(book.best_ask),
        "change": change(market),
        "premium": round(100 * (market.mark / market.index - 1), 1) or 0.0,
        "volume": market.base(day.volume),
        "tag": "perpetual",
        "pair": pair(market),
        "dtm": 0,
        "maturityTime": 0,
        "volumeQuote": round(market.quote(day.turnover), 4),
    }


FEEDS: dict[str, Maker] = {
    "book": Books,
    "trade": Trades,
    "ticker": Tickers,
    "ticker_lite": LiteTickers,
}
