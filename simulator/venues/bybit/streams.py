"""Bybit websocket: topics named `kind.detail.SYMBOL`."""

from collections.abc import Callable, Iterable
from functools import partial

import orjson

from simulator.candle_topic import CandleTopic
from simulator.candles import Candle
from simulator.dialect import Dialect
from simulator.frame import Frame
from simulator.happening import Event, Trigger
from simulator.market import MINUTE_MS, Market
from simulator.session import Session
from simulator.topic import Topic
from simulator.venues.bybit.rest import INTERVALS, text_levels, ticker, trade_id
from simulator.view_topic import ViewTopic

BOOK_DEPTHS = ("50", "200", "1000")

Maker = Callable[[Market, str], Topic]


class Streams:
    def __init__(self, dialect: Dialect) -> None:
        self._venue = dialect.venue

    def receive(self, session: Session, text: str) -> None:
        try:
            command = orjson.loads(text)
            op, number = command["op"], command.get("req_id")
            topics = [str(topic) for topic in command.get("args") or ()]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            self._answer(session, False, "error:bad request", None, "")
            return
        if op == "ping":
            self._answer(session, True, "pong", number, op)
        elif op == "subscribe":
            self._subscribe(session, topics, number)
        elif op == "unsubscribe":
            self._unsubscribe(session, topics, number)
        else:
            self._answer(session, False, f"error:invalid op[{op}]", number, op)

    def _subscribe(self, session: Session, names: list[str], number: object) -> None:
        """One bad topic refuses the whole command."""
        makers = {name: self._maker(name) for name in names}
        bad = next((name for name, maker in makers.items() if maker is None), None)
        if bad is not None:
            text = f"error:handler not found,topic:{bad}"
            self._answer(session, False, text, number, "subscribe")
            return
        self._answer(session, True, "", number, "subscribe")
        for name, maker in makers.items():
            market = self._venue.market(name.rpartition(".")[2])
            if market is not None and maker is not None:
                session.subscribe(name, [self._venue.topic(market, name, maker)])

    def _unsubscribe(self, session: Session, names: list[str], number: object) -> None:
        """Succeeds for any topic, also for one that was never subscribed to."""
        for name in names:
            session.unsubscribe(name)
        self._answer(session, True, "", number, "unsubscribe")

    def _maker(self, name: str) -> Maker | None:
        head, _, id_ = name.rpartition(".")
        kind, _, detail = head.partition(".")
        if self._venue.market(id_) is None:
            return None
        if kind == "orderbook":
            return BestLevel if detail == "1" else _book(detail)
        if kind == "kline":
            return partial(Kline, INTERVALS[detail]) if detail in INTERVALS else None
        return CHANNELS.get(head)

    @staticmethod
    def _answer(session: Session, success: bool, text: str, number: object, op: str) -> None:
        answer = {"success": success, "ret_msg": text, "conn_id": f"sim-{session.number}"}
        session.reply(orjson.dumps({**answer, "req_id": number, "op": op}))


def _book(depth: str) -> Maker | None:
    return partial(OrderBook, int(depth)) if depth in BOOK_DEPTHS else None


class Tickers(Topic):
    """A snapshot, then only the fields that changed."""

    triggers = (Trigger.TOUCH,)

    def __init__(self, market: Market, channel: str) -> None:
        super().__init__(market, channel)
        self._pushed = ticker(market)
        self._at = market.now_ms

    def greet(self) -> Iterable[Frame]:
        return (self._frame("snapshot", self._pushed),)

    def render(self, event: Event) -> Frame | None:
        old, self._pushed, self._at = self._pushed, ticker(self.market), event.t_ms
        changed = {name: text for name, text in self._pushed.items() if old[name] != text}
        if not changed:
            return None
        return self._frame("delta", {"symbol": self.market.instrument.id, **changed})

    def _frame(self, kind: str, data: dict[str, str]) -> Frame:
        sequence = self.market.book.update_id
        head = {"topic": self.channel, "type": kind, "data": data}
        return self.frame({**head, "cs": sequence, "ts": self._at}, {"cs": sequence})


