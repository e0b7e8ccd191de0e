"""What the desk of a collector promises to those who ask, against a real broker; the venue is a
function that answers when the test lets it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import pytest

from shared.broker import Broker
from shared.cache import CacheManager
from shared.clock import SystemClock
from shared.config import Collection
from shared.config.live import Live
from shared.config.sections import Cache
from shared.errors import NetworkError
from shared.requester import Requester
from shared.requests import Method, Reply, Request
from shared.topology import request_queue, topology
from tests.waiting import eventually
from workers.collector.requests.desk import RequestDesk
from workers.collector.requests.live import LiveAnswers

SYMBOLS = ("A/USDT:USDT", "B/USDT:USDT", "C/USDT:USDT")


@dataclass
class Venue:
    """Answers while its gate is open."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    answered: int = 0
    error: Exception | None = None

    async def ask(self, _method: Method, request: Request) -> Any:
        symbol = request.arguments["symbol"]
        self.asked.append(symbol)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.answered += 1
        return {"symbol": symbol}


@dataclass
class Play:
    """One who asks, and the desks of a venue."""

    requester: Requester
    venue: Venue
    desks: Sequence[RequestDesk]
    ends: Sequence[Callable[[], Awaitable[None]]]

    async def ask(self, symbol: str, timeout_s: float = 10.0, **said: Any) -> Reply:
        request = {"method": "fetch_ticker", "arguments": {"symbol": symbol}, **said}
        return await self.requester.ask("gate", request, timeout_s)

    def begun(self, *symbols: str, **said: Any) -> list["asyncio.Task[Reply]"]:
        return [asyncio.create_task(self.ask(symbol, **said)) for symbol in symbols]


@asynccontextmanager
async def play(url: str, workers: int = 1) -> AsyncIterator[Play]:
    """Each desk serves one request at a time, and has a connection of its own."""
    venue, clock = Venue(), SystemClock()
    async with AsyncExitStack() as stack:
        desks, ends = [], []
        for number in range(workers):
            live = LiveAnswers(dict, lambda: None, 10, Live(Collection()), clock)
            cache = CacheManager(Live(Cache()), clock)
            desk = RequestDesk("gate", f"worker-{number}", live, cache, venue.ask, clock)
            ends.append(await _serving(desk, url))
            stack.push_async_callback(ends[-1])
            desks.append(desk)
        await _served(url, workers)
        requester = Requester(Broker(url, "asks", topology("futures_data"), declares=False))
        stack.push_async_callback(requester.close)
        yield Play(requester, venue, desks, ends)


async def _serving(desk: RequestDesk, url: str) -> Callable[[], Awaitable[None]]:
    """It serves from now on; what is returned ends that, as a worker does."""
    broker = Broker(url, "serves", topology("futures_data"), declares=True)
    connection = await broker.connect("test")
    async with connection:
        channel = await connection.channel()
        await broker.declare(channel)
        await broker.ensure_queue(channel, request_queue("gate"))
    serving = asyncio.create_task(desk.run(broker))

    async def end() -> None:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await desk.close()

    return end


async def _served(url: str, workers: int) -> None:
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()

        async def consumers() -> bool:
            found = await channel.declare_queue(request_queue("gate").name, passive=True)
            return found.declaration_result.consumer_count == workers

        await eventually(consumers, 10, "all serve")


async def _has(play: Play, count: int) -> None:
    """Of requests, which may come by themselves."""
    await eventually(lambda: sum(desk.busy for desk in play.desks) == count, 10, "they are there")


async def test_high_goes_before_low_whoever_came_first(broker_url: str) -> None:
    async with play(broker_url) as it:
        first = it.begun("X/USDT:USDT")
        await _has(it, 1)
        for count, (symbol, priority) in enumerate(
            zip(SYMBOLS, ("low", "normal", "high"), strict=True), 2
        ):
            first += it.begun(symbol, priority=priority)
            await _has(it, count)
        it.venue.gate.set()
        replies = await asyncio.gather(*first)
    assert all(reply.error is None for reply in replies)
    assert it.venue.asked == ["X/USDT:USDT", *reversed(SYMBOLS)]


async def test_one_that_waited_for_too_long_is_not_asked(broker_url: str) -> None:
    async with play(broker_url) as it:
        slow = it.begun(SYMBOLS[0])
        await _has(it, 1)
        with pytest.raises(TimeoutError):
            await it.ask(SYMBOLS[1], timeout_s=0.3)
        it.venue.gate.set()
        await asyncio.gather(*slow)
        [desk] = it.desks
        await eventually(lambda: desk.busy == 0, 10)
    assert desk.counts["expired"] == 1
    assert it.venue.asked == [SYMBOLS[0]]


async def test_answers_that_nobody_waits_for_any_more_are_bounded_and_kept(
    broker_url: str,
) -> None:
    """Two for each request that may be asked at a time; more are refused at once."""
    async with play(broker_url) as it:
        [desk] = it.desks
        for symbol in SYMBOLS[:2]:
            with pytest.raises(TimeoutError):
                await it.ask(symbol, timeout_s=0.3)
            await eventually(lambda: desk.busy == 0, 10)
        refused = await it.ask(SYMBOLS[2])
        assert refused.error is not None
        assert refused.error.code == "overloaded"
        assert it.venue.asked == list(SYMBOLS[:2])
        it.venue.gate.set()
        await eventually(lambda: it.venue.answered == 2, 10)
        kept = await it.ask(SYMBOLS[0])
        assert (kept.source, kept.result) == ("cache", {"symbol": SYMBOLS[0]})
        asked = await it.ask(SYMBOLS[2])
        assert asked.source == "venue"


async def test_who_gives_up_takes_nothing_from_those_who_wait_for_the_same(
    broker_url: str,
) -> None:
    async with play(broker_url) as it:
        [desk] = it.desks
        desk.at_once = 2
        patient = it.begun(SYMBOLS[0])
        await _has(it, 1)
        with pytest.raises(TimeoutError):
            await it.ask(SYMBOLS[0], timeout_s=0.3)
        it.venue.gate.set()
        [reply] = await asyncio.gather(*patient)
    assert reply.result == {"symbol": SYMBOLS[0]}
    assert it.venue.asked == [SYMBOLS[0]]


async def test_an_answer_that_fails_while_nobody_waits_harms_nobody(broker_url: str) -> None:
    async with play(broker_url) as it:
        it.venue.error = NetworkError("cut")
        with pytest.raises(TimeoutError):
            await it.ask(SYMBOLS[0], timeout_s=0.3)
        it.venue.gate.set()
        failed = await it.ask(SYMBOLS[1])
        assert failed.error is not None
        assert failed.error.code == "network"
        it.venue.error = None
        assert (await it.ask(SYMBOLS[0])).error is None


async def test_what_a_worker_had_when_it_ended_is_answered_by_another(broker_url: str) -> None:
    async with play(broker_url, workers=2) as it:
        asking = it.begun(*SYMBOLS)
        await _has(it, 3)
        ending = max(range(2), key=lambda number: it.desks[number].busy)
        await it.ends[ending]()
        it.venue.gate.set()
        replies = await asyncio.gather(*asking)
    assert {reply.worker for reply in replies} == {f"worker-{1 - ending}"}
    assert all(reply.error is None for reply in replies)
