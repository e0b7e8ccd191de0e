"""Bitget websocket: channels of an instrument, books with a checksum."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import orjson

from simulator.book import View
from simulator.candle_topic import CandleTopic
from simulator.candles import Candle
from simulator.checksum import CHECKSUM_LEVELS, checksum
from simulator.dialect import Dialect
from simulator.frame import Frame
from simulator.happening import Event, Trade, Trigger
from simulator.market import MINUTE_MS, Market
from simulator.session import Session
from simulator.topic import Topic
from simulator.venues.bitget.rest import INTERVALS, PRODUCT, row, ticker, trade_id
from simulator.view_topic import ViewTopic, sides

BOOK_DEPTH = 200
SNAPSHOT_DEPTHS = {"books1": 1, "books5": 5, "books15": 15, "books50": 50}
RECENT_TRADES = 50
CANDLES_FIRST = 500

Maker = Callable[[Market, str], Topic]


class Streams:
    def __init__(self, dialect: Dialect) -> None:
        self._venue = dialect.venue

    def receive(self, session: Session, text: str) -> None:
        if text == "ping":
            session.reply(b"pong")
            return
        try:
            command = orjson.loads(text)
            op, rows = command["op"], command["args"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            self._refuse(session, 30002, "Unrecognized request", None, "error")
            return
        if op not in ("subscribe", "unsubscribe"):
            self._refuse(session, 30002, "Unrecognized request", None, str(op))
            return
        for argument in rows:
            self._apply(session, op, argument)

    def _apply(self, session: Session, op: str, argument: Mapping[str, str]) -> None:
        channel, id_ = str(argument.get("channel")), str(argument.get("instId"))
        market = self._venue.market(id_)
        maker = self._maker(channel)
        if market is None or maker is None or argument.get("instType") != PRODUCT:
            what = f"instType:{argument.get('instType')},channel:{channel},instId:{id_}"
            self._refuse(session, 30001, f"{what} doesn't exist", argument, op)
            return
        session.reply(orjson.dumps({"event": op, "arg": argument}))
        key = f"{channel}:{id_}"
        if op == "unsubscribe":
            session.unsubscribe(key)
        else:
            session.subscribe(key, [self._venue.topic(market, channel, maker)])

    @staticmethod
    def _maker(channel: str) -> Maker | None:
        if channel in SNAPSHOT_DEPTHS:
            return partial(Snapshots, SNAPSHOT_DEPTHS[channel])
        if channel.startswith("candle"):
            span = INTERVALS.get(channel.removeprefix("candle"))
            return partial(Candlesticks, span) if span else None
        return CHANNELS.get(channel)

    @staticmethod
    def _refuse(session: Session, code: int, text: str, argument: object, op: str) -> None:
        message = {"event": "error", "arg": argument, "code": code, "msg": text, "op": op}
        session.reply(orjson.dumps(message))


def push(topic: Topic, action: str, data: object, t_ms: int) -> dict[str, object]:
    id_ = topic.market.instrument.id
    argument = {"instType": PRODUCT, "channel": topic.channel, "instId": id_}
    return {"action": action, "arg": argument, "data": data, "ts": t_ms}


def texts(market: Market, view: View) -> tuple[list[list[str]], list[list[str]]]:
    bids, asks = (
        [
            [market.price_text(price), market.base_text(size) if size else "0"]
            for price, size in side
        ]
        for side in sides(view)
    )
    return bids, asks


class Books(ViewTopic):
    """A snapshot, then updates; `pseq` names the message before."""

    def __init__(self, market: Market, channel: str) -> None:
        super().__init__(BOOK_DEPTH, market, channel)
        self._at = market.now_ms

    def greet(self) -> Iterable[Frame]:
        return (self._frame("snapshot", self.view, 0),)

    def render(self, event: Event) -> Frame:
        previous, self._at = self.update_id, event.t_ms
        return self._frame("update", self.changes(), previous)

    def _frame(self, action: str, view: View, previous: int) -> Frame:
        market = self.market
        bids, asks = texts(market, view)
        ids: dict[str, object] = {
            "seq": self.update_id,
            "pseq": previous,
            "checksum": checksum(*texts(market, self._checked())),
        }
        data = {"asks": asks, "bids": bids, **ids, "ts": str(self._at)}
        message = push(self, action, [data], self._at)
        return self.frame(message, {"action": action, **ids})

    def _checked(self) -> View:
        """The part of the view that the checksum covers."""
        keys = list(self.view)
        bids = sum(key > 0 for key in keys)
        return {
            key: self.view[key]
            for key in keys[:CHECKSUM_LEVELS] + keys[bids : bids + CHECKSUM_LEVELS]
        }


class Snapshots(ViewTopic):
    """`books1`, `books5`, …: each push is complete."""

    incremental = False

    def __init__(self, depth: int, market: Market, channel: str) -> None:
        super().__init__(depth, market, channel)
        self.kind = "quote" if depth == 1 else "book"

    def greet(self) -> Iterable[Frame]:
        return (self._frame(self.market.now_ms),)

    def render(self, event: Event) -> Frame:
        self.changes()
        return self._frame(event.t_ms)

    def _frame(self, t_ms: int) -> Frame:
        bids, asks = texts(self.market, self.view)
        ids: dict[str, object] = {"seq": self.update_id, "checksum": checksum(bids, asks)}
        data = {"asks": asks, "bids": bids, **ids, "ts": str(t_ms)}
        return self.frame(push(self, "snapshot", [data], t_ms), ids)


class Ticker(Topic):
    triggers = (Trigger.TOUCH,)

    def greet(self) -> Iterable[Frame]:
        return (self.render(Event(Trigger.TOUCH, self.market.now_ms)),)

    def render(self, event: Event) -> Frame:
        market = self.market
        data = ticker(market) | {
            "instId": market.instrument.id,
            "nextFundingTime": str(market.funding.next_ms),
            "symbolType": "1",
        }
        message = push(self, "snapshot", [data], event.t_ms)
        return self.frame(message, {"ts": event.t_ms})


class Trades(Topic):
    """First the recent trades, then each as it happens."""

    triggers = (Trigger.TRADE,)

    def greet(self) -> Iterable[Frame]:
        recent = list(self.market.trades)[-RECENT_TRADES:]
        return (self._frame("snapshot", recent[::-1], self.market.now_ms),)

    def render(self, event: Event) -> Frame | None:
        return self._frame("update", [event.trade], event.t_ms) if event.trade else None

    def _frame(self, action: str, trades: list[Trade], t_ms: int) -> Frame:
        market = self.market
        rows = [
            {
                "ts": str(trade.t_ms),
                "price": market.price_text(trade.price),
                "size": market.base_text(trade.size),
                "side": "buy" if trade.taker_buys else "sell",
                "tradeId": trade_id(trade),
            }
            for trade in trades
        ]
        ids: dict[str, object] = {"action": action, "tradeId": [trade_id(t) for t in trades]}
        return self.frame(push(self, action, rows, t_ms), ids)


class Candlesticks(CandleTopic):
    """First the last candles, then updates of the newest."""

    def greet(self) -> Iterable[Frame]:
        market = self.market
        last = market.now_ms // MINUTE_MS
        rows = [
            self._row(candle) for candle in market.candles.spans(self.span, 0, last, CANDLES_FIRST)
        ]
        message = push(self, "snapshot", rows, market.now_ms)
        return (self.frame(message, {"action": "snapshot"}),)

    def message(self, candle: Candle, _closed: bool, t_ms: int) -> object:
        return push(self, "update", [self._row(candle)], t_ms)

    def _row(self, candle: Candle) -> list[str]:
        cells = row(self.market, candle)
        return [*cells, cells[-1]]


CHANNELS: dict[str, Maker] = {"books": Books, "ticker": Ticker, "trade": Trades}
