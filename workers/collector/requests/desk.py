"""The collector's desk for requests: from the venue's queue into a heap of our own.

What live state can answer is answered at once; the rest goes by priority and deadline, and waits
for its budget as all requests do. A request is acknowledged once it is answered: if this process
dies, another worker of the venue has it, within its time.
"""

import asyncio
import heapq
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiormq
import orjson
from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from shared import errors
from shared.broker import Broker
from shared.cache import CacheManager, Found
from shared.clock import Clock
from shared.requests import (
    MAX_ANSWER_BYTES,
    METHODS,
    ErrorCode,
    Method,
    Priority,
    Reply,
    Request,
    Trouble,
    parsed,
)
from shared.topology import REPLIES, request_queue
from workers.collector.requests.live import LiveAnswers

#: Requests that this worker has of the queue at a time: the order among them is ours.
PREFETCH = 64
_RANKS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
_TEXT = 300
#: An answer that others may wait for as well is waited for so long at least; and there may be so
#: many times as many of them as requests that are answered at a time.
_LOAD_S = 30.0
_LOADS = 2
#: Longer lists than these are asked for by few, in as many ways as they like: not kept.
_KEPT_LEVELS = 100

log = logging.getLogger("main")

#: Asks the venue. Raises ExchangeError.
Ask = Callable[[Method, Request], Awaitable[Any]]

_CODES: tuple[tuple[type[Exception], ErrorCode], ...] = (
    (errors.SymbolNotListedError, "symbol_not_listed"),
    (errors.NotSupportedError, "not_supported"),
    (errors.RateLimitedError, "rate_limited"),
    (errors.CircuitBreakerOpenError, "unavailable"),
    (errors.BlockedError, "unavailable"),
    (errors.NetworkError, "network"),
    (errors.ExchangeError, "rejected"),
    (TimeoutError, "timeout"),
)


@dataclass(order=True, slots=True)
class _Waiting:
    """A request in the heap: by priority, then by its deadline."""

    rank: int
    deadline: float
    number: int
    request: Request = field(compare=False)
    message: DeliveredMessage = field(compare=False)
    line: "_Line" = field(compare=False)
    had_at: float = field(compare=False)


