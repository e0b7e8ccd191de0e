"""One perpetual contract that moves: its book, trades, candles and funding, from a seed."""

import math
import random
from collections import deque
from collections.abc import Iterator
from functools import cached_property

from simulator.book import Book, View
from simulator.candles import HISTORY_MINUTES, Candle, Candles
from simulator.corrections import Corrector
from simulator.funding import Funding, Settling
from simulator.happening import Event, Rates, Trade, Trigger
from simulator.universe import Instrument

LEVELS = 1500
"""Levels a side inside, more than any venue shows (binance: 1000)."""
TRADES_KEPT = 2000
"""The longest window a venue serves without paging (htx: 2000)."""
TRADES_FOLLOWED = 20_000
"""The same once somebody follows a market and may page back: 300 bytes each, 6 MB a market."""
FORCED_KEPT = 1000
LIQUIDATION_SIZE = 3
"""How many typical sizes a liquidation is on average."""
LEAD_EVENTS = 400
LEAD_MAX_S = 60.0
WALK_RANGE = 0.1
"""The price stays within this share of where it began."""
MINUTE_MS = 60_000
NEVER = math.inf


class Market:
    """Advanced by whoever asks: events happen at fixed times, whether or not anybody looks."""

    def __init__(self, instrument: Instrument, seed: int, rates: Rates, start_ms: int) -> None:
        self.instrument = instrument
        self._tick, self._unit = float(instrument.tick), float(instrument.unit)
        name = f"{seed}:{instrument.venue}:{instrument.symbol}"
        self.rng = random.Random(name)
        # Touches have their own cheap sequence: skipping them must not change prices and trades.
        self._touch_state = self.rng.getrandbits(31)
        self._touch_bid = False
        self.phase = self.rng.random()
        self.typical_size = self._typical_size()
        self.book = Book(self._levels(), self.rng.randrange(10**9, 9 * 10**9))
        self.stirs = self.rng.randrange(10**6, 10**8)
        """Counts the moments at which depth is pushed."""
        self.trades: deque[Trade] = deque(maxlen=TRADES_KEPT)
        self.forced: deque[int] = deque(maxlen=FORCED_KEPT)
        """Ids of the trades that liquidations made."""
        self.listed = True
        self._trade_id = self.rng.randrange(10**8, 2 * 10**9)
        self._fill_id = self._trade_id * 2 + 1
        self.uuid_head = self._uuid_head()
        self.last = instrument.start_ticks
        self._force = random.Random(f"{name}:liquidations")
        self._schedule(rates, start_ms)
        self._past = random.Random(f"{name}:past")
        self._corrector = Corrector(f"{name}:corrected", rates.candle_corrections)
        self._first_minute = self.now_ms // MINUTE_MS
        period = rates.funding_minutes or instrument.funding_hours * 60
        self._settling = Settling(period * MINUTE_MS, self.phase)

    def _typical_size(self) -> int:
        price = self.instrument.start_ticks * self._tick
        return max(2, int(5_000 / (price * self._unit)))

    def _size(self) -> int:
        return 1 + int(self.rng.expovariate(1.0) * self.typical_size)

    def _uuid_head(self) -> str:
        digits = f"{self.rng.getrandbits(80):020x}"
        return f"{digits[:8]}-{digits[8:12]}-5{digits[12:15]}-8{digits[15:18]}"

    def _levels(self) -> View:
        levels: View = {}
        for sign in (1, -1):
            price = self.instrument.start_ticks
            for _ in range(LEVELS):
                price -= sign * self._gap()
                if price > 0:
                    levels[sign * price] = self._size()
        return levels

    def _gap(self) -> int:
        return 1 if self.rng.random() < 0.7 else 1 + self.rng.randrange(1, 3)

    def _schedule(self, rates: Rates, start_ms: int) -> None:
        """Begin early enough that there are trades to ask for at the start."""
        total = rates.ticker + rates.book + rates.trade
        lead_s = min(LEAD_MAX_S, LEAD_EVENTS / total) if total else 0.0
        self.now_ms = start_ms - int(lead_s * 1000)
        self._touch_every, self._touch_at = self._timer(rates.ticker)
        self._book_every, self._book_at = self._timer(rates.book)
        self._trade_every, self._trade_at = self._timer(rates.trade)
        self._liquidation_every = MINUTE_MS / rates.liquidation if rates.liquidation > 0 else NEVER
        self._liquidation_at = self.now_ms + self._until_liquidation()
        self._second_at = float((self.now_ms // 1000 + 1) * 1000)
        self.due_ms = self._next_due()

    def _timer(self, rate: float) -> tuple[float, float]:
        """Period and first event, which is at a whole millisecond: with a period of such, messages
        name the moment at which they were due exactly."""
        if rate <= 0:
            return NEVER, NEVER
        every = round(1000.0 / rate, 6)  # 66, not 65.99999999999999
        return every, float(self.now_ms + int(every * self.rng.random()))

    def _until_liquidation(self) -> float:
        """Milliseconds; they come at any time, unlike the rest."""
        if self._liquidation_every == NEVER:
            return NEVER
        return 1 + self._force.expovariate(1.0) * self._liquidation_every

    def _next_due(self) -> float:
        depth = min(self._touch_at, self._book_at)
        return min(depth, self._trade_at, self._liquidation_at, self._second_at)

    def follow(self) -> None:
        """From now on keep as many trades as those who follow may page back."""
        if self.trades.maxlen != TRADES_FOLLOWED:
            self.trades = deque(self.trades, TRADES_FOLLOWED)

    # --- time

    def advance(self, until_ms: float) -> Iterator[Event]:
        """Every event due up to `until_ms`, each applied just before it is yielded."""
        while self.due_ms <= until_ms:
            due = self.due_ms
            self.now_ms = int(due)
            if due == self._touch_at:
                self._touch_at += self._touch_every
                event = self._touch()
            elif due == self._book_at:
                self._book_at += self._book_every
                best = self.book.best_bid, self.book.best_ask
                event = self._stir()
                if best != (self.book.best_bid, self.book.best_ask):
                    yield Event(Trigger.TOUCH, self.now_ms)
            elif due == self._trade_at:
                self._trade_at += self._trade_every
                event = self._deal(self._size(), self.rng.random() < 0.5)
            elif due == self._liquidation_at:
                self._liquidation_at += self._until_liquidation()
                yield (event := self._liquidate())
                event = event._replace(trigger=Trigger.LIQUIDATION)
            else:
                self._second_at += 1000
                event = self._second()
            self.due_ms = self._next_due()
            yield event

    def catch_up(self, until_ms: float) -> None:
        """Advance without a listener; touches pass as ids only."""
        if self.due_ms > until_ms:
            return
        skipped = 0
        if self._touch_at <= until_ms:
            skipped = int((until_ms - self._touch_at) // self._touch_every) + 1
            self._touch_at += skipped * self._touch_every
            self.due_ms = self._next_due()
        for _ in self.advance(until_ms):
            pass
        self.book.skip(skipped)

    # --- what a venue does to a market

    def delist(self) -> None:
        """Nothing happens from now on."""
        self.listed = False
        self.due_ms = NEVER

    def relist(self, now_ms: float) -> None:
        """Go on, as if no time had passed."""
        self.listed = True
        self.shift(now_ms - self.now_ms)

    def shift(self, ms: float) -> None:
        """Let the market's clock jump; what is due stays as far away as it was."""
        self.now_ms += int(ms)
        self._touch_at += ms
        self._book_at += ms
        self._trade_at += ms
        self._liquidation_at += ms
        self._second_at = float((self.now_ms // 1000 + 1) * 1000)
        self.due_ms = self._next_due() if self.listed else NEVER

    def pace_trades(self, rate: float) -> float:
        """Deal `rate` times a second from now on; the rate until now."""
        old, self._trade_every = 1000 / self._trade_every, 1000 / rate if rate else NEVER
        self._trade_at = self.now_ms + self._trade_every
        self.due_ms = self._next_due()
        return old

    def push(self) -> Event:
        """An extra moment at which depth is pushed, without any change."""
        self.stirs += 1
        return Event(Trigger.BOOK, self.now_ms)

    # --- events

    def _touch(self) -> Event:
        self._touch_state = (self._touch_state * 1103515245 + 12345) & 0x7FFFFFFF
        self._touch_bid = not self._touch_bid
        side = self.book.bids if self._touch_bid else self.book.asks
        self.book.set(side[-1], 1 + (self._touch_state >> 8) % (2 * self.typical_size))
        return Event(Trigger.TOUCH, self.now_ms)

    def _stir(self) -> Event:
        """The only place where levels come and go; touches and trades change sizes."""
        if self.rng.random() < 0.5:
            self._move()
        for side in (self.book.bids, self.book.asks):
            for _ in range(1 + int(self.rng.random() * 3)):
                self._change_level(side)
            self._bound(side)
        self.stirs += 1
        return Event(Trigger.BOOK, self.now_ms)

    def _change_level(self, side: list[int]) -> None:
        """Change, remove or add one level, mostly near the best one, never the best itself."""
        depth = 2 + int(self.rng.expovariate(0.08))
        key = side[-min(depth, len(side))]
        kind = self.rng.random()
        if kind < 0.7:
            self.book.set(key, self._size())
        elif kind < 0.85:
            self.book.set(key, 0)
        elif key - 1 not in self.book.sizes and key != 1:
            self.book.set(key - 1, self._size())

    def _move(self) -> None:
        """Shift the price by a few ticks, back towards its start the further it is away."""
        start = self.instrument.start_ticks
        pull = (self.last - start) / (start * WALK_RANGE)
        up = self.rng.random() < 0.5 - 0.5 * max(-1.0, min(1.0, pull))
        ticks = 1 + int(self.rng.expovariate(1.0) * max(1.0, start * 2e-5))
        if up:
            self._shift(self.book.asks, self.book.bids, ticks)
        else:
            self._shift(self.book.bids, self.book.asks, ticks)

    def _shift(self, eaten: list[int], grown: list[int], ticks: int) -> None:
        """Remove levels of one side up to `ticks` away and let the other side follow."""
        edge = eaten[-1] - ticks
        while eaten[-1] > edge and len(eaten) > 1:
            self.book.set(eaten[-1], 0)
        if self.rng.random() < 0.8 and -edge - 1 not in self.book.sizes:
            self.book.set(edge, self._size())
        best = -eaten[-1] - 1
        lowest = max(grown[-1] + 1, best - 3 * max(1, ticks))
        for key in sorted({best, *(self.rng.randint(lowest, best) for _ in range(min(4, ticks)))}):
            self.book.set(key, self._size())

    def _bound(self, side: list[int]) -> None:
        while len(side) > LEVELS + 50:
            self.book.set(side[0], 0)
        while len(side) < LEVELS - 50 and side[0] != 1:
            key = side[0] - self._gap()
            if side[0] > 0 and key <= 0:
                return
            self.book.set(key, self._size())

    def _liquidate(self) -> Event:
        """A forced order of its own is a trade as well."""
        size = 1 + int(self._force.expovariate(1.0) * LIQUIDATION_SIZE * self.typical_size)
        event = self._deal(size, self._force.random() < 0.5)
        self.forced.append(self._trade_id)
        return event

    def _deal(self, size: int, buys: bool) -> Event:
        """A trade at the best price; what it met is replaced by a new size."""
        price = self.book.best_ask if buys else self.book.best_bid
        fills = self._fills(size)
        self._trade_id += 1
        trade = Trade(self._trade_id, self.now_ms, price, size, buys, self._fill_id, fills)
        self._fill_id += len(fills)
        self.trades.append(trade)
        self.last = price
        self.candles.add(self.now_ms // MINUTE_MS, price, size)
        self.book.set(-price if buys else price, self._size())
        return Event(Trigger.TRADE, self.now_ms, trade)

    def _fills(self, size: int) -> tuple[int, ...]:
        if size < 3 or self.rng.random() < 0.7:
            return (size,)
        first = self.rng.randint(1, size - 1)
        return (first, size - first)

    def _second(self) -> Event:
        self.candles.roll(self.now_ms // MINUTE_MS)
        self._corrector.correct(self.candles, self.now_ms)
        return Event(Trigger.SECOND, self.now_ms)

    # --- views

    @cached_property
    def candles(self) -> Candles:
        """Made when first needed: two days of minutes take a few milliseconds."""
        start = self.instrument.start_ticks
        return Candles(self._past, self._first_minute, start, self.typical_size)

    @property
    def last_trade_id(self) -> int:
        return self._trade_id

    def price(self, ticks: float) -> float:
        """`ticks` in quote currency, exact to the tick's places for whole ticks."""
        return round(ticks * self._tick, self.instrument.price_places + 4)

    def price_text(self, ticks: int) -> str:
        return f"{ticks * self._tick:.{self.instrument.price_places}f}"

    def lots_text(self, units: int) -> str:
        """`units` as contracts where these are divisible."""
        return f"{units * self.instrument.lot:f}"

    def base_text(self, units: int) -> str:
        """`units` as an amount of base currency."""
        return f"{units * self._unit:.{self.instrument.size_places}f}"

    def base(self, units: int) -> float:
        return round(units * self._unit, self.instrument.size_places)

    def quote(self, turnover: int) -> float:
        """A turnover in ticks x units in quote currency."""
        return turnover * self._tick * self._unit

    @property
    def mark(self) -> float:
        """Middle of the book, in quote currency."""
        middle = (self.book.best_bid + self.book.best_ask) / 2
        return round(middle * self._tick, self.instrument.price_places + 2)

    @property
    def index(self) -> float:
        """In quote currency; the perpetual trades at a small premium that comes and goes."""
        premium = 2e-4 * math.sin(self.now_ms / 600_000 + self.phase * 6)
        return round(self.mark / (1 + premium), self.instrument.price_places + 2)

    @property
    def day(self) -> Candle:
        return self.candles.day()

    @property
    def open_interest(self) -> int:
        """In units."""
        return self.open_interest_at(self.now_ms)

    def open_interest_at(self, t_ms: int) -> int:
        """In units; a slow wave around a fixed multiple of the typical size."""
        wave = 1 + 0.05 * math.sin(t_ms / 900_000 + self.phase * 6)
        return int(self.typical_size * 20_000 * wave)

    @property
    def funding(self) -> Funding:
        """As it looks now; it is settled at the rate of that minute."""
        return self._settling.at(self.now_ms)

    def settlements(self, first_ms: int, last_ms: int) -> list[Funding]:
        """Those in [first_ms, last_ms] that are past, ascending; `next_ms` is their time."""
        born_ms = (self._first_minute - HISTORY_MINUTES) * MINUTE_MS
        return self._settling.between(max(first_ms, born_ms), min(last_ms, self.now_ms))
