"""Limits for tests, by what their bucket holds."""

from shared.limits import SHARE, Rule, VenueLimits

_WINDOW_S = 60.0


def limits_of(per_second: float, burst: float) -> VenueLimits:
    """Of a venue `v` that weighs requests by their cost."""
    allowed = burst + per_second * _WINDOW_S
    rule = Rule("weight", allowed / SHARE, _WINDOW_S, by_cost=True, at_once=burst / allowed)
    return VenueLimits("v", (rule,))
