"""Custody of lossless messages from the moment they are made until the broker confirms them.

They go to the publisher while it works, else to the disk; each is in one of the two, counted.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.clock import Clock
from shared.config import Settings
from shared.ledger import Ledger
from shared.publisher import MIB, Outcome, Publication, Publisher
from shared.spool import ERRORS, Spool
from shared.spool_file import Locked
from shared.symbols import encode_word

#: A connection that is lost and found within this time costs no write to the disk.
_AWAY_S = 1.0
_LOOK_S = 0.05
#: How many messages of a spool are handed on in one go.
_REFILL = 250
ADOPT_S = 30.0
#: What an ordered end leaves for writing the rest to disk.
_RESCUE_S = 1.0

log = logging.getLogger("rabbitmq")

OnDropped = Callable[[Publication, str], None]
"""Told of each lossless message, batches too, that ends without a confirm, and why: `overflow`,
`spool_full`, `spool_failed`, an `Outcome` but CONFIRMED, or `spool_unreadable`. Of the last the
body is empty, see `shared.spool.Books`."""


@dataclass(frozen=True, slots=True)
class SpoolPlace:
    """Where a worker's spool is, beside those of the venue's other workers, and its bound."""

    path: Path
    limit_mb: int = 1024

    @classmethod
    def of(cls, settings: Settings, venue: str, worker: str) -> "SpoolPlace":
        name = f"{encode_word(worker).replace('/', '%2F')}.db"
        path = settings.environment.home / "spool" / encode_word(venue) / name
        return cls(path, settings.config.rabbitmq.spool_mb)


class Custody:
    """Owns the lossless publisher's spools: its own, and those of dead workers that it adopted."""

    def __init__(
        self, publisher: Publisher, place: SpoolPlace | None, ledger: Ledger, clock: Clock
    ) -> None:
        self.suspended = False  # whether messages go to the disk
        self.on_dropped: OnDropped = lambda message, reason: None
        self._publisher = publisher
        self._ledger = ledger
        self._clock = clock
        self._spool = self._new_spool(place.path, place.limit_mb * MIB) if place else None
        self._adopted: list[Spool] = []
        self._away_since: float | None = clock.monotonic()
        self._order = 0
        self._open: dict[int, None] = {}  # orders neither settled nor on disk, rising
        self._refusing: str | None = None

    @property
    def spools(self) -> list[Spool]:
        return [*([self._spool] if self._spool else []), *self._adopted]

    @property
    def empty(self) -> bool:
        return all(spool.empty for spool in self.spools)

    def mark(self) -> int:
        """A moment, for `settled_up_to`."""
        return self._order

    def settled_up_to(self, mark: int) -> bool:
        """Whether all that was put before `mark` is confirmed, dropped and told, or on disk."""
        return next(iter(self._open), mark + 1) > mark

    def reserve(self) -> int:
        """The order of a message that is not complete yet: a batch that its first row opens."""
        self._order += 1
        self._open[self._order] = None
        return self._order

    def put(self, message: Publication) -> bool:
        """Take a message; False where it had to be dropped, which is counted and told."""
        if not message.order:
            message.order = self.reserve()
        if self.suspended:
            return self._to_spool(message)
        if self._publisher.offer(message):
            self._refusing = None
            return True
        if self._spool is None:
            return self._drop(message, "overflow")
        self._move_waiting()
        return self._to_spool(message)

    def settled(self, message: Publication, outcome: Outcome) -> bool:
        """Hear how the publisher settled a message; whether that is its end."""
        keeper = message.keeper
        if outcome is Outcome.RETURNED and keeper is None and self._spool is not None:
            self._to_spool(message)
            return False
        message.ended = True
        if keeper is not None:
            keeper.settled(message)
        if outcome is not Outcome.CONFIRMED:
            self.on_dropped(message, outcome.value)
        self._open.pop(message.order, None)
        return True

    def spooled(self) -> Counter[str]:
        """Facts on disk, by label."""
        return sum((spool.rows for spool in self.spools), Counter())

    def messages(self) -> Iterator[Publication]:
        """What waits in memory for a disk."""
        for spool in self.spools:
            yield from spool.messages()

    async def run(self) -> None:
        """Write, drain and adopt, for ever."""
        if self._spool is None:
            await self._look_forever()
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._spool.run())
                tasks.create_task(self._look_forever())
                tasks.create_task(self._drain_forever())
                tasks.create_task(self._adopt_forever())
        finally:
            self._rescue()
            for spool in self.spools:
                await spool.close(delete=True)

    async def drain(self, deadline_s: float) -> bool:
        """Until every message is confirmed or on disk; False where neither worked in time.

        What is still unconfirmed near the deadline is written to disk as well: then a later run
        sends it again should it have been lost.
        """
        if self._spool is None:
            return await self._publisher.drain(deadline_s)
        end = self._clock.monotonic() + deadline_s
        while self._own_pending() and not self.suspended:
            if self._clock.monotonic() > end - _RESCUE_S or await self._publisher.drain(0.05):
                break
            self._look()
        self._rescue()
        return await self._spool.flush() and self._spool.written

    def _rescue(self) -> None:
        """Everything that is not on disk goes there, what is on the wire as well."""
        self.suspended = True
        self._move_waiting()
        waiting = {id(message) for message in self.messages()}
        for message in list(self._publisher.messages()):
            if message.keeper is None and id(message) not in waiting:
                self._to_spool(message)

    def _own_pending(self) -> bool:
        return any(message.keeper is None for message in self._publisher.messages())

    async def _look_forever(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(_LOOK_S)

    def _look(self) -> None:
        """Decide whether the broker takes messages; move what waits for one that does not."""
        publisher, now = self._publisher, self._clock.monotonic()
        if publisher.connected:
            self._away_since = None
        elif self._away_since is None:
            self._away_since = now
        away = self._away_since is not None and now - self._away_since > _AWAY_S
        self._suspend((away or publisher.stalled) and self._spool is not None)
        if self.suspended:
            self._move_waiting()

    def _suspend(self, suspended: bool) -> None:
        if suspended and not self.suspended:
            log.warning("The broker takes nothing: lossless messages go to the disk")
        elif self.suspended and not suspended:
            log.info("The broker takes messages again; %d facts are on disk", self._facts())
        self.suspended = suspended

    def _facts(self) -> int:
        return self.spooled().total()

    def _move_waiting(self) -> None:
        """What waits in memory goes to the disk, in order."""
        for message in self._publisher.withdraw():
            if message.keeper is None:
                self._to_spool(message)

    def _to_spool(self, message: Publication) -> bool:
        assert self._spool is not None
        reason = self._spool.put(message)
        if reason is not None:
            return self._drop(message, reason)
        self._refusing = None
        return True

    def _drop(self, message: Publication, reason: str) -> bool:
        self._ledger[message.label].dropped[reason] += message.rows
        if self._refusing != reason:
            self._refusing = reason
            log.error("Lossless messages are dropped and counted: %s", reason)
        self.on_dropped(message, reason)
        self._open.pop(message.order, None)
        return False

    async def _drain_forever(self) -> None:
        """Hand what is on disk to a publisher that works; behind live messages, see `Backlog`."""
        while True:
            for spool in self.spools if not self.suspended and self._publisher.connected else ():
                await self._drain(spool)
            for spool in self._adopted:
                await spool.flush()
            await self._leave_empty()
            await asyncio.sleep(_LOOK_S / 2)

    async def _drain(self, spool: Spool) -> None:
        """There may be less room behind by the time that a page is read."""
        page = await spool.fetch(min(_REFILL, self._publisher.room_behind))
        for taken, message in enumerate(page):
            if not self._publisher.offer_behind(message):
                spool.put_back(page[taken:])
                return

    async def _adopt_forever(self) -> None:
        while True:
            await self._adopt()
            await self._clock.sleep(ADOPT_S)

    async def _adopt(self) -> None:
        """Take the spools of this venue whose owner is gone."""
        assert self._spool is not None
        ours = {spool.path for spool in self.spools}
        for path in sorted(self._spool.path.parent.glob("*.db")):
            if path not in ours:
                await self._take_over(path)

    async def _take_over(self, path: Path) -> None:
        spool = self._new_spool(path, 0)
        try:
            await spool.open()
        except Locked:
            await spool.close()
            return
        except ERRORS as error:
            log.error("The spool %s can not be adopted: %s", path.name, error)
            await spool.close()
            return
        self._adopted.append(spool)
        log.info("Adopted the spool %s with %d facts", path.name, spool.rows.total())

    async def _leave_empty(self) -> None:
        for spool in [spool for spool in self._adopted if spool.empty]:
            self._adopted.remove(spool)
            await spool.close(delete=True)

    def _new_spool(self, path: Path, limit_bytes: int) -> Spool:
        return Spool(path, limit_bytes, self)

    def found(self, rows: Counter[str]) -> None:
        for label, count in rows.items():
            self._ledger[label].spooled_at_start += count

    def kept(self, message: Publication) -> None:
        self._open.pop(message.order, None)

    def unreadable(self, message: Publication) -> None:
        if message.rows:
            self._ledger[message.label].dropped["spool_unreadable"] += message.rows
        self.on_dropped(message, "spool_unreadable")
