"""Going on where another worker ended.

A symbol that moves is collected by both for a moment, and nothing is missing. Where the one before
is gone, or goes before the new one has it, the new one opens a gap where that one ended, as far as
it said, and brings the trades back.
"""

from collections.abc import Iterable

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
#: Its trades are the last that is known of a worker; candles may have closed before it told.
_MARGIN_MS = 10_000


class Inheritance:
    """Symbols that were taken up and may have been another's."""

    def __init__(
        self, peers: Peers, continuity: Continuity, trades: Trades, timeframes: Iterable[str]
    ) -> None:
        self._peers, self._continuity, self._trades = peers, continuity, trades
        self._timeframes = tuple(timeframes)
        self._clock: Clock = continuity.clock
        self._pending: dict[str, float | None] = {}  # since when our own stream is up

    def take_up(self, symbols: Iterable[str]) -> None:
        """These are collected from now on; those that a run before this one had go on there."""
        now = self._clock.monotonic()
        for symbol in symbols:
            if self._peers.mark(symbol) is None:
                continue
            if self._peers.collecting(symbol, now - SILENT_S):
                self._pending[symbol] = None
            else:
                self._inherit(symbol)

    def forget(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._pending.pop(symbol, None)

    def look(self) -> None:
        """Each half second: whether the one before was still there when our stream came up."""
        now = self._clock.monotonic()
        for symbol, up_at in list(self._pending.items()):
            is_up = self._continuity.is_up(Subscription(StreamKind.TRADES, symbol))
            if is_up and up_at is None:
                self._pending[symbol] = up_at = now
            if up_at is not None and self._peers.collecting(symbol, up_at + _AFTER_S):
                del self._pending[symbol]
            elif not self._peers.collecting(symbol, now - SILENT_S):
                del self._pending[symbol]
                self._inherit(symbol)

    def _inherit(self, symbol: str) -> None:
        said = self._peers.mark(symbol)
        if said is None or said == (None, None):
            return
        mark, continuity = Mark(*said), self._continuity
        place = Place(TRADES, symbol)
        own = continuity.gaps.last(place)
        if own is not None and (own.time or 0) >= (mark.time or 0):
            mark = own  # a run of ours ended later than what others told
        for kind in (TRADES, LIQUIDATION):
            continuity.coverage.broke(kind, symbol, "moved")
        continuity.gaps.open(place, "moved", mark)
        self._liquidations(symbol, mark)
        for timeframe in self._timeframes:
            self._candles(symbol, timeframe, mark)
        if continuity.is_up(Subscription(StreamKind.TRADES, symbol)):
            continuity.refill.want(symbol)
        else:
            self._trades.flow(symbol).resume(continuity.gaps.last(place) or mark)

    def _liquidations(self, symbol: str, mark: Mark) -> None:
        """Nobody can bring them back; a stream that is not up yet ends its gap itself."""
        continuity, place = self._continuity, Place(LIQUIDATION, symbol)
        if LIQUIDATION not in continuity.kinds:
            return
        continuity.gaps.open(place, "moved", Mark(None, mark.time))
        if continuity.is_up(Subscription(StreamKind.LIQUIDATIONS, symbol)):
            first = Mark(None, self._clock.now_ms())
            continuity.gaps.close(place, Closing("unrepairable", first))

    def _candles(self, symbol: str, timeframe: str, mark: Mark) -> None:
        """From the last one that had surely closed before the other ended."""
        if mark.time is None:
            return
        span_ms = TIMEFRAMES_MS[timeframe]
        start = (mark.time - _MARGIN_MS) // span_ms * span_ms - span_ms
        self._continuity.feeds.candles.resume(symbol, timeframe, start)
