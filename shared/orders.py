"""Orders: what collectors are told to do at once, by way of their mailboxes."""

from typing import Annotated, Literal

from pydantic import Field

from shared.endpoints import Endpoint
from shared.symbolset import Notice

#: The `type` of such a message.
ORDER = "order"
MAX_TRIP_S = 86_400.0


class BreakerOrder(Notice):
    """Leave the venue's REST alone, or ask it again whatever has failed."""

    action: Literal["trip", "reset"]
    endpoint: Endpoint | None = None  # that sort alone; null: the venue
    #: Of `trip`; null: until `reset`, or until the worker starts anew.
    seconds: Annotated[float, Field(gt=0, le=MAX_TRIP_S)] | None = None
