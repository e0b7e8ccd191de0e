"""Binance websocket: raw streams, named `symbol@stream`."""

import re
from collections.abc import Callable
from functools import partial

import orjson

from simulator.candle_topic import CandleTopic
from simulator.candles import Candle
from simulator.dialect import Dialect
from simulator.frame import Frame
from simulator.happening import Event, Trade, Trigger
from simulator.market import MINUTE_MS, Market
from simulator.session import Session
from simulator.topic import ALL, Topic, truth_head
from simulator.venues.binance.rest import HOUR_MS, INTERVALS, agg_trade, changes, levels

# Which of the two hosts serves a stream since the split of 2026: ccxt dials them like this.
PUBLIC = frozenset({"depth", "bookTicker", "trade"})
DAY_MS = 24 * HOUR_MS

Maker = Callable[[Market, str], Topic]


class Streams:
    """Commands, and the table from a stream's name to what renders it."""

    def __init__(self, dialect: Dialect) -> None:
        self._venue = dialect.venue

    def receive(self, session: Session, text: str) -> None:
        try:
            command = orjson.loads(text)
            method, number = command["method"], command.get("id")
        except (orjson.JSONDecodeError, KeyError, TypeError):
            self._refuse(session, None, 3, "Invalid JSON: expected value")
            return
        names = command.get("params") or []
        if method == "LIST_SUBSCRIPTIONS":
            self._answer(session, number, list(session.groups))
        elif method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            self._refuse(session, number, 2, f"Invalid request: unknown variant `{method}`")
        elif not all(isinstance(name, str) for name in names):
            self._refuse(session, number, 2, "Invalid request: request parameters must be strings")
        else:
            self._answer(session, number, None)
            for name in names:
                self._apply(session, method, name)

    def _apply(self, session: Session, method: str, name: str) -> None:
        """An unknown stream is acknowledged and stays silent."""
        if method == "UNSUBSCRIBE":
            session.unsubscribe(name)
        else:
            session.subscribe(name, self._topics(session.path, name))

    def _topics(self, path: str, name: str) -> list[Topic]:
        if name.startswith("!"):
            return self._for_all(name)
        id_, _, stream = name.partition("@")
        maker = self._maker(stream)
        market = self._venue.market(id_.upper())
        if maker is None or market is None or not _served(path, stream):
            return []
        return [self._venue.topic(market, name, maker)]

    def _maker(self, stream: str) -> Maker | None:
        kind, _, rest = stream.partition("_")
        if kind == "kline":
            return partial(Kline, INTERVALS[rest]) if rest in INTERVALS else None
        if re.fullmatch(r"depth(@(100|250|500)ms)?", stream):
            return Depth
        if re.fullmatch(r"depth(5|10|20)(@(100|250|500)ms)?", stream):
            return partial(PartialDepth, int(stream.partition("@")[0][5:]))
        return STREAMS.get(stream)

    def _for_all(self, name: str) -> list[Topic]:
        if name in SINGLES:
            markets = list(self._venue.all_markets())
            return [self._venue.topic(market, name, SINGLES[name]) for market in markets]
        maker = ARRAYS.get(name)
        if maker is None:
            return []
        carrier = next(self._venue.all_markets())
        return [self._venue.topic(carrier, name, partial(Array, self._venue.settled, maker))]

    @staticmethod
    def _answer(session: Session, number: object, result: object) -> None:
        session.reply(orjson.dumps({"result": result, "id": number}))

    @staticmethod
    def _refuse(session: Session, number: object, code: int, text: str) -> None:
        session.reply(orjson.dumps({"error": {"code": code, "msg": text}, "id": number}))


def _served(path: str, stream: str) -> bool:
    kind = re.split(r"[@_\d]", stream, maxsplit=1)[0]
    if path.startswith("/public/"):
        return kind in PUBLIC
    return not path.startswith("/market/") or kind not in PUBLIC


class Depth(Topic):
    """Every change of the whole book since the last push; `pu` chains the pushes."""

    incremental = True
    triggers = (Trigger.BOOK,)

    def __init__(self, market: Market, channel: str) -> None:
        super().__init__(market, channel)
        self._pushed = market.book.update_id

    def render(self, event: Event) -> Frame | None:
        market, previous = self.market, self._pushed
        last = market.book.update_id
        if last == previous:
            return None
        self._pushed = last
        bids, asks = levels(market, market.book.changed_since(previous))
        ids: dict[str, object] = {"U": previous + 1, "u": last, "pu": previous}
        message = {
            "e": "depthUpdate",
            "E": event.t_ms,
            "T": event.t_ms,
            "s": market.instrument.id,
            **ids,
            "b": bids,
            "a": asks,
        }
        return self.frame(message, ids)


