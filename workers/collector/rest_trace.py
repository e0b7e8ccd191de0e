"""REST requests as they pass over the wire: when each was sent and answered, and with what."""

import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace

import aiohttp
from yarl import URL

from shared.clock import Clock


@dataclass(slots=True, eq=False)
class Passage:
    """One request and its answer, as far as they have come; moments in monotonic seconds."""

    sent_at: float  # its headers were written
    sent_ns: int  # the same on the wall clock
    answered_at: float | None = None  # the answer's headers were here
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)  # the answer's


#: The latest request that this task has made.
PASSAGE: ContextVar[Passage | None] = ContextVar("passage", default=None)

log = logging.getLogger("main")

OnBody = Callable[[Passage, str, URL, bytes], None]
"""Hears of each answer whose body is there: its passage, the method, the address, the bytes after
the transport's compression. May not raise, may not wait."""


#: How much the latest answer counts in the latency of late.
_LEARNING = 0.2


class RestTrace:
    """What `session.trace_configs` takes: for all requests of one session."""

    def __init__(self, clock: Clock) -> None:
        self.on_body: OnBody | None = None
        #: Told of the status and the headers of each answer, before its body.
        self.on_answer: Callable[[int, Mapping[str, str]], None] = lambda _status, _headers: None
        self.latency_s: float | None = None  # of late, from sent to answered
        #: A request that takes longer is told in a line.
        self.slow_s = 5.0
        #: Requests that found a warm connection, and that had to make one.
        self.reused = self.connected = 0
        self.config = aiohttp.TraceConfig()
        self.config.on_request_start.append(self._on_start)
        self.config.on_request_headers_sent.append(self._on_sent)
        self.config.on_request_end.append(self._on_answered)
        self.config.on_connection_reuseconn.append(self._on_reused)
        self.config.on_connection_create_end.append(self._on_connected)
        self.config.on_response_chunk_received.append(self._on_body)
        self.config.freeze()
        self._clock = clock

    def follow(self, session: aiohttp.ClientSession) -> None:
        """Trace this session as well; one that is traced stays so."""
        if self.config not in session.trace_configs:
            session.trace_configs.append(self.config)

    async def _on_start(
        self, _: aiohttp.ClientSession, context: SimpleNamespace, params: object
    ) -> None:
        context.passage = Passage(self._clock.monotonic(), self._clock.now_ns())
        PASSAGE.set(context.passage)

    async def _on_sent(
        self, _: aiohttp.ClientSession, context: SimpleNamespace, params: object
    ) -> None:
        """Later than the start by name resolution, connection and TLS."""
        context.passage.sent_at = self._clock.monotonic()
        context.passage.sent_ns = self._clock.now_ns()

    async def _on_answered(
        self,
        _: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestEndParams,
    ) -> None:
        passage: Passage = context.passage
        passage.answered_at = self._clock.monotonic()
        took_s = passage.answered_at - passage.sent_at
        if took_s > self.slow_s:
            log.warning("slow: %s %s took %.2f s", params.method, params.url.path, took_s)
        known_s = self.latency_s
        self.latency_s = took_s if known_s is None else known_s + _LEARNING * (took_s - known_s)
        passage.status, passage.headers = params.response.status, params.response.headers
        self.on_answer(passage.status, passage.headers)

    async def _on_reused(self, *_: object) -> None:
        self.reused += 1

    async def _on_connected(self, *_: object) -> None:
        self.connected += 1

    async def _on_body(
        self,
        _: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceResponseChunkReceivedParams,
    ) -> None:
        """aiohttp calls it once an answer, with the whole of it."""
        if self.on_body is not None:
            self.on_body(context.passage, params.method, params.url, params.chunk)
