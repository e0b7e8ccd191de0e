"""Funding rates and open interest for tasks: what was heard of them last."""

from collections.abc import Callable
from typing import Any

import orjson

from shared.config import Collection
from shared.config.live import Live
from workers.collector.parts import Part, Parts
from workers.collector.tasks.supply import GONE, Found, Lacking, Outcome, PartsOf


class HeardSupply:
    """The last message of a kind that bulk requests and streams bring: the venue is not asked."""

    def __init__(
        self,
        parts: PartsOf,
        part: Callable[[Parts], Part[Any] | None],
        collection: Live[Collection],
    ) -> None:
        self._parts, self._part, self._collection = parts, part, collection

    def look(self, now: float) -> Outcome:
        parts = self._parts()
        if parts is None:
            return GONE
        heard = self._part(parts)
        if heard is None:
            return Lacking("the venue has said nothing of it yet")
        age_s = now - heard.at
        if age_s > self._collection.value.max_age.funding_s:
            return Lacking(f"what the venue said is {age_s:.0f} s old")
        return Found(orjson.dumps(heard.value.__dict__), "cache")
