"""How often the slow part of fast frames is looked at."""

#: As often as bodies are asked for at most.
_PACE_MS = 5000


class Pace:
    """Lets one frame a symbol through in each `_PACE_MS` of the venue's own time."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def due(self, market_id: str, timestamp: int) -> bool:
        """Whether the frame with this time is let through; a time that is set back is."""
        if 0 <= timestamp - self._last.get(market_id, -_PACE_MS) < _PACE_MS:
            return False
        self._last[market_id] = timestamp
        return True
