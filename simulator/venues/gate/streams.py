"""Gate websocket: channels `futures.kind` with a payload that names the contract."""

from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from simulator.candle_topic import CandleTopic
from simulator.candles import Candle
from simulator.clock import now_ms
from simulator.dialect import Dialect
from simulator.frame import Frame
from simulator.happening import Event, Trigger
from simulator.market import Market
from simulator.session import Session
from simulator.topic import Topic
from simulator.venues.gate.rest import INTERVALS, deal, levels, ticker
from simulator.view_topic import ViewTopic, sides

# "frequency: 20ms, 100ms"; "level: 20, 50, 100; 20ms only with 20".
BOOK_PACES = {"100ms": ("20", "50", "100"), "20ms": ("20",)}
BOOK_LEVEL_DEFAULT = "100"

Maker = Callable[[Market, str], Topic]


class Refusal(Exception):
    """`code` 1: invalid argument structure, 2: invalid argument."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Streams:
    def __init__(self, dialect: Dialect) -> None:
        self._venue = dialect.venue

    def receive(self, session: Session, text: str) -> None:
        try:
            command = orjson.loads(text)
            channel, event = command["channel"], command.get("event", "")
        except (orjson.JSONDecodeError, KeyError, TypeError):
            error = {"code": 1, "message": "invalid request body"}
            self._answer(session, {}, {"error": error, "result": None})
            return
        if channel == "futures.ping":
            session.reply(orjson.dumps(_stamp(now_ms(), "futures.pong", "")))
            return
        try:
            wanted = self._wanted(channel, event, command.get("payload"))
        except Refusal as refusal:
            error = {"code": refusal.code, "message": str(refusal)}
            self._answer(session, command, {"error": error, "result": {"status": "fail"}})
            return
        self._answer(session, command, {"result": {"status": "success"}})
        for market, name, maker in wanted:
            key = f"{name} {market.instrument.id}"
            if event == "unsubscribe":
                session.unsubscribe(key)
            else:
                session.subscribe(key, [self._venue.topic(market, name, maker)])

    def _wanted(self, channel: str, event: str, payload: object) -> list[tuple[Market, str, Maker]]:
        if event not in ("subscribe", "unsubscribe"):
            raise Refusal(2, f"unknown event {event}")
        if not isinstance(payload, list) or not payload:
            raise Refusal(1, "invalid payload")
        texts = [str(part) for part in payload]
        if channel in CHANNELS:
            return [(self._market(id_), channel, CHANNELS[channel]) for id_ in texts]
        if channel == "futures.order_book_update":
            return [self._book(channel, *texts[:3])]
        if channel == "futures.candlesticks" and len(texts) > 1:
            return [self._candles(channel, texts[0], texts[1])]
        raise Refusal(2, f"unknown channel {channel}")

    def _market(self, id_: str) -> Market:
        market = self._venue.market(id_)
        if market is None:
            raise Refusal(2, f"unknown contract {id_}")
        return market

    def _book(
        self, channel: str, id_: str, pace: str = "100ms", level: str = BOOK_LEVEL_DEFAULT
    ) -> tuple[Market, str, Maker]:
        if level not in BOOK_PACES.get(pace, ()):
            raise Refusal(2, f"invalid frequency or level: {pace} {level}")
        return self._market(id_), f"{channel}.{pace}.{level}", partial(BookUpdate, level)

    def _candles(self, channel: str, interval: str, id_: str) -> tuple[Market, str, Maker]:
        if interval not in INTERVALS:
            raise Refusal(2, f"unknown interval {interval}")
        maker = partial(Candlesticks, interval)
        return self._market(id_), f"{channel}.{interval}", maker

    @staticmethod
    def _answer(session: Session, command: dict[str, Any], outcome: dict[str, object]) -> None:
        now = now_ms()
        head = _stamp(now, str(command.get("channel", "")), str(command.get("event", "")))
        echo = {"id": command.get("id"), "conn_id": f"{session.number:016x}"}
        body = {**head, **echo, "payload": command.get("payload"), **outcome}
        session.reply(orjson.dumps(body))


def _stamp(t_ms: int, channel: str, event: str) -> dict[str, object]:
    return {"time": t_ms // 1000, "time_ms": t_ms, "channel": channel, "event": event}


def update(channel: str, t_ms: int, result: object) -> dict[str, object]:
    return {**_stamp(t_ms, channel, "update"), "result": result}


class Tickers(Topic):
    triggers = (Trigger.TOUCH,)

    def render(self, event: Event) -> Frame:
        message = update(self.channel, event.t_ms, [ticker(self.market)])
        return self.frame(message, {"time_ms": event.t_ms})


class BookTicker(Topic):
    kind = "quote"
    triggers = (Trigger.TOUCH,)

    def render(self, event: Event) -> Frame:
        market, book = self.market, self.market.book
        result = {
            "t": event.t_ms,
            "u": book.update_id,
            "s": market.instrument.id,
            "b": market.price_text(book.best_bid),
            "B": book.sizes[book.best_bid],
            "a": market.price_text(book.best_ask),
            "A": book.sizes[-book.best_ask],
        }
        return self.frame(update(self.channel, event.t_ms, result), {"u": book.update_id})


class BookUpdate(ViewTopic):
    """Changes of the top levels; `U` to `u` are the update ids since the push before."""

    def __init__(self, level: str, market: Market, channel: str) -> None:
        super().__init__(int(level), market, channel)
        self._level = level

    def render(self, event: Event) -> Frame:
        first = self.update_id + 1
        bids, asks = sides(self.changes())
        ids: dict[str, object] = {"U": first, "u": self.update_id}
        result = {
            "t": event.t_ms,
            "s": self.market.instrument.id,
            **ids,
            "b": levels(self.market, bids),
            "a": levels(self.market, asks),
            "l": self._level,
        }
        return self.frame(update("futures.order_book_update", event.t_ms, result), ids)


class Trades(Topic):
    triggers = (Trigger.TRADE,)

    def render(self, event: Event) -> Frame | None:
        if event.trade is None:
            return None
        row = deal(self.market, event.trade) | {"create_time_ms": event.trade.t_ms}
        return self.frame(update(self.channel, event.t_ms, [row]), {"id": [event.trade.id]})


class PublicLiquidates(Topic):
    """`size` in contracts, negative where a long position is sold."""

    triggers = (Trigger.LIQUIDATION,)

    def render(self, event: Event) -> Frame | None:
        trade, market = event.trade, self.market
        if trade is None:
            return None
        row = {
            "price": market.price(trade.price),
            "size": trade.size if trade.taker_buys else -trade.size,
            "time_ms": trade.t_ms,
            "contract": market.instrument.id,
        }
        message = update(self.channel, event.t_ms, [row])
        return self.frame(message, {"liquidation": [trade.id]})


class Candlesticks(CandleTopic):
    def __init__(self, interval: str, market: Market, channel: str) -> None:
        super().__init__(INTERVALS[interval], market, channel)
        self._name = f"{interval}_{market.instrument.id}"

    def message(self, candle: Candle, closed: bool, t_ms: int) -> object:
        market = self.market
        row = {
            "t": candle.minute * 60,
            "v": candle.volume,
            "c": market.price_text(candle.close),
            "h": market.price_text(candle.high),
            "l": market.price_text(candle.low),
            "o": market.price_text(candle.open),
            "n": self._name,
            "a": market.base_text(candle.volume),
            "w": closed,
        }
        return update("futures.candlesticks", t_ms, [row])


CHANNELS: dict[str, Maker] = {
    "futures.tickers": Tickers,
    "futures.book_ticker": BookTicker,
    "futures.trades": Trades,
    "futures.public_liquidates": PublicLiquidates,
}
