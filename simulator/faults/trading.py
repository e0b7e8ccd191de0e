"""Faults of markets and of the venue's clock: what the model itself does."""

from time import time

from pydantic import Field

from simulator.faults.fault import Fault, Refused, Wish
from simulator.market import Market
from simulator.universe import instrument, quote_of


class MarketWish(Wish):
    symbol: str


class BurstWish(MarketWish):
    seconds: float = Field(10, gt=0, le=3600)
    rate: float = Field(200, gt=0, le=5000)
    """Trades a second."""


class Burst(Fault):
    name = "burst"
    summary = "makes many trades a second in a market, in the streams and in REST"
    wishes = BurstWish

    def start(self) -> None:
        assert isinstance(self.wish, BurstWish)
        self._market = self.market(self.wish.symbol)
        if not self._market.listed:
            raise Refused(f"{self.wish.symbol} is delisted")
        self.venue.market(self._market.instrument.id)
        self._first = self._market.last_trade_id
        self._before = self._market.pace_trades(self.wish.rate)
        self.hit = [{"symbol": self._market.instrument.symbol, "rate_before": self._before}]

    def finish(self) -> None:
        self.venue.market(self._market.instrument.id)
        made = self._market.last_trade_id - self._first
        self._market.pace_trades(self._before)
        self.apply(symbol=self._market.instrument.symbol, trades=made)


class Delist(Fault):
    name = "delist"
    summary = "ends a market: its status changes, its streams stop, REST does not know it"
    wishes = MarketWish

    def start(self) -> None:
        assert isinstance(self.wish, MarketWish)
        self._market = self.market(self.wish.symbol)
        if not self._market.listed:
            raise Refused(f"{self.wish.symbol} is delisted already")
        self.venue.market(self._market.instrument.id)
        self._market.delist()
        names = {"symbol": self._market.instrument.symbol, "market": self._market.instrument.id}
        self.hit = [{**names}]
        self.apply(**names)

    def finish(self) -> None:
        self._market.relist(self.venue.now_ms())


class ListWish(MarketWish):
    price: float = Field(1.0, gt=0)
    """In quote currency, where its walk starts, for a base currency that no venue knows yet."""


class List(Fault):
    name = "list"
    summary = "lists a new market (BASE/USDT:USDT, or in what the venue quotes), for good"
    wishes = ListWish

    def start(self) -> None:
        assert isinstance(self.wish, ListWish)
        symbol = self.wish.symbol
        base, _, rest = symbol.partition("/")
        quote = quote_of(self.venue.name)
        if not base or rest != f"{quote}:{quote}":
            raise Refused(f"{symbol} is no linear perpetual in {quote}")
        new = instrument(self.venue.name, base, f"{self.wish.price:f}")
        if self.venue.find(new.id) is not None:
            raise Refused(f"{self.venue.name} has {symbol} already")
        now_ms = int(self.venue.now_ms())
        self.venue.enlist(Market(new, self.wish.seed, self.venue.rates, now_ms))
        names = {"symbol": new.symbol, "market": new.id}
        self.hit = [{**names}]
        self.apply(**names)
        self.over = True


class SkewWish(Wish):
    ms: int = Field(ge=-3_600_000, le=3_600_000)


class ClockSkew(Fault):
    name = "clock_skew"
    summary = "lets the venue's clock go wrong by some milliseconds; real time goes on"
    wishes = SkewWish

    def start(self) -> None:
        assert isinstance(self.wish, SkewWish)
        self.venue.skew(self.wish.ms)
        self.hit = [{"skew_ms": self.venue.skew_ms, "real_ms": int(time() * 1000)}]
        self.apply(skew_ms=self.venue.skew_ms)

    def finish(self) -> None:
        assert isinstance(self.wish, SkewWish)
        self.venue.skew(-self.wish.ms)
