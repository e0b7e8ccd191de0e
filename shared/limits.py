"""What a venue allows: its limits in its own units and windows, and what a request costs of each.

A limit is kept by a leaky bucket (GCRA): so much at once, so much a second. In no window of the
venue's does that come to more than `share` of what it allows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from shared.errors import ConfigurationError

#: Of what a venue allows, what all processes behind one address may spend between them.
SHARE = 0.8
#: Of a window's weight that may go out at once, where a rule does not say.
_AT_ONCE = 0.4
#: So close to the end of a window its answers may be of the next one.
_EDGE_S = 0.5
#: A share so small that one request is more than it goes on by this part of it.
_TRICKLE = 0.25


@dataclass(frozen=True, slots=True)
class Limit:
    """A bucket: units a second, and how many at once."""

    per_second: float
    burst: float

    @property
    def burst_s(self) -> float:
        return self.burst / self.per_second

    def part(self, share: float) -> "Limit":
        """That share of it."""
        return Limit(self.per_second * share, self.burst * share)


class Used(NamedTuple):
    """What a venue says of a limit: how much is spent in its window, which ends in so long."""

    units: float
    left_in_window_s: float


@dataclass(frozen=True, slots=True)
class UsedHeader:
    """How answers tell what is used of a limit: by the header `used`, or by `remaining`. The window
    ends at the time (seconds of the Unix epoch) in the header `reset`, else with the minute, hour …
    of the venue's clock. Names in lower case."""

    used: str | None = None
    remaining: str | None = None
    reset: str | None = None

    def read(self, headers: Mapping[str, str], rule: "Rule", venue_time_s: float) -> Used | None:
        """None where it is not said, or where it can not be told which window is meant."""
        try:
            if self.used is not None:
                units = float(headers[self.used])
            else:
                units = rule.weight - float(headers[self.remaining or ""])
            if self.reset is not None:
                left_s = float(headers[self.reset]) - venue_time_s
            else:
                left_s = rule.window_s - venue_time_s % rule.window_s
        except (KeyError, ValueError):
            return None
        if not (0 <= units <= 10 * rule.weight and _EDGE_S <= left_s <= rule.window_s - _EDGE_S):
            return None
        return Used(units, left_s)


@dataclass(frozen=True, slots=True)
class Rule:
    """One of a venue's limits: `weight` in each window of `window_s`, counted per address.

    It is about the paths that match one of `paths` (all where there is none), each of them by
    itself where `each_path`. A request weighs 1, or by ccxt's cost where `by_cost`; `weights` says
    what else certain paths do.
    """

    name: str
    weight: float
    window_s: float
    paths: tuple[str, ...] = ()
    each_path: bool = False
    by_cost: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)
    at_once: float = _AT_ONCE
    told: UsedHeader | None = None

    def limit(self, share: float = SHARE) -> Limit:
        """The bucket that keeps it: a whole one and what flows in within a window are `share`."""
        allowed = share * self.weight
        burst = max(self.at_once * allowed, 1.0)
        per_second = max(allowed - burst, _TRICKLE * allowed) / self.window_s
        return Limit(per_second, burst)

    def concerns(self, path: str) -> bool:
        return not self.paths or any(fnmatchcase(path, pattern) for pattern in self.paths)

    def units(self, path: str, cost: float) -> float:
        for pattern, weight in self.weights.items():
            if fnmatchcase(path, pattern):
                return weight
        return cost if self.by_cost else 1.0


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request takes from one bucket."""

    bucket: str
    rule: Rule
    units: float


class VenueLimits:
    """The rules of one venue. The first that is about a path holds, of those with one name."""

    def __init__(self, venue: str, rules: Sequence[Rule]) -> None:
        if not rules:
            raise ConfigurationError(f"{venue} has no limits")
        self.venue = venue
        self.rules = tuple(rules)

    def with_requests_per_minute(self, most: float | None) -> "VenueLimits":
        """Also no more requests than the user allows."""
        if most is None:
            return self
        # Nobody but we keep this one, so that all of it is ours.
        rule = Rule("requests", most / SHARE, 60.0)
        return VenueLimits(self.venue, (*self.rules, rule))

    def charges(self, path: str, cost: float = 1.0) -> tuple[Charge, ...]:
        """Of a request to `path`, as ccxt spells it, of that cost. A path that no rule is about is
        charged as the first rule says."""
        found: dict[str, Charge] = {}
        for rule in self.rules:
            if rule.concerns(path) and rule.name not in found:
                bucket = f"{rule.name}:{path}" if rule.each_path else rule.name
                found[rule.name] = Charge(bucket, rule, rule.units(path, cost))
        if found:
            return tuple(found.values())
        first = self.rules[0]
        return (Charge(first.name, first, first.units(path, cost)),)
