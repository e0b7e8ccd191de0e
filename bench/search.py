"""The highest rate that holds: which rate to try next, decided without a clock."""

from dataclasses import dataclass

#: A step up or down while one side is unknown, and the precision at which the search ends.
_STEP = 1.2
_NEAR = 1.06


@dataclass(slots=True)
class Search:
    """Try `next_rate`, tell `record`, until `over`: first steps, until one rate held and a higher
    one did not, then halves between them."""

    start: float
    steps: int = 15
    halves: int = 3
    best: float | None = None  # the highest rate that held
    worst: float | None = None  # the lowest rate that did not

    @property
    def over(self) -> bool:
        if self.best is None or self.worst is None:
            return self.steps <= 0
        return self.halves <= 0 or self.worst <= self.best * _NEAR

    @property
    def next_rate(self) -> float:
        if self.best is None:
            return self.start if self.worst is None else self.worst / _STEP
        if self.worst is None:
            return self.best * _STEP
        return float((self.best + self.worst) / 2)

    def record(self, rate: float, held: bool) -> None:
        """What held below a failure counts; what holds above one moves that failure away."""
        if self.best is None or self.worst is None:
            self.steps -= 1
        else:
            self.halves -= 1
        if held:
            self.best = max(rate, self.best or 0.0)
            self.worst = self.worst if self.worst and self.worst > rate else None
        else:
            self.worst = min(rate, self.worst or rate)