class RequestDesk:
    """Serves `futures_requests.{exchange}` as long as the collector runs."""

    def __init__(
        self,
        exchange: str,
        worker: str,
        live: LiveAnswers,
        cache: CacheManager,
        ask: Ask,
        clock: Clock,
    ) -> None:
        self.counts: Counter[str] = Counter()
        #: How many requests may be with the venue at a time.
        self.at_once = 1
        self._exchange, self._worker = exchange, worker
        self._live, self._cache, self._ask = live, cache, ask
        self._clock = clock
        self._heap: list[_Waiting] = []
        self._numbers = itertools.count()
        self._asking: set[asyncio.Task[None]] = set()
        self._loading = 0  # answers that are asked for, also those that nobody waits for any more

    @property
    def busy(self) -> int:
        """Requests that wait or are asked."""
        return len(self._heap) + len(self._asking)

    async def run(self, broker: Broker) -> None:
        """Serve, for ever."""

        async def session(connection: AbstractConnection) -> None:
            channel = await connection.channel(publisher_confirms=False)
            await channel.set_qos(PREFETCH)
            queue = request_queue(self._exchange)
            await broker.ensure_queue(channel, queue)
            underlay = await channel.get_underlay_channel()
            assert isinstance(underlay, aiormq.Channel)
            line = _Line(underlay)
            await underlay.basic_consume(queue.name, lambda m: self._on_message(line, m))
            try:
                await asyncio.shield(underlay.closing)
            finally:
                line.open = False
                self._heap = [one for one in self._heap if one.line is not line]

        await broker.keep("requests", session)

    async def close(self) -> None:
        """What is asked ends; what waits goes to another worker."""
        self._heap.clear()
        for task in list(self._asking):
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def _on_message(self, line: "_Line", message: DeliveredMessage) -> None:
        now = self._clock.monotonic()
        try:
            request = parsed(message.body)
        except errors.DataProcessingError as error:
            id_ = message.header.properties.correlation_id or "unknown"
            trouble = Trouble(code="invalid_request", message=str(error)[:_TEXT])
            await self._answer(line, message, self._reply(id_[:64], error=trouble))
            return
        if await self._answered_live(line, message, request):
            return
        deadline = now + request.timeout_ms / 1000
        waiting = _Waiting(
            _RANKS[request.priority], deadline, next(self._numbers), request, message, line, now
        )
        heapq.heappush(self._heap, waiting)
        self._begin()

    async def _answered_live(
        self, line: "_Line", message: DeliveredMessage, request: Request
    ) -> bool:
        max_age_s = None if request.max_age_ms is None else request.max_age_ms / 1000
        found = self._live.answer(request.method, request.arguments, max_age_s)
        if found is None:
            return False
        reply = self._reply(
            request.id, result=found.result, source="live", age_ms=round(1000 * found.age_s)
        )
        await self._answer(line, message, reply)
        return True

    def _begin(self) -> None:
        while self._heap and len(self._asking) < self.at_once:
            waiting = heapq.heappop(self._heap)
            task = asyncio.create_task(self._serve(waiting))
            self._asking.add(task)
            task.add_done_callback(self._on_done)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        self._asking.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("A request could not be served: %r", error)
        self._begin()

    async def _serve(self, waiting: _Waiting) -> None:
        request, now = waiting.request, self._clock.monotonic()
        left_s = waiting.deadline - now
        if left_s <= 0:
            self.counts["expired"] += 1
            trouble = Trouble(code="timeout", message="it waited for longer than it had")
            reply = self._reply(request.id, error=trouble)
        else:
            reply = await self._asked(request, left_s)
        reply.took_ms = round(1000 * (self._clock.monotonic() - waiting.had_at), 3)
        await self._answer(waiting.line, waiting.message, reply)

    async def _asked(self, request: Request, left_s: float) -> Reply:
        method = METHODS[request.method]
        if self._loading >= _LOADS * self.at_once:
            text = "more is asked for than the venue answers"
            return self._reply(request.id, error=Trouble(code="overloaded", message=text))
        try:
            async with asyncio.timeout(left_s):
                found = await self._found(method, request, left_s)
        except (errors.ExchangeError, TimeoutError) as error:
            return self._reply(request.id, error=_trouble(error))
        except Exception as error:
            log.exception("Request %s failed", request.method)
            text = type(error).__name__
            return self._reply(request.id, error=Trouble(code="internal_error", message=text))
        source = "venue" if found.where == "loaded" else "cache"
        age_ms = round(1000 * found.age_s)
        return self._reply(request.id, result=found.value, source=source, age_ms=age_ms)

    async def _found(self, method: Method, request: Request, left_s: float) -> Found:
        """From the cache where that may be, else from the venue."""
        if method.cache is None or request.max_age_ms == 0 or not _is_kept(request):
            return Found(await self._load(method, request, left_s), 0.0, "loaded")
        key = f"{self._exchange}:{method.name}:{orjson.dumps(request.arguments).decode()}"
        max_age_s = None if request.max_age_ms is None else request.max_age_ms / 1000
        return await self._cache.get_or_load(
            method.cache, key, lambda: self._load(method, request, left_s), max_age_s
        )

    async def _load(self, method: Method, request: Request, left_s: float) -> Any:
        """It ends by itself, whoever waits."""
        self._loading += 1
        try:
            async with asyncio.timeout(max(left_s, _LOAD_S)):
                return await self._ask(method, request)
        finally:
            self._loading -= 1

    def _reply(self, id_: str, **said: Any) -> Reply:
        return Reply(id=id_, exchange=self._exchange, worker=self._worker, **said)

    async def _answer(self, line: "_Line", message: DeliveredMessage, reply: Reply) -> None:
        self.counts[reply.error.code if reply.error else str(reply.source)] += 1
        if line.open:
            await line.answer(message, _encoded(reply))


class _Line:
    """The channel that requests came by: answers go back on it, then the acknowledgement."""

    def __init__(self, channel: aiormq.Channel) -> None:
        self.open = True
        self._channel = channel

    async def answer(self, message: DeliveredMessage, body: bytes) -> None:
        properties = message.header.properties
        try:
            if properties.reply_to:
                await self._channel.basic_publish(
                    body,
                    exchange=REPLIES,
                    routing_key=properties.reply_to,
                    properties=Basic.Properties(
                        content_type="application/json", correlation_id=properties.correlation_id
                    ),
                    wait=False,
                )
            await self._channel.basic_ack(message.delivery_tag or 0, wait=False)
        except (aiormq.exceptions.AMQPError, aiormq.exceptions.ChannelInvalidStateError, OSError):
            self.open = False  # it comes again, to whoever has the queue


def _trouble(error: Exception) -> Trouble:
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    told_s = error.retry_after_s if isinstance(error, errors.RateLimitedError) else None
    text = (str(error) or type(error).__name__)[:_TEXT]
    return Trouble(code=code, message=text, retry_after_s=told_s)


def _is_kept(request: Request) -> bool:
    arguments = request.arguments
    return "symbols" not in arguments and arguments.get("limit", 0) <= _KEPT_LEVELS


def _encoded(reply: Reply) -> bytes:
    try:
        body = reply.encoded()
    except TypeError as error:  # a number of more than 64 bits
        reply.result = None
        reply.error = Trouble(code="internal_error", message=str(error)[:_TEXT])
        return reply.encoded()
    if len(body) <= MAX_ANSWER_BYTES:
        return body
    reply.result = None
    reply.error = Trouble(code="rejected", message=f"the answer has {len(body)} bytes")
    return reply.encoded()
