"""Frames and messages that did not validate: counted, logged once a cause, the last ones kept."""

import logging
from collections import Counter, OrderedDict, deque

_KEPT = 100
_CAUSES = 1000
_SAMPLE_CHARS = 512


class Quarantine:
    """Bounded in what it keeps and in what it remembers; counts go on."""

    def __init__(self, log: logging.Logger) -> None:
        self.counts: Counter[str] = Counter()
        self.kept: deque[tuple[str, str]] = deque(maxlen=_KEPT)  # cause and the start of it
        self._log = log
        self._known: OrderedDict[str, None] = OrderedDict()

    def put(self, what: str, error: Exception, sample: object) -> None:
        """Set `sample` aside; `what` names its kind, as in "trade of BTC/USDT:USDT"."""
        cause = f"{what}: {type(error).__name__}"
        self.counts[what] += 1
        self.kept.append((f"{cause}: {error}", repr(sample)[:_SAMPLE_CHARS]))
        if cause in self._known:
            return
        self._known[cause] = None
        if len(self._known) > _CAUSES:
            self._known.popitem(last=False)
        detail = str(error).splitlines()[0] if str(error) else ""
        self._log.warning("Set aside an invalid %s (%s)", cause, detail)

    @property
    def total(self) -> int:
        return self.counts.total()
