"""Recorded answers of REST, by what was asked: the latest one whose time has come."""

import asyncio
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from simulator.capture import Body
from simulator.recorded.words import Recorded

SLACK_S = 0.5
"""Whoever asks this much earlier than the recorded client did means the same answer."""
_WAIT_MAX_S = 10.0
_TIME = re.compile(r"\d{10}(\d{3}){0,3}")
"""A moment in seconds, milliseconds, microseconds or nanoseconds: another one each time."""
_COUNTS = ("limit", "size")
"""How many rows are wanted: of candles as many as have passed since some moment."""

Key = tuple[object, ...]


@dataclass(slots=True)
class _Series:
    """The answers to one question: when each was asked for and there; the first, and the latest
    whose time has come."""

    first: Body
    latest: Body | None = None
    moments: list[tuple[float, float]] = field(default_factory=list)  # (at, asked), rising


class Answers:
    def __init__(self, recorded: Recorded, whole: bool) -> None:
        self._recorded = recorded
        self._whole = whole
        self._series: dict[Key, _Series] = {}
        self._came = asyncio.Event()

    def learn(self, body: Body) -> None:
        """Of what there will be, before the clock starts; in the order of time."""
        for key in self._keys(body.method, body.path, body.query):
            series = self._series.setdefault(key, _Series(body))
            series.moments.append((body.at_s, body.asked_s))

    def take(self, body: Body) -> None:
        """Its time has come."""
        for key in self._keys(body.method, body.path, body.query):
            self._series[key].latest = body
        self._came.set()
        self._came = asyncio.Event()

    def find(self, method: str, path: str, query: Mapping[str, str]) -> Body | None:
        """The latest; the first, where the time of none has come."""
        series = self._found(method, path, query)
        return (series.latest or series.first) if series else None

    async def ripen(self, method: str, path: str, query: Mapping[str, str], now_s: float) -> None:
        """Where the recorded client was waiting for an answer at `now_s` or soon was, wait until it
        is there. What was asked at this point is not answered with what was true before."""
        series = self._found(method, path, query)
        at_s = _under_way(series, now_s) if series else None
        if series is None or at_s is None:
            return
        async with asyncio.timeout(_WAIT_MAX_S):
            while series.latest is None or series.latest.at_s < at_s:
                await self._came.wait()

    def _found(self, method: str, path: str, query: Mapping[str, str]) -> _Series | None:
        keys = self._keys(method, path, query)
        return next((self._series[key] for key in keys if key in self._series), None)

    def _keys(self, method: str, path: str, query: Mapping[str, str]) -> Iterator[Key]:
        """The question, then the same at any time, then for any number of rows."""
        if not self._whole:
            yield path, query.get(self._recorded.subject)
            return
        yield method, path, frozenset(query.items())
        timeless = {n: "*" if _TIME.fullmatch(value) else value for n, value in query.items()}
        yield method, path, "at any time", frozenset(timeless.items())
        unlimited = {n: value for n, value in timeless.items() if n not in _COUNTS}
        yield method, path, "any number", frozenset(unlimited.items())


def _under_way(series: _Series, now_s: float) -> float | None:
    """When the next answer will be there, if it was asked for by now."""
    number = bisect_right(series.moments, (now_s, float("inf")))
    if number == len(series.moments):
        return None
    at_s, asked_s = series.moments[number]
    return at_s if asked_s <= now_s + SLACK_S else None