class PartialDepth(Topic):
    """The best levels, complete in each push."""

    triggers = (Trigger.BOOK,)

    def __init__(self, depth: int, market: Market, channel: str) -> None:
        super().__init__(market, channel)
        self._depth = depth
        self._pushed = market.book.update_id

    def render(self, event: Event) -> Frame:
        market, previous = self.market, self._pushed
        self._pushed = market.book.update_id
        bids, asks = levels(market, market.book.view(self._depth))
        ids: dict[str, object] = {"U": previous + 1, "u": self._pushed, "pu": previous}
        head = {"e": "depthUpdate", "E": event.t_ms, "T": event.t_ms, "s": market.instrument.id}
        return self.frame({**head, **ids, "b": bids, "a": asks}, ids)


class BookTicker(Topic):
    kind = "quote"
    triggers = (Trigger.TOUCH,)

    def render(self, event: Event) -> Frame:
        market, book = self.market, self.market.book
        message = {
            "e": "bookTicker",
            "u": book.update_id,
            "E": event.t_ms,
            "T": event.t_ms,
            "s": market.instrument.id,
            "b": market.price_text(book.best_bid),
            "B": market.base_text(book.sizes[book.best_bid]),
            "a": market.price_text(book.best_ask),
            "A": market.base_text(book.sizes[-book.best_ask]),
        }
        return self.frame(message, {"u": book.update_id})


class AggTrade(Topic):
    triggers = (Trigger.TRADE,)

    def render(self, event: Event) -> Frame | None:
        if event.trade is None:
            return None
        head = {"e": "aggTrade", "E": event.t_ms, "s": self.market.instrument.id}
        return self.frame({**head, **agg_trade(self.market, event.trade)}, {"a": [event.trade.id]})


class Trades(Topic):
    """Single executions, one frame each, with their own ids."""

    triggers = (Trigger.TRADE,)

    def render(self, _event: Event) -> Frame | None:
        return None

    def publish(self, event: Event) -> None:
        for number in range(len(event.trade.fills) if event.trade else 0):
            self._send(self._fill(event, number))

    def _fill(self, event: Event, number: int) -> Frame:
        trade, market = event.trade, self.market
        assert trade is not None
        id_ = trade.first_fill + number
        message = {
            "e": "trade",
            "E": event.t_ms,
            "T": trade.t_ms,
            "s": market.instrument.id,
            "t": id_,
            "p": market.price_text(trade.price),
            "q": market.base_text(trade.fills[number]),
            "X": "MARKET",
            "m": not trade.taker_buys,
        }
        return self.frame(message, {"t": [id_]})


class Ticker(Topic):
    triggers = (Trigger.TOUCH,)

    def render(self, event: Event) -> Frame:
        return self.frame(day_ticker(self.market, event.t_ms), {"E": event.t_ms})


class MiniTicker(Topic):
    triggers = (Trigger.TOUCH,)

    def render(self, event: Event) -> Frame:
        return self.frame(mini_ticker(self.market, event.t_ms), {"E": event.t_ms})


class MarkPrice(Topic):
    """Once a second, whatever the ticker rate."""

    triggers = (Trigger.SECOND,)

    def render(self, event: Event) -> Frame | None:
        if not self.channel.endswith("@1s") and event.t_ms // 1000 % 3:
            return None
        return self.frame(mark_price(self.market, event.t_ms), {"E": event.t_ms})


class ForceOrder(Topic):
    """Of the liquidations within a second only the latest."""

    triggers = (Trigger.LIQUIDATION, Trigger.SECOND)

    def __init__(self, market: Market, channel: str) -> None:
        super().__init__(market, channel)
        self._latest: Trade | None = None

    def render(self, event: Event) -> Frame | None:
        if event.trigger is Trigger.LIQUIDATION:
            self._latest = event.trade
            return None
        trade, self._latest = self._latest, None
        return self._frame(trade, event.t_ms) if trade else None

    def _frame(self, trade: Trade, t_ms: int) -> Frame:
        market = self.market
        price, size = market.price_text(trade.price), market.base_text(trade.size)
        order = {
            "s": market.instrument.id,
            "S": "BUY" if trade.taker_buys else "SELL",
            "o": "LIMIT",
            "f": "IOC",
            "q": size,
            "p": price,
            "ap": price,
            "X": "FILLED",
            "l": size,
            "z": size,
            "T": trade.t_ms,
        }
        return self.frame({"e": "forceOrder", "E": t_ms, "o": order}, {"liquidation": [trade.id]})


