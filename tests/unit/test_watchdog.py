"""When silence is a fault, and what is done about it."""

import logging

import pytest

from tests.fakes import FakeClock
from workers.collector.books.orderbook import OrderBook
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.continuity.pulse import Pulse
from workers.collector.continuity.watchdog import WATCHED, Watchdog
from workers.collector.events import RestUpdate
from workers.collector.parts import Parts

BTC = "BTC/USDT:USDT"
QUOTE, TRADES, BOOK = (Subscription(kind, BTC) for kind in WATCHED)


class Kennel:
    """A watchdog over one symbol, and what it did."""

    def __init__(self, symbols: int = 1) -> None:
        self.clock = FakeClock()
        self.done: list[tuple[str, object]] = []
        self.dog = Watchdog(self.clock, logging.getLogger("test"))
        self.dog.on_alarm = lambda stream, reason: self.done.append((reason, stream))
        self.dog.resubscribe = lambda stream, reason: self.done.append(("resubscribe", stream))
        self.dog.redial = lambda stream: self.done.append(("redial", stream))
        self.dog.bridge = lambda stream: self.done.append(("bridge", stream))
        self.dog.hurry_rest = lambda: self.done.append(("hurry", None))
        self.dog.look_for_trades = lambda symbol: self.done.append(("look", symbol))
        self.all = [self._parts(f"S{n}/USDT:USDT" if n else BTC) for n in range(symbols)]
        self.parts = self.all[0]

    def _parts(self, symbol: str) -> Parts:
        parts = Parts(symbol)
        now = self.clock.monotonic()
        parts.pulses = {kind: Pulse(now) for kind in WATCHED}
        for pulse in parts.pulses.values():
            pulse.asked_at = now
        parts.waiting.clear()
        parts.book = OrderBook()
        parts.book.replace([[10, 1]], [[11, 1]])
        return parts

    def beat(self, *kinds: StreamKind, price: float = 10.0, timestamp: int | None = None) -> None:
        now = self.clock.monotonic()
        for parts in self.all:
            for kind in kinds:
                moment = self.clock.now_ms() if timestamp is None else timestamp
                parts.pulses[kind].beat(now, moment)
                if kind is StreamKind.QUOTE:
                    parts.stream_quote = (price, price + 1)
                elif kind is StreamKind.TRADES:
                    parts.stream_last = price

    def rest(self, price: float) -> None:
        for parts in self.all:
            update = RestUpdate(parts.symbol, bid=price, ask=price + 1, last=price)
            parts.apply(update, self.clock.monotonic())

    def pass_s(self, seconds: float, *kinds: StreamKind, price: float = 10.0) -> None:
        """Time goes by in looks, with these streams alive and a REST answer each 5 s."""
        for step in range(int(seconds * 2)):
            self.clock.elapsed_s += 0.5
            self.beat(*kinds, price=price)
            if step % 10 == 9:
                self.rest(price)
            self.dog.look(self.all)

    def did(self, what: str) -> list[object]:
        return [subject for name, subject in self.done if name == what]


def test_a_quiet_market_is_no_fault_for_hours() -> None:
    kennel = Kennel()
    kennel.beat(*WATCHED)
    kennel.pass_s(3 * 3600)
    assert kennel.dog.alarms == 0
    # The newest trades are asked for, ever more rarely.
    assert 15 < len(kennel.did("look")) < 40


@pytest.mark.parametrize("silent", [QUOTE, TRADES, BOOK], ids=str)
def test_silence_in_a_moving_market_is_noticed_within_seconds(silent: Subscription) -> None:
    kennel = Kennel()
    others = [kind for kind in WATCHED if kind is not silent.kind]
    for _ in range(20):
        kennel.pass_s(0.5, *WATCHED)
    began = kennel.clock.elapsed_s
    while not kennel.dog.alarms and kennel.clock.elapsed_s < began + 20:
        # The market moves; the siblings say so at once, REST each five seconds.
        kennel.pass_s(0.5, *others, price=20.0)
        if (kennel.clock.elapsed_s - began) % 5 < 0.5:
            kennel.rest(20.0)
    assert kennel.clock.elapsed_s - began <= 6.5
    assert kennel.done[-2:] == [("silent", silent), ("resubscribe", silent)]


def test_a_stream_that_is_slow_by_nature_is_given_its_time() -> None:
    kennel = Kennel()
    for _ in range(12):
        kennel.pass_s(6)
        kennel.beat(*WATCHED)
    began = kennel.clock.elapsed_s
    while not kennel.dog.alarms:
        kennel.clock.elapsed_s += 0.5
        kennel.rest(20.0)
        kennel.dog.look(kennel.all)
    assert 29 <= kennel.clock.elapsed_s - began <= 31


