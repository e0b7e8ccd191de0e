"""What the other workers of the venue say that they have."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.clock import Clock
from shared.files import read_json, write_json
from shared.kinds import TRADES
from shared.status import Holdings, TradeMark
from shared.symbolset import Revision

#: Open gaps that a word tells of; with more, any symbol may have one.
GAPS_TOLD = 200
#: Without a word for so long a peer has nothing any more: it speaks each two seconds.
SILENT_S = 4.5
#: Peers, and symbols with a mark, that are remembered.
_MAX_PEERS = 100
_MAX_MARKS = 5000
#: A mark further ahead of our clock than this says nothing: it would never be passed.
_AHEAD_MS = 600_000

_marks = TypeAdapter(dict[str, TradeMark])

log = logging.getLogger("main")


@dataclass(frozen=True, slots=True)
class Word:
    """The last of a peer, and when it was heard (monotonic seconds)."""

    worker: str
    revision: Revision | None
    heard_at: float
    collected: frozenset[str]
    whole: frozenset[str]  # of which all flows
    trading: frozenset[str]  # of which no trade is missing

    @classmethod
    def of(cls, said: Holdings, heard_at: float) -> "Word":
        gapped = {gap.symbol for gap in said.gaps if gap.kind == TRADES.name}
        trading = frozenset() if len(said.gaps) >= GAPS_TOLD else frozenset(said.live) - gapped
        whole = frozenset(said.live if said.whole is None else said.whole)
        collected = frozenset(said.collected)
        return cls(said.worker, said.revision, heard_at, collected, whole, trading)


class Peers:
    """Keeps the last word of each, and of each symbol the last trade that any of them had safe.

    The marks are on disk too: whose peer ends while this worker is away goes on from there.
    """

    def __init__(self, worker: str, exchange: str, path: Path, clock: Clock) -> None:
        self.on_heard: Callable[[], None] = lambda: None
        self._worker, self._exchange, self._clock = worker, exchange, clock
        self._path = path
        self._words: dict[str, Word] = {}  # by worker, longest silent first
        self._marks: dict[str, TradeMark] = _parsed(read_json(path))
        self._written: dict[str, TradeMark] = dict(self._marks)

    def hear(self, holdings: Holdings) -> None:
        """Take a word; our own, and those about another venue, are none."""
        if holdings.worker == self._worker or holdings.exchange != self._exchange:
            return
        self._words.pop(holdings.worker, None)
        self._words[holdings.worker] = Word.of(holdings, self._clock.monotonic())
        while len(self._words) > _MAX_PEERS:
            del self._words[next(iter(self._words))]
        latest = self._clock.now_ms() + _AHEAD_MS
        for symbol, mark in holdings.marks.items():
            if (mark[1] or 0) <= latest and _is_newer(mark, self._marks.get(symbol)):
                self._marks.pop(symbol, None)
                self._marks[symbol] = mark
        while len(self._marks) > _MAX_MARKS:
            del self._marks[next(iter(self._marks))]
        self.on_heard()

    def speaking(self) -> Iterator[Word]:
        """The last words of those who are there."""
        now = self._clock.monotonic()
        return (word for word in self._words.values() if now - word.heard_at < SILENT_S)

    def has_whole(self, symbol: str, owner: str, since: Revision) -> bool:
        """Whether the owner of a symbol says that all of it flows there, knowing that it is the
        owner."""
        word = self._words.get(owner)
        if word is None or self._clock.monotonic() - word.heard_at >= SILENT_S:
            return False
        applied = word.revision
        knows = applied is not None and not since.replaces(applied)
        return (knows or applied == since) and symbol in word.whole

    def collecting(self, symbol: str, heard_after: float) -> bool:
        """Whether a peer has said, after a moment, that it collects a symbol."""
        return any(
            word.heard_at > heard_after and symbol in word.collected for word in self.speaking()
        )

    def trading(self, symbol: str, heard_after: float) -> bool:
        """Whether a peer has said, after a moment, that it misses no trade of a symbol."""
        return any(
            word.heard_at > heard_after and symbol in word.trading for word in self.speaking()
        )

    def remember(self, symbol: str, mark: TradeMark) -> None:
        """Our own last trade of a symbol that others have from now on, whatever they said of it
        before."""
        self._marks.pop(symbol, None)
        self._marks[symbol] = mark

    def forget(self, symbol: str) -> None:
        """It is ours: our own marks say where to go on."""
        self._marks.pop(symbol, None)

    def mark(self, symbol: str) -> TradeMark | None:
        """The newest trade of a symbol that any peer had safe; None where none said so."""
        return self._marks.get(symbol)

    def keep(self, symbols: Collection[str]) -> None:
        """Forget what was said of others: nobody collects them, and who does later begins anew."""
        wanted = frozenset(symbols)
        self._marks = {symbol: mark for symbol, mark in self._marks.items() if symbol in wanted}

    async def save(self) -> None:
        """Keep the marks. A disk that refuses costs a later run a longer refill, no more."""
        marks = dict(self._marks)
        if marks == self._written:
            return
        try:
            await asyncio.to_thread(write_json, self._path, marks, durable=False)
            self._written = marks
        except OSError as error:
            log.error("What other workers have can not be kept on disk: %s", error)


def _is_newer(mark: TradeMark, known: TradeMark | None) -> bool:
    return known is None or (mark[1] or 0) >= (known[1] or 0)


def _parsed(content: Any) -> dict[str, TradeMark]:
    """What `save` wrote, without anything that is not."""
    try:
        return _marks.validate_python(content)
    except ValidationError:
        return {}
