"""A part of the configuration that may become another while a process runs."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Live(Generic[T]):
    """Whoever holds it reads `value` when it is needed, and keeps nothing of it."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value
