"""What of that which arrives is handed out: each fact once, no older value behind a newer one."""

from futures_fleet._wire.kinds import CANDLE
from futures_fleet.latest import Latest
from futures_fleet.losses import Fate, Losses
from futures_fleet.message import Message
from futures_fleet.seen import Seen, row_of


class Sieve:
    """Takes every message of a stream in the order of arrival."""

    def __init__(self, grace_s: float) -> None:
        self.losses = Losses(grace_s)
        self.duplicates = 0
        self.superseded = 0
        self._seen = Seen()
        self._latest = Latest()

    def passes(self, message: Message, now: float) -> bool:
        """Whether a message is handed out; `now` is in monotonic seconds."""
        fate = self.losses.take(message, now)
        row = row_of(message.kind, message.lossless)
        if fate is Fate.REPEATED or (
            row is not None and row.keyed and not self._seen.add(row.name, message.message_id)
        ):
            self.duplicates += 1
            return False
        if row is None:
            return True
        if row is CANDLE:
            self._latest.close(message)
        if not row.lossless and not self._latest.take(message, now):
            self.superseded += 1
            return False
        return True
