"""Where a later run goes on: the last thing of each symbol and kind."""

from collections.abc import Callable, Iterable, Iterator

from shared.clock import Clock
from shared.kinds import LIQUIDATION, ORDERBOOK, TICKER, TRADES, Kind
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.continuity.feeds import Feeds
from workers.collector.continuity.gaps import NOWHERE, Gaps, Mark, Place
from workers.collector.continuity.watermarks import Marks
from workers.collector.parts import Parts

#: Marks of latest kinds change all the time and repair nothing: they are noted this often.
_LATEST_S = 5.0


class Bookmarks:
    """Where a gap is open, the last thing before it."""

    def __init__(
        self, feeds: Feeds, gaps: Gaps, clock: Clock, is_up: Callable[[Subscription], bool]
    ) -> None:
        self._feeds, self._gaps, self._clock, self._is_up = feeds, gaps, clock, is_up
        self._latest: Marks = {}
        self._latest_due = 0.0

    def of(self, symbols: Iterable[Parts]) -> Marks:
        """By kind and symbol, as `parsed` reads them; some kinds are kept by their own feeds."""
        symbols, feeds, now = list(symbols), self._feeds, self._clock.monotonic()
        if now >= self._latest_due:
            self._latest_due = now + _LATEST_S
            self._latest = {
                "orderbook": dict(self._marks(symbols, ORDERBOOK, _book_mark)),
                "ticker": dict(self._marks(symbols, TICKER, _quote_mark)),
                "liquidation": dict(self._marks(symbols, LIQUIDATION, self._forced_mark)),
            }
        return self._latest | {
            "trades": dict(self._marks(symbols, TRADES, self._trade_mark)),
            "ohlcv": feeds.candles.last_closed(),
            "funding": dict(feeds.settlements.published),
        }

    def _marks(
        self, symbols: list[Parts], kind: Kind, mark_of: Callable[[Parts], Mark]
    ) -> Iterator[tuple[str, list[object]]]:
        for parts in symbols:
            mark = self._gaps.last(Place(kind, parts.symbol)) or mark_of(parts)
            if mark != NOWHERE:
                yield parts.symbol, list(mark)

    def _trade_mark(self, parts: Parts) -> Mark:
        return self._feeds.trades.flow(parts.symbol).last

    def _forced_mark(self, parts: Parts) -> Mark:
        """Nothing was missed while the stream is up; no liquidation says so by itself."""
        up = self._is_up(Subscription(StreamKind.LIQUIDATIONS, parts.symbol))
        return Mark(None, self._clock.now_ms()) if up else NOWHERE


def _book_mark(parts: Parts) -> Mark:
    book = parts.book
    if book is None or book.update_id is None:
        return NOWHERE
    return Mark(str(book.update_id), book.timestamp)


def _quote_mark(parts: Parts) -> Mark:
    pulse = parts.pulses.get(StreamKind.QUOTE)
    return Mark(None, pulse.event_time or None) if pulse else NOWHERE


def parsed(content: object) -> Mark | None:
    """A mark that a run before this one kept; None for anything else."""
    match content:
        case [str() | None as key, int() | None as time] if (key, time) != (None, None):
            return Mark(key, time)
    return None