def test_frames_that_repeat_old_times_are_stuck() -> None:
    kennel = Kennel()
    kennel.pass_s(10, *WATCHED)
    old = kennel.parts.pulses[StreamKind.QUOTE].event_time
    began = kennel.clock.elapsed_s
    while not kennel.dog.alarms:
        kennel.clock.elapsed_s += 0.5
        kennel.beat(StreamKind.TRADES, StreamKind.BOOK, price=20.0)
        kennel.beat(StreamKind.QUOTE, price=10.0, timestamp=old)
        kennel.rest(20.0)
        kennel.dog.look(kennel.all)
    assert kennel.clock.elapsed_s - began <= 10
    assert kennel.did("stuck") == [QUOTE]


def test_a_venue_whose_clock_is_set_back_is_not_stuck() -> None:
    kennel = Kennel()
    kennel.pass_s(10, *WATCHED)
    old = kennel.parts.pulses[StreamKind.QUOTE].event_time
    for step in range(60):
        kennel.clock.elapsed_s += 0.5
        kennel.beat(*WATCHED, price=20.0 + step, timestamp=old - 3_600_000 + 500 * step)
        kennel.rest(20.5 + step)
        kennel.dog.look(kennel.all)
    assert kennel.dog.alarms == 0


def test_the_ladder_goes_from_the_stream_to_its_connection_with_longer_pauses() -> None:
    kennel = Kennel()
    kennel.pass_s(10, *WATCHED)
    kennel.pass_s(120, StreamKind.TRADES, StreamKind.QUOTE, price=20.0)
    assert kennel.did("silent") == [BOOK]
    assert kennel.did("resubscribe") == [BOOK]
    assert 3 <= len(kennel.did("redial")) <= 5
    assert 18 <= len(kennel.did("bridge")) <= 24
    kennel.beat(StreamKind.BOOK)
    kennel.pass_s(10, *WATCHED, price=20.0)
    calls = len(kennel.done)
    kennel.pass_s(60, *WATCHED, price=20.0)
    assert len(kennel.done) == calls


def test_many_at_once_are_a_connection_and_one_line() -> None:
    kennel = Kennel(symbols=4)
    kennel.pass_s(10, *WATCHED)
    kennel.clock.elapsed_s += 6
    kennel.rest(20.0)
    kennel.dog.look(kennel.all)
    assert len(kennel.did("redial")) == 12
    assert not kennel.did("resubscribe")


def test_trades_are_asked_for_soon_where_the_price_is_the_same_by_chance() -> None:
    kennel = Kennel()
    kennel.pass_s(10, *WATCHED)
    kennel.pass_s(5.5, StreamKind.QUOTE, StreamKind.BOOK)
    assert kennel.did("look") == [BTC]


def test_trades_that_only_rest_has_are_an_alarm_unless_they_are_new() -> None:
    kennel = Kennel()
    kennel.beat(*WATCHED)
    kennel.dog.look(kennel.all)
    kennel.dog.found_trades(BTC, oldest_age_s=0.2)
    assert kennel.dog.alarms == 0
    kennel.dog.found_trades(BTC, oldest_age_s=6)
    assert kennel.did("silent") == [TRADES]


def test_a_subscription_without_an_answer_is_made_again() -> None:
    kennel = Kennel()
    kennel.parts.waiting.add(StreamKind.TRADES)
    kennel.parts.waiting.add(StreamKind.BOOK)
    kennel.pass_s(20, StreamKind.QUOTE)
    assert set(kennel.did("resubscribe")) >= {TRADES}


def test_a_stream_whose_turn_to_be_subscribed_has_not_come_is_not_silent() -> None:
    kennel = Kennel(symbols=3)
    kennel.beat(*WATCHED)
    lost = kennel.parts.pulses[TRADES.kind]
    lost.asked_at = None
    for price in range(100):  # the market moves; others are subscribed again meanwhile
        kennel.dog.asked_at = kennel.clock.monotonic()
        kennel.pass_s(1, QUOTE.kind, BOOK.kind, price=float(price))
    assert TRADES not in kennel.did("silent")
    lost.asked_at = kennel.clock.monotonic()
    kennel.pass_s(3, QUOTE.kind, BOOK.kind, price=200.0)
    assert TRADES not in kennel.did("silent")
    kennel.pass_s(9, QUOTE.kind, BOOK.kind, price=201.0)
    assert TRADES in kennel.did("silent")


def test_subscriptions_that_nobody_sends_are_noticed() -> None:
    kennel = Kennel()
    kennel.parts.pulses[TRADES.kind].asked_at = None
    kennel.pass_s(115, QUOTE.kind, BOOK.kind)
    assert kennel.dog.alarms == 0
    kennel.pass_s(10, QUOTE.kind, BOOK.kind)
    assert kennel.did("not asked for") == [TRADES]
    assert TRADES in kennel.did("redial") + kennel.did("resubscribe")
