"""Latest values: an older one is not handed out behind a newer one.

Within a run the numbers say what is newer: a book's update ids rise with them. Between two runs,
which both have a symbol while it moves from one worker to another, the venue's time does, and
where one of the two has none, the time at which the workers read them; but not for ever, since
hosts' clocks differ. No partial candle is handed out behind its final one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import orjson

from futures_fleet.message import Message

#: Larger bodies are not kept until a second run appears: their times are read at once.
_KEPT_BYTES = 4096
_KEYS = 100_000
#: How long after the newest value of a run another run's have to be newer. A symbol that moves has
#: two runs for less; a clock that is ahead by more would hide the second.
_RIVAL_S = 10.0


class Times(NamedTuple):
    """When a value was true."""

    start: int | None  # of a candle: a later one is newer whatever its frame's time
    venue: int | None
    received: int


@dataclass(slots=True)
class _Value:
    """The newest of a key, with its times or the message to read them from."""

    epoch: str
    seq: int
    message: Message | None
    times: Times | None
    at: float  # when it came, in monotonic seconds


class Latest:
    """By routing key, the newest value that was handed out."""

    def __init__(self) -> None:
        self._values: dict[str, _Value] = {}
        self._closed: dict[str, int] = {}  # starts of the newest final candles

    def close(self, message: Message) -> None:
        """Hear of a final candle."""
        start = times_of(message).start
        if start is None:
            return
        if len(self._closed) >= _KEYS:
            del self._closed[next(iter(self._closed))]
        known = self._closed.get(message.routing_key)
        self._closed[message.routing_key] = start if known is None else max(known, start)

    def take(self, message: Message, now: float) -> bool:
        """Whether it is not older than what was handed out before; `now` is in monotonic
        seconds."""
        if self._is_final(message):
            return False
        value = self._values.get(message.routing_key)
        if value is None:
            if len(self._values) >= _KEYS:
                del self._values[next(iter(self._values))]
            self._values[message.routing_key] = _value(message, now)
            return True
        if value.epoch == message.epoch:
            if message.seq < value.seq:
                return False
        elif now - value.at < _RIVAL_S and older(
            times_of(message), value.times or times_of(value.message or message)
        ):
            return False
        if len(message.raw) > _KEPT_BYTES:
            self._values[message.routing_key] = _value(message, now)
        else:
            value.epoch, value.seq, value.message = message.epoch, message.seq, message
            value.times, value.at = None, now
        return True

    def _is_final(self, message: Message) -> bool:
        """Whether it is a candle whose final form was handed out."""
        closed = self._closed.get(message.routing_key)
        if closed is None:
            return False
        start = times_of(message).start
        return start is not None and start <= closed


def older(one: Times, other: Times) -> bool:
    """Whether `one` was true before `other`."""
    if one.start is not None and other.start is not None and one.start != other.start:
        return one.start < other.start
    if one.venue is not None and other.venue is not None:
        return one.venue < other.venue
    return one.received < other.received


def times_of(message: Message) -> Times:
    """From the body; a body that can not be read has but the time of its header."""
    try:
        body = orjson.loads(message.raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        body = {}
    return Times(_integer(body, "start"), _integer(body, "timestamp"), message.received_at)


def _value(message: Message, now: float) -> _Value:
    if len(message.raw) > _KEPT_BYTES:
        return _Value(message.epoch, message.seq, None, times_of(message), now)
    return _Value(message.epoch, message.seq, message, None, now)


def _integer(body: dict[str, object], name: str) -> int | None:
    value = body.get(name)
    return value if isinstance(value, int) else None
