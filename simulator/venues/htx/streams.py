"""HTX websocket: gzipped frames of channels named `market.CODE.kind.detail`."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from zlib import compressobj

import orjson

from simulator.candle_topic import CandleTopic
from simulator.candles import Candle
from simulator.clock import now_ms
from simulator.dialect import Dialect
from simulator.frame import BINARY, Frame, wire
from simulator.happening import Event, Trigger
from simulator.market import Market
from simulator.session import Session
from simulator.topic import Topic
from simulator.venues.htx.rest import PERIODS, best, deal, detail, kline, levels, step, trade_id
from simulator.view_topic import ViewTopic

HIGH_FREQ = {"size_20": 20, "size_150": 150}
GZIP = 31  # window bits of zlib for a gzip container

Maker = Callable[[Market, str], Topic]


def zipped(payload: bytes) -> bytes:
    packer = compressobj(1, wbits=GZIP)
    return packer.compress(payload) + packer.flush()


def send(session: Session, message: Mapping[str, object]) -> None:
    session.reply(zipped(orjson.dumps(message)), binary=True)


class Streams:
    def __init__(self, dialect: Dialect) -> None:
        self._venue = dialect.venue

    def receive(self, session: Session, text: str) -> None:
        now = now_ms()
        try:
            command = orjson.loads(text)
        except orjson.JSONDecodeError:
            command = None
        if not isinstance(command, dict):
            self._refuse(session, None, "invalid command", now)
        elif "pong" in command:
            session.unanswered = 0
        elif "ping" in command:
            send(session, {"pong": command["ping"]})
        elif "sub" in command or "unsub" in command:
            self._apply(session, command, now)
        else:
            self._refuse(session, command.get("id"), "invalid command", now)

    def _apply(self, session: Session, command: Mapping[str, object], now: int) -> None:
        verb = "sub" if "sub" in command else "unsub"
        channel, number = str(command[verb]), command.get("id")
        parts = channel.split(".")
        market = self._venue.market(parts[1]) if len(parts) > 2 and parts[0] == "market" else None
        maker = self._maker(parts[2:], command)
        if market is None or maker is None:
            wrong = "symbol" if market is None else "topic"
            self._refuse(session, number, f"invalid {wrong} {channel}", now)
            return
        if verb == "unsub" and channel not in session.groups:
            self._refuse(session, number, f"unsub with not subbed topic {channel}", now)
            return
        answer = {"status": "ok", f"{verb}bed": channel, "ts": now}
        send(session, answer if number is None else {"id": str(number), **answer})
        if verb == "unsub":
            session.unsubscribe(channel)
        else:
            session.subscribe(channel, [self._venue.topic(market, channel, maker)])

    @staticmethod
    def _maker(kind: list[str], command: Mapping[str, object]) -> Maker | None:
        match kind:
            case ["detail"]:
                return Detail
            case ["bbo"]:
                return Best
            case ["trade", "detail"]:
                return TradeDetail
            case ["kline", period] if period in PERIODS:
                return partial(Kline, PERIODS[period])
            case ["depth", size, "high_freq"] if size in HIGH_FREQ:
                whole = command.get("data_type", "not_incremental") != "incremental"
                return partial(HighFreq, HIGH_FREQ[size], whole)
            case ["depth", "step0"]:
                return Steps
        return None

    @staticmethod
    def _refuse(session: Session, number: object, text: str, now: int) -> None:
        error = {"status": "error", "err-code": "bad-request", "err-msg": text, "ts": now}
        send(session, error if number is None else {"id": str(number), **error})


class GzipTopic(Topic):
    def pack(self, payload: bytes) -> bytes:
        return wire(zipped(payload), BINARY)

    def tick(self, t_ms: int, tick: object, ids: dict[str, object]) -> Frame:
        return self.frame({"ch": self.channel, "ts": t_ms, "tick": tick}, ids)


class Detail(GzipTopic):
    triggers = (Trigger.TOUCH,)

    def render(self, event: Event) -> Frame:
        ids: dict[str, object] = {"mrid": self.market.book.update_id}
        return self.tick(event.t_ms, detail(self.market), ids)


class Best(GzipTopic):
    kind = "quote"
    triggers = (Trigger.TOUCH,)

    def render(self, event: Event) -> Frame:
        number = self.market.book.update_id
        ids: dict[str, object] = {"version": number}
        tick = {"mrid": number, "id": event.t_ms // 1000, **best(self.market), "ts": event.t_ms}
        return self.tick(event.t_ms, {**tick, **ids, "ch": self.channel}, ids)


class HighFreq(GzipTopic, ViewTopic):
    """A snapshot, then updates whose `version` grows by one; or, not incremental, snapshots."""

    def __init__(self, depth: int, whole: bool, market: Market, channel: str) -> None:
        super().__init__(depth, market, channel)
        self._whole = whole
        self.incremental = not whole
        self._version = market.stirs
        self._at = market.now_ms

    def greet(self) -> Iterable[Frame]:
        return (self._frame("snapshot", self.view),)

    def render(self, event: Event) -> Frame:
        changes = self.changes()
        self._version, self._at = self.market.stirs, event.t_ms
        if self._whole:
            return self._frame("snapshot", self.view)
        return self._frame("update", changes)

    def _frame(self, kind: str, view: dict[int, int]) -> Frame:
        ids: dict[str, object] = {"event": kind, "version": self._version}
        tick = {
            "mrid": self.update_id,
            "id": self.update_id,
            **levels(self.market, view),
            "ts": self._at,
            "ch": self.channel,
            **ids,
        }
        return self.tick(self._at, tick, ids)


class Steps(GzipTopic):
    """`depth.step0`: each push is complete."""

    triggers = (Trigger.BOOK,)

    def render(self, event: Event) -> Frame:
        ids: dict[str, object] = {"version": self.market.book.update_id}
        return self.tick(event.t_ms, step(self.market, self.channel), ids)


class TradeDetail(GzipTopic):
    triggers = (Trigger.TRADE,)

    def render(self, event: Event) -> Frame | None:
        trade = event.trade
        if trade is None:
            return None
        number = trade_id(trade)
        data = [deal(self.market, trade)]
        tick = {"id": number // 10_000, "ts": event.t_ms, "data": data}
        return self.tick(event.t_ms, tick, {"id": [number]})


class Kline(GzipTopic, CandleTopic):
    def message(self, candle: Candle, _closed: bool, t_ms: int) -> object:
        tick = {"mrid": self.market.book.update_id, **kline(self.market, candle)}
        return {"ch": self.channel, "ts": t_ms, "tick": tick}
