"""The frames of a venue, taken where ccxt receives them.

ccxt keeps connections, subscriptions, pings and order books. Quotes and trades are peeled off
before its parsers: they cost 20-45 µs a frame, and what `watch_*` returns starves all symbols but
one. The futures of peeled subscriptions never resolve, except by an error.
"""

import time
from collections.abc import Sequence
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from shared.budget import Budget, RequestClass
from workers.collector.events import Event

#: What a frame that is not as expected raises, in our code or in ccxt's parsers. Any error that
#: left `handle_message` would end ccxt's receive loop without a word.
FRAME_ERRORS = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError)

#: Why the request that this task is making is made.
REQUEST_CLASS = ContextVar("request_class", default=RequestClass.LIVE)

_DEFAULT_RETRY_AFTER_S = 60.0


class FrameSink(Protocol):
    """Where peeled frames go. No method may raise or wait."""

    def on_events(self, events: Sequence[Event], received_at: int) -> None: ...

    def on_bad_frame(self, frame: object, error: Exception) -> None: ...

    def on_book_broken(self, market_id: str, reason: str) -> None: ...


class HotFrames:
    """Mixed into a ccxt.pro class: peels hot frames, and spends our budget instead of ccxt's."""

    sink: FrameSink
    budget: Budget
    budget_key: str

    def peel(self, frame: Any) -> Sequence[Event] | None:
        """The events of a hot frame, or None for a frame that is ccxt's business."""
        raise NotImplementedError

    def broken_book(self, frame: Any) -> tuple[str, str] | None:
        """Market id and reason where this frame proves that an order book lost its thread, in
        ways which ccxt does not look for."""
        return None

    def handle_message(self, client: Any, message: Any) -> None:
        received_at = time.time_ns() // 1_000_000
        try:
            events = self.peel(message)
            if events is not None:
                self.sink.on_events(events, received_at)
                return
            broken = self.broken_book(message)
            if broken is not None:
                self.sink.on_book_broken(*broken)
                return
            super().handle_message(client, message)  # type: ignore[misc]
        except FRAME_ERRORS as error:
            self.sink.on_bad_frame(message, error)

    async def throttle(self, cost: float | None = None) -> None:
        """Called by ccxt before each request with its cost."""
        await self.budget.acquire(self.budget_key, cost or 1.0, REQUEST_CLASS.get())

    def handle_errors(self, code: int, reason: str, url: str, method: str, *rest: Any) -> Any:
        """Called by ccxt with each answer: a 418 or 429 stops all requests to this venue."""
        if code in (418, 429):
            headers = rest[0] or {}
            self.budget.ban(self.budget_key, retry_after_s(headers.get("Retry-After")))
        return super().handle_errors(code, reason, url, method, *rest)  # type: ignore[misc]


def retry_after_s(value: str | None) -> float:
    """Seconds of a Retry-After header, given as seconds or as a date."""
    if not value:
        return _DEFAULT_RETRY_AFTER_S
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return _DEFAULT_RETRY_AFTER_S