class Kline(CandleTopic):
    def message(self, candle: Candle, closed: bool, t_ms: int) -> dict[str, object]:
        market, opened = self.market, candle.minute * MINUTE_MS
        kline = {
            "t": opened,
            "T": opened + self.span * MINUTE_MS - 1,
            "s": market.instrument.id,
            "i": self.channel.rpartition("_")[2],
            "f": market.last_trade_id - candle.count + 1,
            "L": market.last_trade_id,
            "o": market.price_text(candle.open),
            "c": market.price_text(candle.close),
            "h": market.price_text(candle.high),
            "l": market.price_text(candle.low),
            "v": market.base_text(candle.volume),
            "n": candle.count,
            "x": closed,
            "q": f"{market.quote(candle.turnover):.4f}",
            "V": market.base_text(candle.volume // 2),
            "Q": f"{market.quote(candle.turnover // 2):.4f}",
            "B": "0",
        }
        return {"e": "kline", "E": t_ms, "s": market.instrument.id, "k": kline}


class Array(Topic):
    """All symbols in one frame, once a second; the carrier market only lends its clock."""

    triggers = (Trigger.SECOND,)

    def __init__(
        self,
        markets: Callable[[float], list[Market]],
        describe: Callable[[Market, int], dict[str, object]],
        market: Market,
        channel: str,
    ) -> None:
        super().__init__(market, channel)
        self.symbol = ALL
        self._head = truth_head(channel, ALL)
        self._markets = markets
        self._describe = describe

    def render(self, event: Event) -> Frame:
        rows = [self._describe(market, event.t_ms) for market in self._markets(event.t_ms)]
        return self.frame(rows, {"E": event.t_ms})


def day_ticker(market: Market, t_ms: int) -> dict[str, object]:
    day, change = market.day, changes(market, market.day)
    return {
        "e": "24hrTicker",
        "E": t_ms,
        "s": market.instrument.id,
        "p": change["priceChange"],
        "P": change["priceChangePercent"],
        "w": change["weightedAvgPrice"],
        "c": market.price_text(market.last),
        "Q": market.base_text(market.trades[-1].size if market.trades else 0),
        "o": market.price_text(day.open),
        "h": market.price_text(day.high),
        "l": market.price_text(day.low),
        "v": market.base_text(day.volume),
        "q": f"{market.quote(day.turnover):.2f}",
        "O": t_ms - DAY_MS,
        "C": t_ms,
        "F": market.last_trade_id - day.count,
        "L": market.last_trade_id,
        "n": day.count,
    }


def mini_ticker(market: Market, t_ms: int) -> dict[str, object]:
    full = day_ticker(market, t_ms)
    return {"e": "24hrMiniTicker"} | {key: full[key] for key in ("E", "s", *"cohlvq")}


def mark_price(market: Market, t_ms: int) -> dict[str, object]:
    funding = market.funding
    return {
        "e": "markPriceUpdate",
        "E": t_ms,
        "s": market.instrument.id,
        "p": f"{market.mark:.8f}",
        "i": f"{market.index:.8f}",
        "P": f"{market.index:.8f}",
        "r": f"{funding.rate:.8f}",
        "T": funding.next_ms,
    }


STREAMS: dict[str, Maker] = {
    "bookTicker": BookTicker,
    "aggTrade": AggTrade,
    "trade": Trades,
    "ticker": Ticker,
    "miniTicker": MiniTicker,
    "markPrice": MarkPrice,
    "markPrice@1s": MarkPrice,
    "forceOrder": ForceOrder,
}
SINGLES: dict[str, Maker] = {"!bookTicker": BookTicker, "!forceOrder@arr": ForceOrder}
ARRAYS: dict[str, Callable[[Market, int], dict[str, object]]] = {
    "!ticker@arr": day_ticker,
    "!miniTicker@arr": mini_ticker,
    "!markPrice@arr": mark_price,
    "!markPrice@arr@1s": mark_price,
}
