"""Frames of a venue made wrong, at random but the same for the same seed."""

import random
from collections.abc import Callable
from typing import Any

import orjson

_PRINTABLE = "".join(map(chr, range(32, 127)))
#: What a field may hold that nobody expects there.
_STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**63 - 1,
    1e300,
    "",
    " ",
    "NaN",
    "-Infinity",
    "-0",
    "0",
    "-1",
    "1e400",
    "1e-400",
    "1,234",
    "0x10",
    "9" * 400,
    "2026-01-01T00:00:00Z",
    "币安人生",
    [],
    [[]],
    {},
    {"a": {"b": [None]}},
    [["1", "2", "3"], None],
)
_JUNK = (
    "",
    "null",
    "true",
    "0",
    "[]",
    "{}",
    "[null]",
    '"text"',
    "[1e999]",
    "pong",
    "<html><body>502 Bad Gateway</body></html>",
    "{" * 200,
    "[" * 5000 + "]" * 5000,
    '{"a":' * 900 + "1" + "}" * 900,
    '{"e":null,"topic":null,"arg":null,"ch":null,"channel":null,"event":"update"}',
    '{"e":[],"topic":{},"arg":[],"ch":7,"channel":{},"event":"update"}',
)

#: Beyond this fields are not looked for.
_DEPTH = 8

Holder = tuple[Any, Any]  # a dictionary or a list, and a key of it


class Mutations:
    """Of frames about one market."""

    def __init__(self, seed: int, market_id: str) -> None:
        self._random = random.Random(seed)
        self._market_id = market_id
        self._ways: tuple[Callable[[str], str], ...] = (
            self._flipped,
            self._cut,
            self._strange,
            self._strange,
            self._strange,
            self._rescaled,
            self._rescaled,
            self._without,
            self._renamed,
            self._repeated,
            self._nested,
            self._of_nobody,
            self._junk,
        )

    def of(self, text: str) -> str:
        """One to three things wrong."""
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            text = self._random.choice(self._ways)(text)
        return text

    def of_bytes(self, data: bytes) -> bytes:
        """Of what is compressed: some bytes are others, or the end is missing."""
        wrong = bytearray(data)
        for _ in range(self._random.randint(1, 4)):
            wrong[self._random.randrange(len(wrong))] = self._random.randrange(256)
        end = self._random.choice((len(wrong), self._random.randrange(len(wrong))))
        return bytes(wrong[:end])

    def _flipped(self, text: str) -> str:
        letters = list(text)
        for _ in range(min(len(letters), self._random.randint(1, 8))):
            letters[self._random.randrange(len(letters))] = self._random.choice(_PRINTABLE)
        return "".join(letters)

    def _cut(self, text: str) -> str:
        return text[: self._random.randrange(len(text) + 1)]

    def _junk(self, _text: str) -> str:
        return self._random.choice(_JUNK)

    def _of_nobody(self, text: str) -> str:
        other = self._random.choice(("NOSUCH", "", "null", self._market_id.swapcase(), "%23.*"))
        return text.replace(self._market_id, other)

    def _strange(self, text: str) -> str:
        value = self._random.choice(_STRANGE)
        return self._changed(text, lambda holder, key: holder.__setitem__(key, value))

    def _rescaled(self, text: str) -> str:
        """A number becomes another one of its type: far larger, smaller or negative."""
        factor = self._random.choice((-1, 0, 10, 1000, 10**6, 10**12))

        def change(holder: Any, key: Any) -> None:
            value = holder[key]
            if type(value) is int:
                holder[key] = max(-(2**63), min(2**63, value * factor))
            elif type(value) is float or (type(value) is str and _is_number(value)):
                holder[key] = type(value)(float(value) * factor)

        return self._changed(text, change)

    def _without(self, text: str) -> str:
        return self._changed(text, lambda holder, key: holder.pop(key))

    def _renamed(self, text: str) -> str:
        def change(holder: Any, key: Any) -> None:
            if type(key) is str:
                holder[key + "_"] = holder.pop(key)

        return self._changed(text, change)

    def _repeated(self, text: str) -> str:
        def change(holder: Any, key: Any) -> None:
            if type(holder[key]) is list:
                holder[key] = (holder[key] * 20)[:2000]

        return self._changed(text, change)

    def _nested(self, text: str) -> str:
        depth = self._random.choice((1, 2, 50))

        def change(holder: Any, key: Any) -> None:
            for _ in range(depth):
                holder[key] = [holder[key]]

        return self._changed(text, change)

    def _changed(self, text: str, change: Callable[[Any, Any], object]) -> str:
        """With one field changed, somewhere."""
        try:
            frame = orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
        places = _places(frame, _DEPTH)
        if places:
            change(*self._random.choice(places))
        try:
            return orjson.dumps(frame).decode()
        except TypeError:  # nested deeper than it writes
            return text


def _places(value: Any, depth: int) -> list[Holder]:
    """Every field and element of a frame, so many levels down."""
    if not depth or type(value) not in (dict, list):
        return []
    keys = list(value) if type(value) is dict else range(len(value))
    return [(value, k) for k in keys] + [
        place for k in keys for place in _places(value[k], depth - 1)
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
