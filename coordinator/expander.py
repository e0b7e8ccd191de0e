"""What entries mean on each venue, and which symbols its market list lacks: kept in the log."""

import logging
from collections.abc import Mapping
from enum import Enum

from coordinator.leadership import Leadership
from coordinator.listings import Listings
from coordinator.log import RegistryLog
from coordinator.ranking import RankingTimes
from coordinator.records import Listed
from coordinator.registry import Registry
from shared.clock import Clock
from shared.config import MAX_SYMBOLS
from shared.entries import expanded, is_entry, is_ranking
from shared.errors import BrokerError, CommandError

LOOK_S = 1.0

log = logging.getLogger("main")


class Ranking(Enum):
    """Which rankings are to be made."""

    NONE = "none"  # what is traded is not known
    NEW = "new"  # of entries that have none
    ALL = "all"


class Expander:
    """Looks at the market lists each second; rankings are made anew when they are due."""

    def __init__(
        self,
        registry_log: RegistryLog,
        leadership: Leadership,
        listings: Listings,
        rankings: RankingTimes,
        clock: Clock,
    ) -> None:
        self._log = registry_log
        self._leadership = leadership
        self._listings = listings
        self._rankings = rankings
        self._clock = clock

    async def run(self) -> None:
        """Expand, for ever."""
        while True:
            await self._clock.sleep(LOOK_S)
            if not self._log.leading or not self._log.registry.seeded:
                self._rankings.forget()
                continue
            try:
                for venue in list(self._log.registry.exchanges):
                    await self._look(venue)
            except (BrokerError, CommandError) as error:
                log.debug("The entries can not be expanded: %s", error)

    async def _look(self, venue: str) -> None:
        listed = self._listings.known(venue)
        if not listed or venue in self._log.registry.disabled:
            return
        ranking = Ranking.NONE
        if self._listings.ranked(venue):
            ranking = Ranking.ALL if self._rankings.due(venue) else Ranking.NEW
        op = meaning(self._log.registry, venue, listed, ranking)
        if ranking is Ranking.ALL:
            self._rankings.ranked(venue)
        if op is None:
            return
        before = set(self._log.registry.unlisted.get(venue, ()))
        if await self._leadership.operate(op):
            for symbol in sorted(set(op.unlisted) - before):
                log.warning("Symbol %s is not listed on %s", symbol, venue)
            for symbol in sorted(before - set(op.unlisted)):
                log.info("Symbol %s is listed on %s, or not asked for any more", symbol, venue)


def meaning(
    registry: Registry, venue: str, listed: Mapping[str, float | None], ranking: Ranking
) -> Listed | None:
    """What changed in what a venue's market list means; None where nothing did. A ranking that
    was made and is not made anew stays, but for symbols that are listed no more."""
    named = registry.desired.named(venue)
    known = registry.desired.expansions.get(venue, {})
    meant: dict[str, list[str]] = {}
    room = MAX_SYMBOLS - sum(not is_entry(name) for name in named)
    for entry in filter(is_entry, named):
        before = known.get(entry)
        if not is_ranking(entry) or ranking is Ranking.ALL:
            symbols = expanded(entry, listed)
        elif before is not None:
            symbols = [symbol for symbol in before if symbol in listed]
        elif ranking is Ranking.NEW:
            symbols = expanded(entry, listed)
        else:
            continue  # its time comes
        meant[entry] = symbols[: max(0, room)]
        room -= len(meant[entry])
    unlisted = [name for name in named if not is_entry(name) and name not in listed]
    # Who swapped places in a ranking is collected as before.
    is_known = {e: set(symbols) for e, symbols in meant.items()} == {
        e: set(symbols) for e, symbols in known.items()
    }
    if is_known and tuple(unlisted) == registry.unlisted.get(venue, ()):
        return None
    return Listed(exchange=venue, expansions=meant, unlisted=unlisted)
