"""What every measurement is given: a broker of its own, and how long it may take."""

import sys
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from cli.broker_node import Node

T = TypeVar("T")


class Length(Enum):
    """`QUICK` shows that everything works in seconds; its figures mean nothing."""

    QUICK = "quick"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class Lab:
    """`known` carries figures from one measurement to the next, for ratios within the run."""

    node: Node
    length: Length = Length.NORMAL
    known: dict[str, float] = field(default_factory=dict)

    @property
    def quick(self) -> bool:
        return self.length is Length.QUICK

    def pick(self, quick: T, normal: T) -> T:
        return quick if self.quick else normal

    @staticmethod
    def say(text: str) -> None:
        """Progress, on stderr: the table alone goes to stdout."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
