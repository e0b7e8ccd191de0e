"""The part of a collector that shares its venue's symbols with other workers."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.budget import Budget
from shared.clock import Clock
from shared.kinds import TRADES
from shared.outbox import Origin
from shared.status import Holdings, State, TradeMark
from workers.collector.catalogue.row import StreamKind, Subscription, Venue
from workers.collector.continuity.continuity import Continuity
from workers.collector.continuity.gaps import Place
from workers.collector.desired import DesiredSymbols
from workers.collector.sharing.inheritance import Inheritance
from workers.collector.sharing.ownership import REPAIR_S, Ownership
from workers.collector.sharing.peers import GAPS_TOLD, Peers
from workers.collector.trades.trades import Trades

LOOK_S = 0.25
_SAVE_S = 10.0
#: Streams without which a symbol does not flow.
_VITAL = (StreamKind.QUOTE, StreamKind.TRADES)

_mark: TypeAdapter[TradeMark] = TypeAdapter(TradeMark)


@dataclass(frozen=True, slots=True)
class Member:
    """Which worker this is, of which venue, and from where it speaks to that."""

    row: Venue
    origin: Origin
    egress: str


class Sharing:
    """Says what to collect, what is had, and from where to go on."""

    def __init__(
        self,
        member: Member,
        desired: DesiredSymbols,
        continuity: Continuity,
        trades: Trades,
        timeframes: Collection[str],
        path: Path,
    ) -> None:
        self._member, self._origin = member, member.origin
        self._desired, self._continuity = desired, continuity
        self._clock: Clock = continuity.clock
        self._vital = [kind for kind in _VITAL if kind in member.row.streams]
        self._held: Collection[str] = ()
        self._live_since: dict[str, float] = {}
        self._followed: frozenset[str] = frozenset()  # what was wanted at last
        self.peers = Peers(self._origin.worker, self._origin.exchange, path, self._clock)
        self.ownership = Ownership(self._origin.worker, self.peers, self._clock)
        self.ownership.is_repairing = lambda symbol: Place(TRADES, symbol) in continuity.gaps
        self.inheritance = Inheritance(self.peers, continuity, trades, timeframes)
        desired.on_holdings = self.peers.hear

    def wanted(self, held: Collection[str]) -> list[str]:
        """What to collect now, where this is collected."""
        wanted = self._due(held)
        self._followed = frozenset(wanted)
        return wanted

    def _due(self, held: Collection[str]) -> list[str]:
        desired = self._desired
        return self.ownership.wanted(desired.told, desired.symbols, held)

    def share_budget(self, budget: Budget) -> None:
        """Workers behind one address have the venue's limits together."""
        told, worker = self._desired.told, self._origin.worker
        others = told.peers_of(worker) if told else []
        same = sum(peer.egress == self._member.egress for peer in others)
        budget.share(1 / (1 + same))

    def collected(self, symbols: Collection[str]) -> None:
        """These are collected now; what is new among them may have been another's."""
        added, gone = set(symbols).difference(self._held), set(self._held).difference(symbols)
        if self._desired.is_shared:
            marks = self._marks()
            for symbol in gone & marks.keys():
                self.peers.remember(symbol, marks[symbol])
        if self._desired.told is not None:
            self.peers.keep(self._desired.told.symbols)
        self.inheritance.forget(gone)
        self._held = tuple(symbols)
        self.inheritance.take_up(sorted(added))

    async def run(self) -> None:
        """Look after what moves, for ever."""
        saved_at = self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_S)
            self.inheritance.look()
            lent = self.ownership.lent(self._desired.told, self._held)
            if lent and self._followed != frozenset(self._due(self._held)):
                self._desired.changed.set()
            if self._clock.monotonic() - saved_at >= _SAVE_S:
                saved_at = self._clock.monotonic()
                await self.peers.save()

    async def hand_over(self, deadline_s: float) -> None:
        """Wait until the others have all that is collected here, where there are others: the
        coordinator has heard our goodbye, and the broker is there to carry it."""
        end = self._clock.monotonic() + deadline_s
        while self._held and self._desired.is_shared and self._desired.mailbox is not None:
            if self._clock.monotonic() >= end:
                return
            await asyncio.sleep(LOOK_S / 2)

    def let_go(self) -> None:
        """Say that nothing is collected here any more: whoever takes it up goes on from now."""
        self._held = ()

    def live(self) -> list[str]:
        """The symbols whose best prices and trades flow."""
        is_up = self._continuity.is_up
        return [s for s in self._held if all(is_up(Subscription(k, s)) for k in self._vital)]

    def _whole(self, live: Collection[str]) -> list[str]:
        """The symbols of which all flows. Where that is not so for long, what is live has to do:
        else a book that never gets right would be collected twice for ever."""
        now = self._clock.monotonic()
        self._live_since = {symbol: self._live_since.get(symbol, now) for symbol in live}
        late = now - REPAIR_S
        is_whole = self._continuity.is_whole
        return [s for s, since in self._live_since.items() if since <= late or is_whole(s)]

    def holdings(self, state: State) -> Holdings:
        """What to tell the others."""
        is_shared, live = self._desired.is_shared, self.live()
        return Holdings(
            exchange=self._origin.exchange,
            worker=self._origin.worker,
            epoch=self._origin.epoch,
            state=state,
            revision=self._desired.revision,
            collected=list(self._held),
            live=live,
            whole=self._whole(live) if is_shared else [],
            marks=self._marks() if is_shared else {},
            gaps=self._continuity.gaps.all()[:GAPS_TOLD] if is_shared else [],
        )

    def _marks(self) -> dict[str, TradeMark]:
        safe: Mapping[str, Any] = self._continuity.watermarks.safe(TRADES.name)
        marks: dict[str, TradeMark] = {}
        for symbol in self._held:
            try:
                if symbol in safe:
                    marks[symbol] = _mark.validate_python(tuple(safe[symbol]))
            except ValidationError:
                continue  # a time that can not be true
        return marks
