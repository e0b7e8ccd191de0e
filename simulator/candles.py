"""Minute candles of one market, their aggregates and the rolling day."""

import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace

HISTORY_MINUTES = 2880
"""How long before the simulator's start a market was launched."""
DAY_MINUTES = 1440
WEEK_MINUTES = 10_080
CHINA_MINUTES = 480  # UTC+8
MONDAY_OFFSET_MINUTES = 5760  # 1970-01-05 was a Monday


@dataclass(slots=True)
class Candle:
    """Prices in ticks, `volume` in units, `turnover` in ticks x units."""

    minute: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    turnover: int = 0
    count: int = 0

    def add(self, price: int, size: int) -> None:
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += size
        self.turnover += price * size
        self.count += 1

    def merge(self, later: "Candle") -> None:
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.turnover += later.turnover
        self.count += later.count


class ChinaSpan(int):
    """Minutes of a candle whose days begin at midnight in UTC+8."""


def bucket(minute: int, span: int) -> int:
    """First minute of the candle of `span` minutes that holds `minute`."""
    offset = MONDAY_OFFSET_MINUTES if span == WEEK_MINUTES else 0
    if isinstance(span, ChinaSpan):
        offset -= CHINA_MINUTES
    return (minute - offset) // span * span + offset


class Candles:
    """A contiguous run of minute candles: the closed ones in columns, the last one open."""

    def __init__(self, rng: random.Random, minute: int, price: int, typical_size: int) -> None:
        self.first_minute = minute - HISTORY_MINUTES
        # Objects for two days of a whole fleet of markets would take a hundred megabytes.
        self._columns = tuple(array("q") for _ in range(7))
        for candle in _past(rng, self.first_minute, price, typical_size):
            self._close(candle)
        self.last = Candle(minute, price, price, price, price)
        self._day: tuple[int, Candle] | None = None

    def _close(self, candle: Candle) -> None:
        prices = (candle.open, candle.high, candle.low, candle.close)
        sums = (candle.volume, candle.turnover, candle.count)
        for column, value in zip(self._columns, prices + sums, strict=True):
            column.append(value)

    def add(self, minute: int, price: int, size: int) -> None:
        self.roll(minute)
        self.last.add(price, size)

    def roll(self, minute: int) -> None:
        """Open the candle of `minute`; minutes without a trade are flat."""
        while self.last.minute < minute:
            self._close(self.last)
            close = self.last.close
            self.last = Candle(self.last.minute + 1, close, close, close, close)

    def correct(self, minute: int, volume: int) -> None:
        """Add `volume` to a closed minute that had some."""
        index = minute - self.first_minute
        closes, volumes, turnovers = self._columns[3], self._columns[4], self._columns[5]
        if 0 <= index < len(volumes) and volumes[index]:
            volumes[index] += volume
            turnovers[index] += volume * closes[index]
            self._day = None

    def close_at(self, t_ms: int) -> int:
        """The last price in the minute before `t_ms`, or the oldest there is."""
        index = max(0, t_ms // 60_000 - 1 - self.first_minute)
        closes = self._columns[3]
        return closes[index] if index < len(closes) else self.last.close

    def spans(self, span: int, first: int, last: int, limit: int) -> list[Candle]:
        """Candles of `span` minutes that start in [first, last] (minutes), the latest `limit`."""
        lowest = max(bucket(first, span), self.first_minute)
        if lowest < first:
            lowest = max(bucket(first, span) + span, self.first_minute)
        highest = min(bucket(last, span) + span - 1, self.last.minute)
        lowest = max(lowest, bucket(highest, span) - (limit - 1) * span)
        return self._aggregate(span, lowest, highest)

    def current(self, span: int, minute: int) -> Candle:
        """The candle of `span` minutes that holds `minute`."""
        return self._aggregate(span, bucket(minute, span), minute)[-1]

    def day(self) -> Candle:
        """The rolling 24 hours as one candle."""
        minute = self.last.minute
        if self._day is None or self._day[0] != minute:
            past = self._aggregate(DAY_MINUTES * 2, minute - DAY_MINUTES + 1, minute - 1)
            for later in past[1:]:
                past[0].merge(later)
            self._day = (minute, past[0])
        total = replace(self._day[1])
        total.merge(self.last)
        return total

    def _aggregate(self, span: int, lowest: int, highest: int) -> list[Candle]:
        out: list[Candle] = []
        for candle in self._rows(max(lowest, self.first_minute), highest):
            opened = bucket(candle.minute, span)
            if out and out[-1].minute == opened:
                out[-1].merge(candle)
            else:
                candle.minute = opened
                out.append(candle)
        return out

    def _rows(self, lowest: int, highest: int) -> Iterator[Candle]:
        """Copies of the minutes from `lowest` to `highest`."""
        start, stop = lowest - self.first_minute, highest - self.first_minute + 1
        rows = zip(*(column[start : max(start, stop)] for column in self._columns), strict=True)
        for minute, row in enumerate(rows, lowest):
            yield Candle(minute, *row)
        if lowest <= self.last.minute <= highest:
            yield replace(self.last)


def _past(rng: random.Random, first: int, price: int, typical_size: int) -> list[Candle]:
    """A walk backwards from `price`, so that it joins the present without a jump."""
    step = max(1, price // 2500)
    close, out = price, []
    for minute in range(first + HISTORY_MINUTES - 1, first - 1, -1):
        pull = (close - price) / (200 * step)
        opened = max(1, close + round((rng.random() * 2 - 1 - pull) * step))
        high = max(opened, close) + int(rng.random() * step)
        low = max(1, min(opened, close) - int(rng.random() * step))
        volume = typical_size * 60 + int(rng.random() * typical_size * 60)
        turnover = volume * (opened + close) // 2
        out.append(Candle(minute, opened, high, low, close, volume, turnover, 120))
        close = opened
    out.reverse()
    return out
