"""Coverage: what this worker had without a break, told each ten seconds and kind."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from shared.completeness import Coverage
from shared.encoding import encoded
from shared.fact import Fact
from shared.kinds import COVERAGE, Kind
from shared.symbolset import Revision
from workers.collector.publishing import Publishing

INTERVAL_S = 10.0
#: A process that stood still, or a clock that was set: what was meanwhile nobody can claim.
_STOOD_STILL_MS = 2_000 * INTERVAL_S


@dataclass(slots=True)
class _Span:
    """The row of one kind that grows."""

    begin: int
    revision: Revision | None
    symbols: int
    exceptions: dict[str, str]


@dataclass(slots=True)
class _Window:
    """Which symbols were broken since the last row, and why first."""

    broken: dict[str, str] = field(default_factory=dict)


class Coverages:
    """A symbol that is broken at any moment between two rows is an exception of that time."""

    def __init__(
        self,
        publishing: Publishing,
        worker: str,
        epoch: str,
        broken_now: Callable[[Kind], dict[str, str]],
    ) -> None:
        self._publishing = publishing
        self._worker, self._epoch = worker, epoch
        self._broken_now = broken_now
        self._spans: dict[str, _Span] = {}
        self._windows: dict[str, _Window] = {}
        self._until: dict[str, int] = {}

    def broke(self, kind: Kind, symbol: str, reason: str) -> None:
        """Heard at once: a break of a moment counts for its whole window."""
        self._windows.setdefault(kind.name, _Window()).broken.setdefault(symbol, reason)

    def tell(self, kinds: Iterable[Kind], symbols: int, revision: Revision | None) -> None:
        """A row for each kind, from the last change of anything until now."""
        for kind in kinds:
            self._tell(kind, symbols, revision)

    def _tell(self, kind: Kind, symbols: int, revision: Revision | None) -> None:
        now, told = self._publishing.clock.now_ms(), self._until.get(kind.name)
        if told is not None and not 0 <= now - told <= _STOOD_STILL_MS:
            self._until[kind.name] = now
            self._spans.pop(kind.name, None)
        still = self._broken_now(kind)
        window = self._windows.pop(kind.name, _Window())
        exceptions = dict(sorted((window.broken | still).items()))
        self._windows[kind.name] = _Window(dict(still))
        span = self._spans.get(kind.name)
        if span is None or (span.revision, span.symbols, span.exceptions) != (
            revision,
            symbols,
            exceptions,
        ):
            begin = self._until.get(kind.name, now)
            span = self._spans[kind.name] = _Span(begin, revision, symbols, exceptions)
        self._until[kind.name] = now
        if now > span.begin:
            self._put(kind, span, now)

    def _put(self, kind: Kind, span: _Span, now: int) -> None:
        row = Coverage(
            exchange=self._publishing.exchange,
            kind=kind.name,
            worker=self._worker,
            epoch=self._epoch,
            begin=span.begin,
            until=now,
            revision=span.revision,
            symbols=span.symbols,
            exceptions=span.exceptions,
        )
        body = encoded(row.model_dump(mode="json", by_alias=True))
        key = f"{self._worker}:{self._epoch}:{kind.name}:{span.begin}:{now}"
        self._publishing.put(Fact(COVERAGE, "", body, now, key, kind.name))
