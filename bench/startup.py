"""How soon a fleet delivers: supervisord up until every venue has sent a ticker or a trade."""

import time
from dataclasses import dataclass, field

from bench.fleet import EXCHANGES, fleet, keys
from bench.lab import Lab
from bench.listener import Headers, listening
from bench.report import Bar, Figure, Row
from bench.waiting import until
from workers.collector.catalogue import CATALOGUE

BAR_S = 5.0
_WAIT_S = 90.0


@dataclass(slots=True)
class Firsts:
    """Seconds of the first ticker or trade of each venue, and of the first book of each symbol."""

    started_s: float
    flowing: dict[str, float] = field(default_factory=dict)
    books: dict[tuple[str, str], float] = field(default_factory=dict)

    def take(self, routing_key: str, _body: bytes, _headers: Headers, now_s: float) -> None:
        kind, venue, key = routing_key.split(".")[:3]
        if kind in ("ticker", "trades"):
            self.flowing.setdefault(venue, now_s - self.started_s)
        elif kind == "orderbook":
            self.books.setdefault((venue, key), now_s - self.started_s)

    def missing(self) -> list[str]:
        venues = [venue for venue in EXCHANGES if venue not in self.flowing]
        due = {(venue, key) for venue in EXCHANGES for key in keys(venue)}
        return venues + [
            f"book of {key} on {venue}" for venue, key in sorted(due - set(self.books))
        ]


async def measure(lab: Lab) -> list[Row]:
    what = "start: supervisord up → first ticker or trade of all five venues, 10 symbols each"
    async with fleet(lab.node.amqp_url) as one:
        firsts = Firsts(time.time())
        async with listening(lab.node.amqp_url, firsts.take):
            firsts.started_s = time.time()
            one.host.start()
            await until(lambda: not firsts.missing(), _WAIT_S)
    if firsts.missing():
        missing = firsts.missing()
        return [
            Row(what, why=f"after {_WAIT_S:.0f} s without {missing[:3]}, {len(missing)} in all")
        ]
    flowing = Figure(max(firsts.flowing.values()), "s", Bar(BAR_S, at_most=True))
    rows = [Row(what, (flowing,), details={"by_venue": firsts.flowing})]
    return [*rows, *(_books(venue, firsts) for venue in EXCHANGES)]


def _books(venue: str, firsts: Firsts) -> Row:
    """Snapshots are paid for from the budget: all of them are due when it has allowed them."""
    row, count = CATALOGUE[venue], len(keys(venue))
    paid_s = row.snapshots_s(count)
    valid_s = max(at for (name, _), at in firsts.books.items() if name == venue)
    figure = Figure(valid_s, "s", Bar(BAR_S + paid_s, at_most=True))
    details = {"books": count, "weight_over_budget_s": paid_s}
    return Row(f"start: all {count} books of {venue} valid", (figure,), details=details)
