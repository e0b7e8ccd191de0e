"""Times as venues state them: whether they can be true at all."""

#: How far they may be from our time. First pushes repeat trades of quiet markets, but no contract
#: here is ten years old; and no clock is a day ahead.
_BEHIND_MS, _AHEAD_MS = 10 * 365 * 86_400_000, 86_400_000
#: How long before its start by the venue's own clock a candle may come.
_EARLY_MS = 600_000


def check_time(time: int | None, received_at: int) -> None:
    """Raises ValueError for a time (ms) that can not be true, TypeError for what is none."""
    if time is not None and not -_BEHIND_MS <= time - received_at <= _AHEAD_MS:
        raise ValueError(f"venue time {time}")


def check_start(start: int, timestamp: int | None, received_at: int) -> None:
    """The same for the start of a candle, in a frame of `timestamp`."""
    check_time(start, received_at)
    check_time(timestamp, received_at)
    if timestamp is not None and start > timestamp + _EARLY_MS:
        raise ValueError(f"a candle from {start} at {timestamp}")
