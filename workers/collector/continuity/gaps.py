"""The gaps of a worker: at most one a stream, told when it opens and when it closes."""

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError

from shared.completeness import Gap, GapState
from shared.encoding import encoded
from shared.fact import Fact
from shared.kinds import GAP, Kind
from workers.collector.publishing import Publishing


class Mark(NamedTuple):
    """A point of a stream: the key of what stands there, and its venue time in ms."""

    key: str | None
    time: int | None


NOWHERE = Mark(None, None)


class Place(NamedTuple):
    """The stream of a gap."""

    kind: Kind
    symbol: str
    timeframe: str = ""


@dataclass(frozen=True, slots=True)
class Closing:
    """How a gap ended; see `shared.completeness.Gap`."""

    state: GapState
    first: Mark = NOWHERE
    missing: int | None = None
    recovered: int = 0
    absent: int = 0


class Gaps:
    """Opens, tells and closes them.

    While `held`, what is told waits for `release`: open gaps have to be on disk first, so that none
    stays open for ever whose run was killed. The next run adopts them from there.
    """

    def __init__(self, publishing: Publishing, worker: str, epoch: str) -> None:
        self.held = False
        self.opened = 0
        self.unrepairable = 0
        self._untold: list[Gap] = []
        self._kept = 0  # so many of these are told with the next `release`
        self._publishing = publishing
        self._worker, self._epoch = worker, epoch
        self._open: dict[Place, Gap] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, place: Place) -> bool:
        return place in self._open

    def all(self) -> list[Gap]:
        """Those that are open."""
        return list(self._open.values())

    def last(self, place: Place) -> Mark | None:
        """Where the open gap of a stream begins; None where none is open."""
        gap = self._open.get(place)
        return None if gap is None else Mark(gap.last_key, gap.last_time)

    def reasons(self, kind: Kind) -> dict[str, str]:
        """Why, by symbol, of the open gaps of a kind."""
        return {
            place.symbol: gap.reason
            for place, gap in self._open.items()
            if place.kind.name == kind.name
        }

    def open(self, place: Place, reason: str, last: Mark) -> None:
        """A gap that is open already goes on: it begins earlier."""
        known = self._open.get(place)
        if known is not None:
            self._begin_earlier(place, known, last)
            return
        now = self._publishing.clock.now_ms()
        gap = Gap(
            id=self._new_id(place),
            rev=1,
            exchange=self._publishing.exchange,
            symbol=place.symbol,
            kind=place.kind.name,
            timeframe=place.timeframe or None,
            state="open",
            reason=reason,
            opened_at=now,
            last_key=last.key,
            last_time=last.time,
            worker=self._worker,
            epoch=self._epoch,
        )
        self.opened += 1
        self._open[place] = gap
        self._tell(gap)

    def _begin_earlier(self, place: Place, gap: Gap, last: Mark) -> None:
        if last.time is None or gap.last_time is None or last.time >= gap.last_time:
            return
        begin = {"rev": gap.rev + 1, "last_key": last.key, "last_time": last.time}
        self._open[place] = gap.model_copy(update=begin)
        self._tell(self._open[place])

    def close(self, place: Place, closing: Closing) -> None:
        gap = self._open.pop(place, None)
        if gap is None:
            return
        self.unrepairable += closing.state == "unrepairable"
        ended = {
            "rev": gap.rev + 1,
            "state": closing.state,
            "closed_at": self._publishing.clock.now_ms(),
            "first_key": closing.first.key,
            "first_time": closing.first.time,
            "missing": closing.missing,
            "recovered": closing.recovered,
            "absent": closing.absent,
        }
        self._tell(gap.model_copy(update=ended))

    def forget(self, symbol: str) -> None:
        """The symbol is not collected any more: what is open stays unrepaired."""
        for place in [place for place in self._open if place.symbol == symbol]:
            self.close(place, Closing("unrepairable"))

    def release(self) -> None:
        """Tell what was held back when `kept` was last asked for."""
        told, self._untold = self._untold[: self._kept], self._untold[self._kept :]
        self._kept = 0
        for gap in told:
            self._put(gap)

    def kept(self) -> dict[str, Any]:
        """The open gaps, by id, as `adopt` takes them: to be on disk before `release`."""
        self._kept = len(self._untold)
        return {gap.id: dict(gap.__dict__) for gap in self._open.values()}

    def adopt(self, place: Place, kept: object) -> bool:
        """Go on with a gap that a killed run left open; False for what is none.

        That run may have told of its end without keeping that: this tells again that it is open.
        """
        try:
            gap = Gap.model_validate(kept)
        except ValidationError:
            return False
        mine = {"rev": gap.rev + 2, "worker": self._worker, "epoch": self._epoch}
        self._open[place] = gap.model_copy(update=mine)
        self.opened += 1
        self._tell(self._open[place])
        return True

    def _tell(self, gap: Gap) -> None:
        if self.held:
            self._untold.append(gap)
        else:
            self._put(gap)

    def _put(self, gap: Gap) -> None:
        body = encoded(gap.__dict__)
        now = gap.closed_at or gap.opened_at
        self._publishing.put(Fact(GAP, gap.symbol, body, now, f"{gap.id}:{gap.rev}"))

    def _new_id(self, place: Place) -> str:
        """Never given before: this run's number of the gap is part of it."""
        named = (self._publishing.exchange, self._worker, self._epoch, place.kind.name)
        digest = hashlib.blake2b(repr((*named, *place[1:], self.opened)).encode(), digest_size=12)
        return digest.hexdigest()
