"""Lossless messages that got no further: what was in them is fetched again, or named in a gap."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from shared.batch import decoded
from shared.kinds import COVERAGE, GAP, TASK, TRADES, Kind
from shared.publisher import Outcome, Publication
from shared.symbols import symbol_key
from shared.topology import BATCHES
from workers.collector.continuity.coverage import Coverages
from workers.collector.continuity.gaps import NOWHERE, Closing, Gaps, Mark, Place
from workers.collector.continuity.refill import Refill
from workers.collector.trades.trades import Trades

#: Others have such a message, or nobody wanted it: one careless reader costs no one else anything.
_NOT_LOST = frozenset({Outcome.REFUSED.value, Outcome.RETURNED.value})


class Losses:
    """Hears of each message that neither the broker nor the disk took, or that a disk lost."""

    def __init__(self, gaps: Gaps, coverage: Coverages, trades: Trades, refill: Refill) -> None:
        self._gaps, self._coverage = gaps, coverage
        self._trades, self._refill = trades, refill
        self._symbols: dict[str, str] = {}  # by their word in routing keys

    def set_symbols(self, symbols: Iterable[str]) -> None:
        self._symbols = {symbol_key(symbol): symbol for symbol in symbols}

    def on_dropped(self, message: Publication, reason: str) -> None:
        """`reason` is one of `shared.custody.OnDropped`."""
        if reason in _NOT_LOST or message.kind is TASK:  # the facts in a result have their own way
            return
        if not message.body:
            self._unreadable(message, reason)
            return
        for kind, body in _bodies(message):
            is_collected = body["symbol"] in self._symbols.values()
            if is_collected:
                self._coverage.broke(kind, body["symbol"], reason)
            if is_collected and kind is TRADES and reason != Outcome.UNENCODABLE.value:
                self._fetch_again(body, reason)
            else:
                place = Place(kind, body["symbol"], body.get("timeframe") or "")
                self._name(place, reason, _before(body), 1)

    def _fetch_again(self, trade: dict[str, Any], reason: str) -> None:
        symbol = trade["symbol"]
        key = self._trades.flow(symbol).unpublished(trade["id"], trade["fills"])
        begin = Mark(key, _before(trade).time)
        self._gaps.open(Place(TRADES, symbol), f"dropped: {reason}", begin)
        self._refill.want(symbol)

    def _unreadable(self, message: Publication, reason: str) -> None:
        """Only its routing key may still be known, and else its kind alone."""
        if message.kind in (GAP, COVERAGE):
            return
        words = message.routing_key.split(".")
        is_known = len(words) > 2
        symbols = [self._symbols.get(words[2])] if is_known else list(self._symbols.values())
        before = Mark(None, message.timestamp_ms - 1) if message.timestamp_ms else NOWHERE
        for symbol in symbols:
            if symbol is not None:
                self._coverage.broke(message.kind, symbol, reason)
                place = Place(message.kind, symbol)
                self._name(place, reason, before, message.rows if is_known else None)

    def _name(self, place: Place, reason: str, before: Mark, missing: int | None) -> None:
        if place in self._gaps:
            return  # which ends later than this
        self._gaps.open(place, f"dropped: {reason}", before)
        self._gaps.close(place, Closing("unrepairable", missing=missing))


def _bodies(message: Publication) -> Iterator[tuple[Kind, dict[str, Any]]]:
    """The facts of a message that are about a symbol: its body, or each row of a batch."""
    content = orjson.loads(decoded(message.body, message.content_encoding))
    rows = content["rows"] if message.exchange == BATCHES else [content]
    for row in rows:
        if row.get("symbol") and "opened_at" not in row:  # gaps speak for others
            yield message.kind, row


def _before(body: dict[str, Any]) -> Mark:
    """The last point before what is lost, as far as that has a time."""
    time = body.get("start", body.get("timestamp"))
    return NOWHERE if time is None else Mark(None, time - 1)
