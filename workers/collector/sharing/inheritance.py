"""Going on where another worker ended.

A symbol that moves is collected by both for a while, and nothing is missing. Where the one before
is gone, or goes before the new one has all of it, the new one opens a gap where that one ended, as
far as it said, and brings the trades back.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.clock import Clock
from shared.kinds import LIQUIDATION, TRADES
from shared.timeframes import TIMEFRAMES_MS
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.continuity.continuity import Continuity
from workers.collector.continuity.gaps import Closing, Mark, Place
from workers.collector.sharing.peers import SILENT_S, Peers
from workers.collector.trades.trades import Trades

#: From the first word of our own stream to the other's that counts as a later one.
_AFTER_S = 0.3
#: Its trades are the last that is known of a worker; candles may have closed before it told. And
#: how long before we took a symbol up its last trade was, where it told none.
_MARGIN_MS = 10_000


@dataclass(slots=True)
class _Taken:
    """A symbol that another has as well, so far."""

    at_ms: int  # when we took it up
    trades_at: float | None = None  # since when our own trades flow (monotonic seconds)
    has_trades: bool = False  # whether they flowed while the other missed none
    all_at: float | None = None  # since when all of our streams do


class Inheritance:
    """Symbols that were taken up and may have been another's."""

    def __init__(
        self, peers: Peers, continuity: Continuity, trades: Trades, timeframes: Iterable[str]
    ) -> None:
        self._peers, self._continuity, self._trades = peers, continuity, trades
        self._timeframes = tuple(timeframes)
        self._clock: Clock = continuity.clock
        self._pending: dict[str, _Taken] = {}

    def take_up(self, symbols: Iterable[str]) -> None:
        """These are collected from now on; those that a run before this one had go on there."""
        now, now_ms = self._clock.monotonic(), self._clock.now_ms()
        for symbol in symbols:
            if self._peers.collecting(symbol, now - SILENT_S):
                self._pending[symbol] = _Taken(now_ms)
                # What closes before our own stream is there, if the other goes by then.
                self._candles(symbol, Mark(None, now_ms))
            else:
                self._inherit(symbol, None)

    def forget(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._pending.pop(symbol, None)

    def look(self) -> None:
        """Four times a second: whether the one before was still there when our streams came up."""
        now = self._clock.monotonic()
        for symbol, taken in list(self._pending.items()):
            if self._has_all(symbol, taken, now):
                del self._pending[symbol]
                self._peers.forget(symbol)
            elif not self._peers.collecting(symbol, now - SILENT_S):
                del self._pending[symbol]
                self._inherit(symbol, taken)

    def _has_all(self, symbol: str, taken: _Taken, now: float) -> bool:
        if not taken.has_trades:
            if not self._continuity.is_up(Subscription(StreamKind.TRADES, symbol)):
                taken.trades_at = None
            elif taken.trades_at is None:
                taken.trades_at = now
            elif self._peers.trading(symbol, taken.trades_at + _AFTER_S):
                taken.has_trades = True
        if not self._continuity.is_all_up(symbol):
            taken.all_at = None
        elif taken.all_at is None:
            taken.all_at = now
        had_after = None if taken.all_at is None else taken.all_at + _AFTER_S
        return (
            taken.has_trades and had_after is not None and self._peers.collecting(symbol, had_after)
        )

    def _inherit(self, symbol: str, taken: _Taken | None) -> None:
        """Go on where the other ended; `taken` where it was there when we took the symbol up."""
        mark = self._end(symbol, taken)
        self._peers.forget(symbol)
        if mark is None:
            return
        continuity = self._continuity
        if taken is None or not taken.has_trades:
            self._refill(symbol, mark)
        if LIQUIDATION in continuity.kinds:
            continuity.coverage.broke(LIQUIDATION, symbol, "moved")
            self._liquidations(symbol, mark)
        self._candles(symbol, mark)

    def _end(self, symbol: str, taken: _Taken | None) -> Mark | None:
        """The last trade that is known of the other; None where there was no other."""
        said = self._peers.mark(symbol)
        mark = None if said is None or said == (None, None) else Mark(*said)
        if mark is None and taken is not None:
            mark = Mark(None, taken.at_ms - _MARGIN_MS)
        own = self._continuity.gaps.last(Place(TRADES, symbol))
        if mark is not None and own is not None and (own.time or 0) >= (mark.time or 0):
            return own  # a run of ours ended later than what others told
        return mark

    def _refill(self, symbol: str, mark: Mark) -> None:
        continuity, place = self._continuity, Place(TRADES, symbol)
        continuity.coverage.broke(TRADES, symbol, "moved")
        continuity.gaps.open(place, "moved", mark)
        if continuity.is_up(Subscription(StreamKind.TRADES, symbol)):
            continuity.refill.want(symbol)
        else:
            self._trades.flow(symbol).resume(continuity.gaps.last(place) or mark)

    def _liquidations(self, symbol: str, mark: Mark) -> None:
        """Nobody can bring them back; a stream that is not up yet ends its gap itself."""
        continuity, place = self._continuity, Place(LIQUIDATION, symbol)
        continuity.gaps.open(place, "moved", Mark(None, mark.time))
        if continuity.is_up(Subscription(StreamKind.LIQUIDATIONS, symbol)):
            first = Mark(None, self._clock.now_ms())
            continuity.gaps.close(place, Closing("unrepairable", first))

    def _candles(self, symbol: str, mark: Mark) -> None:
        """From the last one that had surely closed before the other ended."""
        if mark.time is None:
            return
        for timeframe in self._timeframes:
            span_ms = TIMEFRAMES_MS[timeframe]
            start = (mark.time - _MARGIN_MS) // span_ms * span_ms - span_ms
            self._continuity.feeds.candles.resume(symbol, timeframe, start)