class OrderBook(ViewTopic):
    """A snapshot, then deltas of the top levels; `u` grows by one each."""

    def __init__(self, depth: int, market: Market, channel: str) -> None:
        super().__init__(depth, market, channel)
        self._u = market.stirs
        self._at = market.now_ms

    def greet(self) -> Iterable[Frame]:
        return (self._frame("snapshot", self.view),)

    def render(self, event: Event) -> Frame:
        self._u = self.market.stirs
        self._at = event.t_ms
        return self._frame("delta", self.changes())

    def _frame(self, kind: str, view: dict[int, int]) -> Frame:
        bids, asks = text_levels(self.market, view)
        ids: dict[str, object] = {"u": self._u, "seq": self.update_id}
        data = {"s": self.market.instrument.id, "b": bids, "a": asks, **ids}
        head = {"topic": self.channel, "type": kind, "ts": self._at, "data": data}
        return self.frame({**head, "cts": self._at}, {"type": kind, **ids})


class BestLevel(ViewTopic):
    """`orderbook.1`: every push is a snapshot."""

    kind = "quote"
    incremental = False
    triggers = (Trigger.TOUCH,)

    def __init__(self, market: Market, channel: str) -> None:
        super().__init__(1, market, channel)
        self._u = market.book.update_id

    def greet(self) -> Iterable[Frame]:
        return (self._frame(self.market.now_ms),)

    def render(self, event: Event) -> Frame | None:
        if not self.changes():
            return None
        self._u += 1
        return self._frame(event.t_ms)

    def _frame(self, t_ms: int) -> Frame:
        bids, asks = text_levels(self.market, self.view)
        ids: dict[str, object] = {"u": self._u, "seq": self.update_id}
        data = {"s": self.market.instrument.id, "b": bids, "a": asks, **ids}
        head = {"topic": self.channel, "type": "snapshot", "ts": t_ms, "data": data}
        return self.frame({**head, "cts": t_ms}, {"type": "snapshot", **ids})


class PublicTrade(Topic):
    triggers = (Trigger.TRADE,)

    def __init__(self, market: Market, channel: str) -> None:
        super().__init__(market, channel)
        self._price = market.last

    def render(self, event: Event) -> Frame | None:
        trade, market = event.trade, self.market
        if trade is None:
            return None
        id_ = trade_id(market, trade)
        row = {
            "T": trade.t_ms,
            "s": market.instrument.id,
            "S": "Buy" if trade.taker_buys else "Sell",
            "v": market.base_text(trade.size),
            "p": market.price_text(trade.price),
            "L": self._direction(trade.price),
            "i": id_,
            "BT": False,
            "seq": market.book.update_id,
        }
        head = {"topic": self.channel, "type": "snapshot", "ts": event.t_ms}
        return self.frame({**head, "data": [row]}, {"i": [id_]})

    def _direction(self, price: int) -> str:
        last, self._price = self._price, price
        if price == last:
            return "ZeroPlusTick"
        return "PlusTick" if price > last else "MinusTick"


class AllLiquidation(Topic):
    """`S` is the side of the position that was closed, not that of the order."""

    triggers = (Trigger.LIQUIDATION,)

    def render(self, event: Event) -> Frame | None:
        trade, market = event.trade, self.market
        if trade is None:
            return None
        row = {
            "T": trade.t_ms,
            "s": market.instrument.id,
            "S": "Sell" if trade.taker_buys else "Buy",
            "v": market.base_text(trade.size),
            "p": market.price_text(trade.price),
        }
        head = {"topic": self.channel, "type": "snapshot", "ts": event.t_ms}
        return self.frame({**head, "data": [row]}, {"liquidation": [trade.id]})


class Kline(CandleTopic):
    def message(self, candle: Candle, closed: bool, t_ms: int) -> object:
        market, start = self.market, candle.minute * MINUTE_MS
        row = {
            "start": start,
            "end": start + self.span * MINUTE_MS - 1,
            "interval": self.channel.split(".")[1],
            "open": market.price_text(candle.open),
            "close": market.price_text(candle.close),
            "high": market.price_text(candle.high),
            "low": market.price_text(candle.low),
            "volume": market.base_text(candle.volume),
            "turnover": f"{market.quote(candle.turnover):.4f}",
            "confirm": closed,
            "timestamp": t_ms,
        }
        return {"topic": self.channel, "type": "snapshot", "ts": t_ms, "data": [row]}


CHANNELS: dict[str, Maker] = {
    "tickers": Tickers,
    "publicTrade": PublicTrade,
    "allLiquidation": AllLiquidation,
}
