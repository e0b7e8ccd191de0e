"""Candles that a venue corrects a little after it has published them as closed."""

import random

from simulator.candles import Candles

MINUTE_MS = 60_000
DELAY_MS = 2000


class Corrector:
    """Chooses minutes by a seed of their own, so that who asks when makes no difference."""

    def __init__(self, name: str, share: float) -> None:
        self._name = name
        self._share = share
        self._done = -1

    def correct(self, candles: Candles, now_ms: int) -> None:
        """Once a second: change the minute that ended two seconds ago, if it is chosen."""
        minute = (now_ms - DELAY_MS) // MINUTE_MS - 1
        if not self._share or minute == self._done:
            return
        first, self._done = self._done < 0, minute
        if not first and self.chosen(minute):
            candles.correct(minute, 1 + self._draw(minute).randrange(3))

    def chosen(self, minute: int) -> bool:
        return self._draw(minute).random() < self._share

    def _draw(self, minute: int) -> random.Random:
        return random.Random(f"{self._name}:{minute}")
