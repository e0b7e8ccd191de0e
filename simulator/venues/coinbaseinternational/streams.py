"""Coinbase International websocket: JSON-RPC, channels named `kind.INSTRUMENT.detail`."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

import orjson

from simulator.book import View
from simulator.candle_topic import CandleTopic
from simulator.candles import Candle
from simulator.dialect import Dialect, VenueError
from simulator.frame import Frame
from simulator.happening import Event, Trigger
from simulator.market import Market
from simulator.session import Session
from simulator.topic import Topic
from simulator.venues.coinbaseinternational.rest import (
    BASE,
    RESOLUTIONS,
    Row,
    candle,
    deal,
    error,
    quote,
    stamped,
    ticker,
)
from simulator.view_topic import ViewTopic, sides

SUBSCRIPTION_CREDITS, MOST_CREDITS, CREDITS_A_SECOND = 3000, 30_000, 10_000
GROUPED_DEPTHS = {"1": 1, "10": 10, "20": 20}
AGGREGATED = frozenset({"100ms", "agg2"})

Maker = Callable[[Market, str], Topic]


class Streams:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._venue = dialect.venue
        self._credits: WeakKeyDictionary[Session, tuple[float, float]] = WeakKeyDictionary()

    def receive(self, session: Session, text: str) -> None:
        try:
            command = orjson.loads(text)
            method, params = str(command["method"]), dict(command.get("params") or {})
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            self._refuse(session, None, -32600, "Invalid Request")
            return
        number = command.get("id")
        match method:
            case "public/subscribe":
                self._subscribe(session, number, params)
            case "public/unsubscribe":
                self._unsubscribe(session, number, params)
            case "public/unsubscribe_all":
                session.leave_all()
                self._answer(session, number, {"result": "ok"})
            case _ if method.startswith("private/"):
                self._refuse(session, number, 13009, "unauthorized", reason="invalid_token")
            case _:
                self._call(session, number, method, params)

    def _subscribe(self, session: Session, number: object, params: Mapping[str, Any]) -> None:
        """The answer names what is subscribed: a channel that can not be is just not in it."""
        if not self._affords(session):
            self._refuse(session, number, 10028, "too_many_requests")
            session.say_close(1008)
            return
        channels = self._channels(session, number, params)
        if channels is None:
            return
        if any(name.endswith(".raw") for name in channels):
            message = "raw_subscriptions_not_available_for_unauthorized"
            self._refuse(session, number, 13778, message)
            return
        found = {name: topic for name in channels if (topic := self._topic(name)) is not None}
        self._answer(session, number, {"result": list(found)})
        for name, topic in found.items():
            if name not in session.groups:
                session.subscribe(name, [topic])

    def _unsubscribe(self, session: Session, number: object, params: Mapping[str, Any]) -> None:
        channels = self._channels(session, number, params)
        if channels is not None:
            left = [name for name in channels if session.unsubscribe(name)]
            self._answer(session, number, {"result": left})

    def _channels(
        self, session: Session, number: object, params: Mapping[str, Any]
    ) -> list[str] | None:
        channels = params.get("channels")
        if isinstance(channels, list) and channels and all(type(one) is str for one in channels):
            return channels
        reason = {"reason": "wrong format", "param": "channels"}
        self._refuse(session, number, -32602, "Invalid params", **reason)
        return None

    def _affords(self, session: Session) -> bool:
        now = monotonic()
        credits_, at = self._credits.get(session, (MOST_CREDITS, now))
        credits_ = min(MOST_CREDITS, credits_ + CREDITS_A_SECOND * (now - at))
        afforded = credits_ >= SUBSCRIPTION_CREDITS
        self._credits[session] = (credits_ - SUBSCRIPTION_CREDITS * afforded, now)
        return afforded

    def _call(
        self, session: Session, number: object, method: str, params: Mapping[str, Any]
    ) -> None:
        """Whatever REST has may be asked here as well."""
        handler = self._dialect.handler(f"{BASE}/{method}")
        if handler is None:
            self._refuse(session, number, -32601, "Method not found")
            return
        try:
            answer = handler({name: str(value) for name, value in params.items()})
        except VenueError as refused:
            answer = refused.body
        assert isinstance(answer, dict)
        session.reply(orjson.dumps({**answer, "id": number}))

    def _topic(self, channel: str) -> Topic | None:
        kind, _, rest = channel.partition(".")
        if kind == "chart":
            kind, rest = "chart.trades", rest.removeprefix("trades.")
        instrument, _, detail = rest.partition(".")
        maker, market = self._maker(kind, detail), self._venue.market(instrument)
        if maker is None or market is None:
            return None
        return self._venue.topic(market, channel, maker)

    @staticmethod
    def _maker(kind: str, detail: str) -> Maker | None:
        match kind, detail.split("."):
            case "quote", [""]:
                return Quotes
            case "ticker", [interval] if interval in AGGREGATED:
                return Tickers
            case "trades", [interval] if interval in AGGREGATED:
                return Trades
            case "book", [interval] if interval in AGGREGATED:
                return Books
            case "book", ["none", depth, "100ms"] if depth in GROUPED_DEPTHS:
                return partial(GroupedBooks, GROUPED_DEPTHS[depth])
            case "chart.trades", [resolution] if resolution in RESOLUTIONS:
                return partial(Charts, RESOLUTIONS[resolution])
        return None

    @staticmethod
    def _answer(session: Session, number: object, message: Row) -> None:
        session.reply(orjson.dumps({**stamped(message), "id": number}))

    def _refuse(
        self, session: Session, number: object, code: int, message: str, **data: str
    ) -> None:
        self._answer(session, number, {"error": error(code, message, **data)})


def push(topic: Topic, data: object) -> Row:
    params = {"channel": topic.channel, "data": data}
    return {"jsonrpc": "2.0", "method": "subscription", "params": params}


class Quotes(Topic):
    kind = "quote"
    triggers = (Trigger.TOUCH,)

    def greet(self) -> Iterable[Frame]:
        return (self._frame(self.market.now_ms),)

    def render(self, event: Event) -> Frame:
        return self._frame(event.t_ms)

    def _frame(self, t_ms: int) -> Frame:
        return self.frame(push(self, quote(self.market, t_ms)), {"timestamp": t_ms})


class Tickers(Topic):
    triggers = (Trigger.TOUCH,)

    def greet(self) -> Iterable[Frame]:
        return (self._frame(),)

    def render(self, _event: Event) -> Frame:
        return self._frame()

    def _frame(self) -> Frame:
        data = ticker(self.market)
        return self.frame(push(self, data), {"timestamp": data["timestamp"]})


class Trades(Topic):
    triggers = (Trigger.TRADE,)

    def render(self, event: Event) -> Frame | None:
        trade = event.trade
        if trade is None:
            return None
        row = deal(self.market, trade)
        ids: dict[str, object] = {name: [row[name]] for name in ("trade_seq", "trade_id")}
        return self.frame(push(self, [row]), ids)


class Books(Topic):
    """All levels, then changes; `prev_change_id` names the message before."""

    triggers = (Trigger.BOOK,)
    incremental = True

    def __init__(self, market: Market, channel: str) -> None:
        super().__init__(market, channel)
        self._levels: View = dict(market.book.sizes)  # as last pushed
        self._change_id = market.book.update_id
        self._at = market.now_ms

    def greet(self) -> Iterable[Frame]:
        """Best levels first."""
        keys = sorted(self._levels, reverse=True)
        bids = [("new", key, self._levels[key]) for key in keys if key > 0]
        asks = [("new", key, self._levels[key]) for key in keys if key < 0]
        ids: dict[str, object] = {"change_id": self._change_id}
        return (self._frame("snapshot", [*bids, *asks], ids),)

    def render(self, event: Event) -> Frame | None:
        previous, book = self._change_id, self.market.book
        rows = [self._told(key, size) for key, size in book.changed_since(previous).items()]
        changes = [row for row in rows if row is not None]
        if not changes:
            return None
        self._change_id, self._at = book.update_id, event.t_ms
        ids: dict[str, object] = {"change_id": self._change_id, "prev_change_id": previous}
        return self._frame("change", changes, ids)

    def _told(self, key: int, size: int) -> tuple[str, int, int] | None:
        """What happened to a level, if anything did."""
        former = self._levels.get(key, 0)
        if size == former:
            return None
        if not size:
            del self._levels[key]
            return "delete", key, 0
        self._levels[key] = size
        return "change" if former else "new", key, size

    def _frame(self, kind: str, rows: list[tuple[str, int, int]], ids: dict[str, object]) -> Frame:
        market = self.market
        told = [
            (key > 0, [action, market.price(abs(key)), market.base(size)])
            for action, key, size in rows
        ]
        data = {
            "type": kind,
            "timestamp": self._at,
            "instrument_name": market.instrument.id,
            **ids,
            "bids": [level for is_bid, level in told if is_bid],
            "asks": [level for is_bid, level in told if not is_bid],
        }
        return self.frame(push(self, data), {"type": kind, **ids})


class GroupedBooks(ViewTopic):
    """The best levels, complete in each push."""

    def greet(self) -> Iterable[Frame]:
        return (self._frame(self.market.now_ms),)

    def render(self, event: Event) -> Frame | None:
        return self._frame(event.t_ms) if self.changes() else None

    def _frame(self, t_ms: int) -> Frame:
        market, ids = self.market, {"change_id": self.update_id}
        bids, asks = (
            [[market.price(price), market.base(size)] for price, size in side]
            for side in sides(self.view)
        )
        head = {"timestamp": t_ms, "instrument_name": market.instrument.id}
        return self.frame(push(self, {**head, **ids, "bids": bids, "asks": asks}), {**ids})


class Charts(CandleTopic):
    """Nothing says whether a candle is final."""

    def message(self, one: Candle, _closed: bool, _t_ms: int) -> object:
        return push(self, candle(self.market, one))
