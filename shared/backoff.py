"""Waiting between tries: capped and jittered."""

import random

from shared.errors import ConfigurationError


class Backoff:
    """Delays that double from `first_s` up to `cap_s`, each multiplied by 0.5 … 1 at random."""

    def __init__(self, first_s: float = 0.2, cap_s: float = 10.0) -> None:
        if first_s <= 0 or cap_s < first_s:
            raise ConfigurationError("a back-off needs 0 < first_s <= cap_s")
        self._first_s = first_s
        self._cap_s = cap_s
        self._tries = 0

    def next_s(self) -> float:
        ceiling = min(self._cap_s, self._first_s * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return ceiling * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        self._tries = 0
