"""Streams that fall silent, or repeat themselves, without an error.

Silence alone is no fault: markets are quiet at times. A stream is at fault when the market moved
and it did not say so, which the bulk REST cycle and the symbol's other streams tell. Then it is
subscribed anew, and if that does not help its connection is dialled anew; meanwhile REST stands in.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from shared.clock import Clock
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.continuity.pulse import Pulse
from workers.collector.parts import Parts

LOOK_S = 0.5
#: A stream is looked at once it is silent for so long, and for five times its usual pause.
_SUSPECT_S = 4.0
_USUAL_TIMES = 5.0
#: What REST or a sibling said has to be this much younger than the stream's last word: answers may
#: come from a cache, and streams of one symbol do not push in the same moment.
_MARGIN_S = 1.0
#: A stream that answers neither its subscription nor with data.
_UNANSWERED_S = 15.0
#: Subscriptions are due and for so long none was sent: longer than any driver pauses.
_UNSENT_S = 120.0
_AGAIN_S = 5.0
_AGAIN_CAP_S = 300.0
_BRIDGE_S = 5.0
#: Where the price says nothing, which can be the same again by chance, the newest trades are asked
#: for: soon after the silence is noticed, then ever more rarely.
_FIRST_LOOK_S, _SECOND_LOOK_S, _LOOK_CAP_S = 1.0, 12.0, 600.0
#: Of all symbols together, so that a thousand quiet ones do not eat the budget.
_LOOKS_EVERY_S = 2.0

#: What a log line says of each reason.
_SAID = {
    "silent": "is silent though the market moves",
    "stuck": "repeats itself though the market moves",
    "no answer": "does not answer its subscription",
    "not asked for": f"is not subscribed to, nothing was for {_UNSENT_S:.0f} s",
}

WATCHED = (StreamKind.QUOTE, StreamKind.TRADES, StreamKind.BOOK)


@dataclass(slots=True)
class _Watch:
    """Of one stream."""

    alarmed_at: float | None = None
    action_at: float = 0.0  # when the next step of the ladder is due
    pause_s: float = _AGAIN_S
    bridge_at: float = 0.0
    hurried: bool = False  # REST was asked for in this silence
    look_at: float = 0.0
    look_pause_s: float = _SECOND_LOOK_S


class Watchdog:
    """Looks at every stream twice a second."""

    def __init__(self, clock: Clock, log: logging.Logger) -> None:
        self.alarms = 0
        self.asked_at = clock.monotonic()  # when the latest subscription was sent
        self.on_alarm: Callable[[Subscription, str], None] = lambda _stream, _reason: None
        self.resubscribe: Callable[[Subscription, str], None] = lambda _stream, _reason: None
        self.redial: Callable[[Subscription], None] = lambda _stream: None
        self.bridge: Callable[[Subscription], None] = lambda _stream: None
        self.hurry_rest: Callable[[], None] = lambda: None
        self.look_for_trades: Callable[[str], None] = lambda _symbol: None
        self._clock, self._log = clock, log
        self._watches: dict[Subscription, _Watch] = {}
        self._next_look = 0.0

    def look(self, symbols: Iterable[Parts]) -> None:
        """One round."""
        now, found, streams = self._clock.monotonic(), dict[Subscription, str](), 0
        for parts in symbols:
            for kind in WATCHED:
                pulse = parts.pulses.get(kind)
                if pulse is None:
                    continue
                streams += 1
                stream = Subscription(kind, parts.symbol)
                reason = self._check(stream, parts, pulse, now)
                if reason is not None:
                    found[stream] = reason
        self._alarm_all(found, of_all=streams)

    def set_symbols(self, symbols: Iterable[str]) -> None:
        kept = set(symbols)
        self._watches = {s: watch for s, watch in self._watches.items() if s.symbol in kept}

    def found_trades(self, symbol: str, oldest_age_s: float) -> None:
        """REST had trades that the stream did not bring, the oldest so long ago."""
        stream = Subscription(StreamKind.TRADES, symbol)
        watch = self._watches.get(stream)
        if watch is not None and oldest_age_s > _MARGIN_S and watch.alarmed_at is None:
            self._alarm(stream, "silent")

    def _check(self, stream: Subscription, parts: Parts, pulse: Pulse, now: float) -> str | None:
        """What is wrong with a stream that was sound so far."""
        watch = self._watches.setdefault(stream, _Watch())
        if watch.alarmed_at is not None:
            if pulse.progress_at > watch.alarmed_at:
                self._log.info("Stream %s speaks again", stream)
                self._watches[stream] = _Watch()
            else:
                self._pursue(stream, watch, self._asked_since(pulse, now))
            return None
        if pulse.asked_at is None:
            return "not asked for" if self._asked_since(pulse, now) > _UNSENT_S else None
        since = max(pulse.progress_at, pulse.asked_at)
        silent_s = now - since
        if silent_s < max(_SUSPECT_S, _USUAL_TIMES * pulse.usual_s()):
            if watch.hurried:
                self._watches[stream] = _Watch()
            return None
        if moved(stream.kind, parts, since):
            return "stuck" if pulse.stuck > 2 else "silent"
        if not (pulse.count or pulse.answered) and silent_s > _UNANSWERED_S:
            return "no answer"
        self._inquire(stream, watch, pulse, now)
        return None

    def _inquire(self, stream: Subscription, watch: _Watch, pulse: Pulse, now: float) -> None:
        """Nothing tells against the stream so far: ask, seldom."""
        if not watch.hurried and pulse.count:
            watch.hurried = True
            watch.look_at = now + _FIRST_LOOK_S
            self.hurry_rest()
        if stream.kind is not StreamKind.TRADES or not watch.hurried:
            return
        if now >= max(watch.look_at, self._next_look):
            self._next_look = now + _LOOKS_EVERY_S
            watch.look_at = now + watch.look_pause_s
            watch.look_pause_s = min(_LOOK_CAP_S, 2 * watch.look_pause_s)
            self.look_for_trades(stream.symbol)

    def _alarm_all(self, found: dict[Subscription, str], of_all: int) -> None:
        """Many at once are the trouble of a connection, which then answers nothing either."""
        many = len(found) > 2 and 2 * len(found) >= of_all
        if many:
            self._log.warning(
                "%d of %d streams are silent though the market moves", len(found), of_all
            )
        for stream, reason in found.items():
            self._alarm(stream, reason, redial=many)

    def _alarm(self, stream: Subscription, reason: str, *, redial: bool = False) -> None:
        watch, now = self._watches[stream], self._clock.monotonic()
        self.alarms += 1
        watch.alarmed_at = now
        watch.action_at = now + _AGAIN_S
        watch.bridge_at = now
        self.on_alarm(stream, reason)
        if redial:
            self.redial(stream)
            return
        self._log.warning("Stream %s %s", stream, _SAID[reason])
        self.resubscribe(stream, reason)

    def _asked_since(self, pulse: Pulse, now: float) -> float:
        """Seconds since this subscription was sent, or any other while it waits for its turn."""
        return now - (self.asked_at if pulse.asked_at is None else pulse.asked_at)

    def _pursue(self, stream: Subscription, watch: _Watch, asked_since_s: float) -> None:
        """The alarm goes on: let REST stand in, and dial anew, ever more rarely."""
        now = self._clock.monotonic()
        if now >= watch.bridge_at:
            watch.bridge_at = now + _BRIDGE_S
            self.bridge(stream)
        if now >= watch.action_at and asked_since_s >= _AGAIN_S:
            watch.pause_s = min(_AGAIN_CAP_S, 2 * watch.pause_s)
            watch.action_at = now + watch.pause_s
            self._log.debug("Stream %s stays silent: dialling anew", stream)
            self.redial(stream)


def moved(kind: StreamKind, parts: Parts, since: float) -> bool:
    """Whether something else shows that a stream which has been silent `since` missed something.

    A stream that never spoke can be compared with nothing: there REST has to change.
    """
    if kind is StreamKind.QUOTE:
        known = parts.stream_quote
        if known is None:
            return parts.rest_moved_since > since
        return _rest_differs(parts, since, known) or _book_differs(parts, since, known)
    if kind is StreamKind.BOOK:
        if parts.book is None:
            return parts.rest_moved_since > since
        best = (parts.book.bids.best, parts.book.asks.best)
        return _rest_differs(parts, since, best) or _quote_differs(parts, since, best)
    rest, traded = parts.rest_last, parts.stream_last
    if traded is None:
        return parts.rest_traded_since > since
    return rest is not None and rest.at > since + _MARGIN_S and rest.value != traded


def _rest_differs(parts: Parts, since: float, known: object) -> bool:
    rest = parts.rest_quote
    return rest is not None and rest.at > since + _MARGIN_S and rest.value != known


def _book_differs(parts: Parts, since: float, known: object) -> bool:
    book, pulse = parts.book, parts.pulses.get(StreamKind.BOOK)
    if book is None or pulse is None or pulse.progress_at <= since + _MARGIN_S:
        return False
    return (book.bids.best, book.asks.best) != known


def _quote_differs(parts: Parts, since: float, known: object) -> bool:
    pulse = parts.pulses.get(StreamKind.QUOTE)
    if pulse is None or pulse.progress_at <= since + _MARGIN_S:
        return False
    return parts.stream_quote is not None and parts.stream_quote != known
