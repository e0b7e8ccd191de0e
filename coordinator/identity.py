"""Who this coordinator is: its host, and this run of it."""

import secrets
from dataclasses import dataclass

from shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Identity:
    worker: str  # stable id, `coordinator@host`
    epoch: str  # this run
    instance: str  # as in `by` of its records: unique even where a clock was set back

    @classmethod
    def of(cls, host_id: str, clock: Clock) -> "Identity":
        worker = f"coordinator@{host_id}"
        epoch = f"{worker}/{clock.now_ms()}"
        return cls(worker, epoch, f"{epoch}/{secrets.token_hex(4)}")
