"""What is on the schedule: questions to the venue, and chores of our own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.budget import RequestClass

Ask = Callable[[], Awaitable[bool]]
"""Asks the venue, by one request or several; whether it answered. Raises nothing that a venue can
cause."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Asked of the venue each `interval_s`, where that is possible."""

    key: str
    interval_s: float
    ask: Ask
    priority: int = 5  # 0 goes first where not all can
    lane: str = ""  # of the questions of a lane one is asked at a time; "": one of its own
    request_class: RequestClass = RequestClass.LIVE  # whose wait in the budget widens the interval
    steady: bool = False  # goes on while the venue fails: something has to notice when it is back


@dataclass(frozen=True, slots=True, eq=False)
class Chore:
    """Done each `interval_s` from what is here: it waits for nothing and raises nothing."""

    key: str
    interval_s: float
    do: Callable[[], None]
    priority: int = 5


Item = Question | Chore
