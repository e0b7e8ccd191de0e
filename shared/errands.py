"""Errands: what the agent of one host is asked to do, by way of its mailbox."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from shared.messages import Milliseconds
from shared.symbolset import Notice
from shared.venues import VENUES

#: An errand that is older is refused: what was wanted then may not be wanted any more.
MAX_AGE_S = 600.0

#: restart, start, stop: the program of a worker. add: collect a venue on this host; leave: do not.
#: reload: have all programs of this host look at their configuration.
Action = Literal["restart", "start", "stop", "add", "leave", "reload"]


def _canonical(name: str) -> str:
    if name not in VENUES:
        raise ValueError("is not the canonical name of a venue")
    return name


class Errand(Notice):
    """As JSON on `futures_mailbox`, to the queue that the agent's heartbeat names.

    Done at least once however often the agent is killed, and once for each id otherwise. What
    became of it stands in the agent's heartbeat, `details.errands`.
    """

    id: str = Field(min_length=1, max_length=255)
    action: Action
    exchange: Annotated[str, AfterValidator(_canonical)] | None = None  # of add, leave
    #: Of restart, start, stop: `binance-0@host`. Of add it says which of several on the host.
    worker: str | None = Field(default=None, min_length=1, max_length=255)
    sent_at: Milliseconds

    @model_validator(mode="after")
    def _says_of_what(self) -> "Errand":
        if self.action in ("add", "leave"):
            if self.exchange is None:
                raise ValueError(f"{self.action} needs an exchange")
        elif self.action != "reload" and self.worker is None:
            raise ValueError(f"{self.action} needs a worker")
        return self

    @property
    def of(self) -> str:
        """The worker, or the venue, for people."""
        return self.worker or self.exchange or ""
