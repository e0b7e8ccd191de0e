"""OKX websocket: channels of an instrument, or of an instrument type."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import orjson

from simulator.book import View
from simulator.candle_topic import CandleTopic
from simulator.candles import Candle
from simulator.checksum import CHECKSUM_LEVELS, checksum
from simulator.dialect import Dialect
from simulator.frame import Frame
from simulator.happening import Event, Trigger
from simulator.market import Market
from simulator.session import Session
from simulator.topic import Topic
from simulator.venues.okx.rest import (
    BARS,
    SWAP,
    funding,
    levels,
    mark_price,
    open_interest,
    row,
    ticker,
    trade_id,
)
from simulator.view_topic import ViewTopic

PUBLIC, BUSINESS = "/ws/v5/public", "/ws/v5/business"
PATHS = frozenset({PUBLIC, BUSINESS})
BOOK_DEPTH = 400
QUIET_MS = 60_000
"""A book that did not change for so long is confirmed by a message without levels."""

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
            op, rows = command["op"], [dict(one) for one in command["args"]]
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            self._refuse(session, "60012", f"Illegal request: {text}")
            return
        if op not in ("subscribe", "unsubscribe"):
            self._refuse(session, "60012", f"Illegal request: {text}")
            return
        for argument in rows:
            self._apply(session, op, argument)

    def _apply(self, session: Session, op: str, argument: dict[str, Any]) -> None:
        channel = str(argument.get("channel"))
        topics = self._topics(session.path, channel, argument)
        if topics is None:
            what = ",".join(f"{name}:{value}" for name, value in argument.items())
            text = f"Wrong URL or {what} doesn't exist. Please use the correct URL, channel and "
            self._refuse(session, "60018", f"{text}parameters referring to API document.")
            return
        answer = {"event": op, "arg": argument, "connId": _connection(session)}
        session.reply(orjson.dumps(answer))
        key = f"{channel}:{argument.get('instId', argument.get('instType'))}"
        if op == "unsubscribe":
            session.unsubscribe(key)
        else:
            session.subscribe(key, topics)

    def _topics(self, path: str, channel: str, argument: Mapping[str, Any]) -> list[Topic] | None:
        if channel == "liquidation-orders":
            return self._liquidations(path, str(argument.get("instType")))
        maker = self._maker(path, channel)
        market = self._venue.market(str(argument.get("instId")))
        if maker is None or market is None:
            return None
        return [self._venue.topic(market, channel, maker)]

    def _liquidations(self, path: str, kind: str) -> list[Topic] | None:
        """One subscription serves a whole type of instruments."""
        if path != PUBLIC or kind not in (SWAP, "FUTURES", "MARGIN", "OPTION"):
            return None
        markets = list(self._venue.all_markets()) if kind == SWAP else []
        return [self._venue.topic(one, "liquidation-orders", Liquidations) for one in markets]

    @staticmethod
    def _maker(path: str, channel: str) -> Maker | None:
        if path == BUSINESS:
            span = BARS.get(channel.removeprefix("candle"))
            return partial(Candlesticks, span) if channel.startswith("candle") and span else None
        return CHANNELS.get(channel)

    @staticmethod
    def _refuse(session: Session, code: str, text: str) -> None:
        error = {"event": "error", "code": code, "msg": text, "connId": _connection(session)}
        session.reply(orjson.dumps(error))


def _connection(session: Session) -> str:
    return f"{session.number:08x}"


def push(topic: Topic, data: object, **head: str) -> dict[str, object]:
    argument = {"channel": topic.channel, "instId": topic.market.instrument.id}
    return {"arg": argument, **head, "data": [data]}


class Books(ViewTopic):
    """A snapshot, then updates; `prevSeqId` names the message before."""

    triggers = (Trigger.BOOK, Trigger.SECOND)

    def __init__(self, market: Market, channel: str) -> None:
        super().__init__(BOOK_DEPTH, market, channel)
        self._at = market.now_ms

    def greet(self) -> Iterable[Frame]:
        return (self._frame("snapshot", self.view, -1),)

    def render(self, event: Event) -> Frame | None:
        if event.trigger is Trigger.SECOND:
            return self._quiet(event.t_ms)
        previous, changes = self.update_id, self.changes()
        if not changes:
            self.update_id = previous  # what happened below the view has no number here
            return None
        self._at = event.t_ms
        return self._frame("update", changes, previous)

    def _quiet(self, t_ms: int) -> Frame | None:
        if t_ms - self._at < QUIET_MS:
            return None
        self._at = t_ms
        return self._frame("update", {}, self.update_id)

    def _frame(self, action: str, view: View, previous: int) -> Frame:
        ids: dict[str, object] = {"seqId": self.update_id, "prevSeqId": previous}
        data = {
            **levels(self.market, view),
            "ts": str(self._at),
            "checksum": self._checksum(),
            **ids,
        }
        return self.frame(push(self, data, action=action), {"action": action, **ids})

    def _checksum(self) -> int:
        keys = list(self.view)
        bids = sum(key > 0 for key in keys)
        near = keys[:CHECKSUM_LEVELS] + keys[bids : bids + CHECKSUM_LEVELS]
        top = levels(self.market, {key: self.view[key] for key in near})
        return checksum(top["bids"], top["asks"])


class Tops(ViewTopic):
    """`books5` and `bbo-tbt`: each push is complete."""

    def greet(self) -> Iterable[Frame]:
        return (self._frame(self.market.now_ms),)

    def render(self, event: Event) -> Frame | None:
        return self._frame(event.t_ms) if self.changes() else None

    def _frame(self, t_ms: int) -> Frame:
        ids: dict[str, object] = {"seqId": self.update_id}
        data = {**levels(self.market, self.view), "ts": str(t_ms), **ids}
        if self.depth > 1:
            data["instId"] = self.market.instrument.id
        return self.frame(push(self, data), ids)


class BestLevel(Tops):
    kind = "quote"
    triggers = (Trigger.TOUCH,)


class Described(Topic):
    """What REST says of an instrument, at once and then every `every_s` seconds."""

    triggers = (Trigger.SECOND,)

    def __init__(
        self,
        describe: Callable[[Market], dict[str, str]],
        every_s: int,
        market: Market,
        channel: str,
    ) -> None:
        super().__init__(market, channel)
        self._describe = describe
        self._every_s = every_s

    def greet(self) -> Iterable[Frame]:
        return (self._frame(),)

    def render(self, event: Event) -> Frame | None:
        return None if event.t_ms // 1000 % self._every_s else self._frame()

    def _frame(self) -> Frame:
        data = self._describe(self.market)
        return self.frame(push(self, data), {"ts": data["ts"]})


class Tickers(Described):
    triggers = (Trigger.TOUCH,)

    def __init__(self, market: Market, channel: str) -> None:
        super().__init__(ticker, 1, market, channel)


class Trades(Topic):
    """Executions of one taker at one price together; `tradeId` is that of the last."""

    triggers = (Trigger.TRADE,)

    def render(self, event: Event) -> Frame | None:
        trade, market = event.trade, self.market
        if trade is None:
            return None
        id_ = trade_id(trade)
        data = {
            "instId": market.instrument.id,
            "tradeId": id_,
            "px": market.price_text(trade.price),
            "sz": market.lots_text(trade.size),
            "side": "buy" if trade.taker_buys else "sell",
            "ts": str(trade.t_ms),
            "count": str(len(trade.fills)),
            "source": "0",
            "seqId": market.book.update_id,
        }
        return self.frame(push(self, data), {"tradeId": [id_]})


class Liquidations(Topic):
    """`side` is that of the forced order, `posSide` that of the position it closed."""

    triggers = (Trigger.LIQUIDATION,)

    def render(self, event: Event) -> Frame | None:
        trade, market = event.trade, self.market
        if trade is None:
            return None
        family = f"{market.instrument.base}-USDT"
        detail = {
            "bkLoss": "0",
            "bkPx": market.price_text(trade.price),
            "ccy": "",
            "posSide": "short" if trade.taker_buys else "long",
            "side": "buy" if trade.taker_buys else "sell",
            "sz": market.lots_text(trade.size),
            "ts": str(trade.t_ms),
        }
        data = {
            "details": [detail],
            "instFamily": family,
            "instId": market.instrument.id,
            "instType": SWAP,
            "uly": family,
        }
        message = {"arg": {"channel": self.channel, "instType": SWAP}, "data": [data]}
        return self.frame(message, {"liquidation": [trade.id]})


class Candlesticks(CandleTopic):
    def message(self, candle: Candle, closed: bool, _t_ms: int) -> object:
        return push(self, row(self.market, candle, closed))


CHANNELS: dict[str, Maker] = {
    "bbo-tbt": partial(BestLevel, 1),
    "books5": partial(Tops, 5),
    "books": Books,
    "tickers": Tickers,
    "trades": Trades,
    "mark-price": partial(Described, mark_price, 1),
    "open-interest": partial(Described, open_interest, 3),
    "funding-rate": partial(Described, funding, 30),
}
